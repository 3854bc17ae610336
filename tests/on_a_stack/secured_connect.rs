//! Connect behind a gateway with TLS, a login and a path prefix, and a store with TLS and a login: the main job over both, and what
//! is said when one of them refuses.

use std::convert::Infallible;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener as StdListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, SERVER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mongodb::bson::doc;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rcgen::SanType;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Test;
use super::pki::{authority, certificate, issue};
use super::stack::command::{assert_complete, ended, small_run, with};
use super::stack::{TestStack, everything, open_folder, until};

pub const LONG_TESTS: &[Test] = &[(
    "connect_and_store_are_reached_over_tls_with_a_login_and_a_refusal_says_which",
    secured,
)];

pub const PASSWORD: &str = "p@ss:w/rd#1 %41";
pub const PREFIX: &str = "/connect/eu";

type Settings<'s> = [(&'s str, &'s str)];

pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Certificates: `server.pem` and `other.pem` (of another host) with their keys, `client.pem`, `client.key`, `client.both`,
/// `stranger.both`, `ours.ca`, `theirs.ca`.
pub fn certificates(folder: &Path) {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    fs::write(folder.join("ours.ca"), ours.pem()).unwrap();
    fs::write(folder.join("theirs.ca"), theirs.pem()).unwrap();
    let here = [SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    issue(folder, &ours, "server", &certificate("server", &here));
    issue(folder, &ours, "client", &certificate("bench", &[]));
    issue(folder, &theirs, "stranger", &certificate("bench", &[]));
    for name in ["client", "stranger"] {
        let part = |ending| fs::read_to_string(folder.join(format!("{name}.{ending}"))).unwrap();
        fs::write(
            folder.join(format!("{name}.both")),
            part("pem") + &part("key"),
        )
        .unwrap();
    }
}

pub fn acceptor(folder: &Path, wants_certificate: bool) -> TlsAcceptor {
    // It may be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
    let builder = ServerConfig::builder();
    let builder = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(read("ours.ca")).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
        builder.with_client_cert_verifier(verifier.unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = builder.with_single_cert(vec![read("server.pem")], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// A gateway before Connect: its port.
pub async fn gateway(connect: String, tls: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = cdc_bench_stack::http_client().build().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (tls, client, connect) = (tls.clone(), client.clone(), connect.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(socket).await else {
                    return;
                };
                let service = service_fn(|request| forward(&client, &connect, request));
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that goes away is no failure of the gateway.
                let _ = connection
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    port
}

async fn forward(
    client: &reqwest::Client,
    connect: &str,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let page = |status: StatusCode| {
        let mut answer = Response::new(Full::from("<html><body>gateway</body></html>"));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        headers.insert(SERVER, HeaderValue::from_static("gateway/1"));
        Ok(answer)
    };
    let login = format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("bench:{PASSWORD}"))
    );
    if request
        .headers()
        .get(AUTHORIZATION)
        .is_none_or(|given| given != login.as_str())
    {
        return page(StatusCode::UNAUTHORIZED);
    }
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().unwrap().as_str();
    let Some(path) = path.strip_prefix(PREFIX) else {
        return page(StatusCode::NOT_FOUND);
    };
    let mut passed = client.request(head.method, format!("{connect}{path}"));
    if let Some(kind) = head.headers.get(CONTENT_TYPE) {
        passed = passed.header(CONTENT_TYPE, kind);
    }
    let body = body.collect().await.unwrap().to_bytes();
    let answer = passed.body(body).send().await.unwrap();
    let mut passed = Response::builder().status(answer.status());
    if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
        passed = passed.header(CONTENT_TYPE, kind);
    }
    let body = answer.bytes().await.unwrap();
    Ok(passed.body(Full::from(body)).unwrap())
}

/// A store of the test, ended with it.
pub struct Store {
    child: Child,
    pub port: u16,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Store {
    /// Starts the program of the stack's store on these data.
    pub fn start(stack: &TestStack, data: &Path, flags: &[&str]) -> Self {
        let pid = &stack.server("store")["pid"];
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let program: Vec<&str> = line
            .split('\0')
            .take_while(|word| *word != "--host")
            .collect();
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = Command::new(program[0])
            .args(&program[1..])
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--sync-on-commit", "--storage-path"])
            .arg(data)
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the store to listen", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, port }
    }

    pub fn add_user(&self, stack: &TestStack) {
        let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port);
        let user = doc! { "createUser": "bench", "pwd": PASSWORD, "roles": ["root"] };
        stack.block_on(async {
            let client = mongodb::Client::with_uri_str(uri).await.unwrap();
            client.database("admin").run_command(user).await.unwrap();
        });
    }
}

struct Secured<'s> {
    stack: &'s TestStack,
    folder: TempDir,
}

impl Secured<'_> {
    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The store's connection string with more options.
    fn uri(&self, login: &str, host: &str, store: &Store, options: &str) -> String {
        format!(
            "mongodb://{login}{host}:{}/?directConnection=true&authSource=admin&tls=true{options}",
            store.port
        )
    }

    fn command(&self, settings: &Settings<'_>) -> Command {
        let mut command = self.stack.external();
        command.envs(settings.iter().copied());
        command
    }

    /// Runs the main job, and looks for the password in all that it writes.
    fn passes(&self, settings: &Settings<'_>) {
        let results = open_folder();
        let mut command = self.command(settings);
        command.env("LOG_LEVEL", "trace");
        let end = ended(small_run(command, results.path(), &["--events", "200"]));
        assert_complete(&end.json(), 200);
        let written = everything(results.path()) + &end.out + &end.err;
        for secret in [PASSWORD, &encoded(PASSWORD), "PRIVATE KEY"] {
            assert!(!written.contains(secret), "{secret} was written");
        }
    }

    /// `doctor` finds that it is refused, with these words, in less than ten seconds.
    fn refused(&self, settings: &Settings<'_>, words: &[&str]) {
        let began = Instant::now();
        let end = ended(with(
            self.command(settings),
            &["doctor", "--stack", "external"],
        ));
        assert_ne!(end.code, 0, "{words:?}: {}", end.out);
        let text = end.out.clone() + &end.err;
        // The page is as wide as the terminal.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert!(
            !text.contains(PASSWORD) && !text.contains("<html>"),
            "{text}"
        );
        assert!(began.elapsed() < Duration::from_secs(10), "{words:?}");
    }
}

fn secured(stack: &TestStack) {
    let secured = Secured {
        stack,
        folder: open_folder(),
    };
    let folder = secured.folder.path();
    certificates(folder);
    let connect = stack.env["CONNECT_URL"].clone();
    let (open, mutual) = stack.block_on(async {
        (
            gateway(connect.clone(), acceptor(folder, false)).await,
            gateway(connect, acceptor(folder, true)).await,
        )
    });
    let [ca, wrong_ca, client_pem, client_key, client, stranger] = [
        "ours.ca",
        "theirs.ca",
        "client.pem",
        "client.key",
        "client.both",
        "stranger.both",
    ]
    .map(|name| secured.file(name));

    let data = folder.join("store");
    let store = Store::start(stack, &data, &[]);
    store.add_user(stack);
    drop(store);
    let tls = [
        "--auth",
        "--tls-cert-file",
        &secured.file("server.pem"),
        "--tls-key-file",
        &secured.file("server.key"),
        "--tls-ca-file",
        &ca,
    ];
    let store = Store::start(
        stack,
        &data,
        &[&tls[..], &["--tls-require-client-cert"]].concat(),
    );
    let mutual = format!("https://127.0.0.1:{mutual}{PREFIX}");
    let with_certificate = format!("&tlsCAFile={ca}&tlsCertificateKeyFile={client}");
    let uri = secured.uri("", "127.0.0.1", &store, &with_certificate);
    secured.passes(&[
        ("CONNECT_URL", &mutual),
        ("CONNECT_USERNAME", "bench"),
        ("CONNECT_PASSWORD", PASSWORD),
        ("CONNECT_SSL_CA", &ca),
        ("CONNECT_SSL_CERTIFICATE", &client_pem),
        ("CONNECT_SSL_KEY", &client_key),
        ("MONGODB_URI", &uri),
        ("MONGODB_USERNAME", "bench"),
        ("MONGODB_PASSWORD", PASSWORD),
    ]);
    let mongodb = |host: &str, options: &str, words: &[&str]| {
        let login = format!("bench:{}@", encoded(PASSWORD));
        let uri = secured.uri(&login, host, &store, options);
        secured.refused(&[("MONGODB_URI", &uri)], words);
    };
    let only_ca = format!("&tlsCAFile={ca}");
    mongodb("127.0.0.1", &only_ca, &["asks for a client's certificate"]);
    let strangers = format!("{only_ca}&tlsCertificateKeyFile={stranger}");
    mongodb(
        "127.0.0.1",
        &strangers,
        &["does not accept our certificate"],
    );
    let of_others = format!("&tlsCAFile={wrong_ca}&tlsCertificateKeyFile={client}");
    mongodb("127.0.0.1", &of_others, &["authority", "tlsCAFile"]);
    mongodb(
        "localhost",
        &with_certificate,
        &["not for the name localhost"],
    );
    drop(store);

    let store = Store::start(stack, &data, &tls);
    let login = format!("bench:{}@", encoded(PASSWORD));
    let open = format!("127.0.0.1:{open}{PREFIX}");
    let options = format!("{only_ca}&readPreference=secondary&authMechanism=SCRAM-SHA-256");
    secured.passes(&[
        ("CONNECT_URL", &format!("https://{login}{open}")),
        ("CONNECT_SSL_CA", &ca),
        (
            "MONGODB_URI",
            &secured.uri(&login, "127.0.0.1", &store, &options),
        ),
    ]);
    let wrong = secured.uri("bench:wrong@", "127.0.0.1", &store, &only_ca);
    secured.refused(&[("MONGODB_URI", &wrong)], &["refused to log in"]);
    let nobody = secured.uri("", "127.0.0.1", &store, &only_ca);
    secured.refused(&[("MONGODB_URI", &nobody)], &["asks for a login"]);
    let plain = nobody.replace("&tls=true", "").replace(&only_ca, "");
    secured.refused(
        &[("MONGODB_URI", &plain)],
        &["the server speaks TLS", "tls=true"],
    );
    drop(store);

    let at = |url: &str| format!("https://{login}{url}");
    let ca = ("CONNECT_SSL_CA", &*ca);
    for (url, settings, words) in [
        (
            at(&open),
            &[("CONNECT_SSL_CA", &*wrong_ca)][..],
            &["authority", "CONNECT_SSL_CA"][..],
        ),
        (at(&open), &[], &["authority", "CONNECT_SSL_CA"]),
        (
            at(&open.replace("127.0.0.1", "localhost")),
            &[ca],
            &["not for the name localhost"],
        ),
        (
            format!("https://bench:wrong@{open}"),
            &[ca],
            &["does not accept user \"bench\"", "CONNECT_PASSWORD"],
        ),
        (
            format!("https://{open}"),
            &[ca],
            &["asks for a login", "CONNECT_USERNAME"],
        ),
        (
            at(&open.replace(PREFIX, "/other")),
            &[ca],
            &["not Kafka Connect", "text/html of gateway/1", "path prefix"],
        ),
        (format!("http://{login}{open}"), &[], &["https://"]),
        (
            mutual.replace("https://", &format!("https://{login}")),
            &[ca],
            &["asks for a client's certificate", "CONNECT_SSL_CERTIFICATE"],
        ),
    ] {
        let settings = [settings, &[("CONNECT_URL", &*url)]].concat();
        secured.refused(&settings, words);
    }
}
