//! A Kafka whose listeners want TLS and a user: the main job over each, Debezium's producer included, and what is said when one of
//! them refuses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nix::sys::signal::Signal;
use rcgen::{KeyPair, SanType, SigningKey, date_time_ymd};
use serde_json::json;
use tempfile::TempDir;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::Test;
use super::pki::{authority, certificate, issue};
use super::stack::command::{QUICK_JVMS, assert_complete, ended, small_run};
use super::stack::{TestStack, everything, free_port, open_folder};

pub const LONG_TESTS: &[Test] = &[(
    "kafka_is_reached_over_tls_and_every_login_and_a_refusal_says_which",
    secured,
)];

pub const PASSWORD: &str = "topsecret-1";
const PASSPHRASE: &str = "open-sesame-2";

/// Names and values.
type Settings = [(&'static str, &'static str)];

/// Listener, its protocol, and what the broker is to know of it.
const LISTENERS: [(&str, &str, &Settings); 6] = [
    ("TLS", "SSL", &[]),
    ("MUTUAL", "SSL", &[("ssl.client.auth", "required")]),
    ("EXPIRED", "SSL", &[]),
    (
        "SCRAM",
        "SASL_SSL",
        &[
            ("sasl.enabled.mechanisms", "SCRAM-SHA-256,SCRAM-SHA-512"),
            (
                "scram-sha-256.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
            (
                "scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
        ],
    ),
    (
        "LOGIN",
        "SASL_SSL",
        &[
            ("sasl.enabled.mechanisms", "PLAIN"),
            (
                "plain.sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required user_bench=\"topsecret-1\";",
            ),
        ],
    ),
    (
        "TOKEN",
        "SASL_PLAINTEXT",
        &[
            ("sasl.enabled.mechanisms", "OAUTHBEARER"),
            (
                "oauthbearer.sasl.jaas.config",
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
            ),
            (
                "oauthbearer.sasl.server.callback.handler.class",
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
            ),
        ],
    ),
];

/// An issuer of tokens, and of the key that they are verified with.
pub async fn issuer() -> MockServer {
    let server = MockServer::start().await;
    let key = KeyPair::generate().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let claims = json!({"sub": "bench", "iat": now.as_secs(), "exp": now.as_secs() + 3_600});
    let header = json!({"alg": "ES256", "kid": "1"});
    let signed = [header, claims].map(|part| encoded(part.to_string().as_bytes()));
    let signed = signed.join(".");
    let signature = in_jwt(&key.sign(signed.as_bytes()).unwrap());
    let answer = json!({
        "access_token": format!("{signed}.{}", encoded(&signature)),
        "expires_in": 300,
        "token_type": "Bearer",
    });
    let (x, y) = key.public_key_raw()[1..].split_at(32);
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1", "x": encoded(x), "y": encoded(y)}]});
    for (asked, by, body) in [("/token", "POST", answer), ("/keys", "GET", keys)] {
        Mock::given(method(by))
            .and(path(asked))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
    }
    server
}

/// An ECDSA signature as a JWT has it, of one in ASN.1: two numbers of 32 bytes.
fn in_jwt(asn1: &[u8]) -> Vec<u8> {
    let mut rest = &asn1[2..];
    let mut signature = Vec::new();
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let digits = number.len().saturating_sub(32);
        signature.resize(signature.len() + 32_usize.saturating_sub(number.len()), 0);
        signature.extend_from_slice(&number[digits..]);
        rest = after;
    }
    signature
}

/// A stack whose broker has the listeners.
pub struct Secured {
    pub stack: TestStack,
    folder: TempDir,
    pub ports: BTreeMap<&'static str, u16>,
    token_url: String,
}

impl Secured {
    pub fn start(issuer: &MockServer) -> Self {
        let token_url = format!("{}/token", issuer.uri());
        let (name, quick) = QUICK_JVMS;
        let allowed = format!(
            "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={token_url},{}/keys",
            issuer.uri()
        );
        let [kafka, connect] =
            ["kafka", "connect"].map(|server| format!("{server}:{name}={quick} {allowed}"));
        let secured = Self {
            stack: TestStack::with_args(&["--server-env", &kafka, "--server-env", &connect]),
            folder: open_folder(),
            ports: LISTENERS
                .iter()
                .map(|(name, ..)| (*name, free_port()))
                .collect(),
            token_url,
        };
        secured.certificates();
        secured.add_listeners();
        secured.stack.end("kafka", Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(300));
        secured.stack.wait_until_healthy();
        secured.add_users();
        secured
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn certificates(&self) {
        let (folder, ours, theirs) = (self.folder.path(), authority("ours"), authority("theirs"));
        for (name, authority) in [("ours", &ours), ("theirs", &theirs)] {
            std::fs::write(self.file(&format!("{name}.ca")), authority.pem()).unwrap();
        }
        let here = [SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        issue(folder, &ours, "broker", &certificate("broker", &here));
        let mut old = certificate("broker", &here);
        old.not_before = date_time_ymd(2020, 1, 1);
        old.not_after = date_time_ymd(2021, 1, 1);
        issue(folder, &ours, "expired", &old);
        issue(folder, &ours, "client", &certificate("bench", &[]));
        issue(folder, &theirs, "stranger", &certificate("bench", &[]));
        for (name, how) in [
            ("client.enc", ["-v1", "PBE-SHA1-3DES"]),
            ("client.pbes2", ["-v2", "aes-256-cbc"]),
        ] {
            let encrypted = Command::new("openssl")
                .args(["pkcs8", "-topk8", "-passout"])
                .arg(format!("pass:{PASSPHRASE}"))
                .args(how)
                .args(["-in", &self.file("client.key"), "-out", &self.file(name)])
                .status();
            assert!(encrypted.unwrap().success());
        }
        // Java takes a key and its certificates from one file.
        for name in ["broker", "expired"] {
            let part =
                |ending: &str| std::fs::read_to_string(self.file(&format!("{name}.{ending}")));
            let both = part("key").unwrap() + &part("pem").unwrap();
            std::fs::write(self.file(&format!("{name}.store")), both).unwrap();
        }
    }

    fn add_listeners(&self) {
        let path = PathBuf::from(self.stack.broker().last().unwrap());
        let mut text = std::fs::read_to_string(&path).unwrap();
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        let mut added = String::new();
        let mut more = String::new();
        let store = |prefix: &str, name: &str| {
            let store = self.file(&format!("{name}.store"));
            format!("{prefix}ssl.keystore.type=PEM\n{prefix}ssl.keystore.location={store}\n")
        };
        for (name, protocol, settings) in LISTENERS {
            added += &format!(",{name}://127.0.0.1:{}", self.ports[name]);
            protocols += &format!(",{name}:{protocol}");
            let prefix = format!("listener.name.{}.", name.to_lowercase());
            for (key, value) in settings {
                more += &format!("{prefix}{key}={value}\n");
            }
        }
        more += &store("", "broker");
        more += &store("listener.name.expired.", "expired");
        more += &format!(
            "ssl.truststore.type=PEM\nssl.truststore.location={}\n\
             sasl.oauthbearer.jwks.endpoint.url={}\n",
            self.file("ours.ca"),
            self.token_url.replace("/token", "/keys")
        );
        let lines = text.lines().map(|line| {
            let has_addresses =
                line.starts_with("listeners=") || line.starts_with("advertised.listeners=");
            if has_addresses {
                format!("{line}{added}\n")
            } else {
                format!("{line}\n")
            }
        });
        text = lines.collect();
        text += &format!("listener.security.protocol.map={protocols}\n{more}");
        std::fs::write(&path, text).unwrap();
    }

    /// SCRAM's users are in the cluster's metadata.
    fn add_users(&self) {
        let broker = self.stack.broker();
        let after = |flag: &str| broker.iter().skip_while(|word| *word != flag).nth(1);
        let classes = after("-cp").or_else(|| after("-classpath")).unwrap();
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let output = Command::new(&broker[0])
                .args(["-cp", classes, "kafka.admin.ConfigCommand"])
                .args([
                    "--bootstrap-server",
                    &self.stack.env["KAFKA_BOOTSTRAP_SERVERS"],
                ])
                .args([
                    "--alter",
                    "--entity-type",
                    "users",
                    "--entity-name",
                    "bench",
                ])
                .args([
                    "--add-config",
                    &format!("{mechanism}=[password={PASSWORD}]"),
                ])
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }

    /// The command with these settings, at a listener.
    fn at(&self, host: &str, listener: &str, settings: &[(&str, &str)]) -> Command {
        let mut command = self.stack.external();
        let port = self.ports[listener];
        command.env("KAFKA_BOOTSTRAP_SERVERS", format!("{host}:{port}"));
        command.envs(settings.iter().copied());
        command
    }

    /// Runs the main job there.
    fn passes(&self, listener: &str, settings: &[(&str, &str)]) {
        let results = open_folder();
        let bootstrap = format!(
            "producer.override.bootstrap.servers=127.0.0.1:{}",
            self.ports[listener]
        );
        let args = [
            "--events",
            "60",
            "--capture",
            "both",
            "--connector-config",
            &bootstrap,
        ];
        let mut command = self.at("127.0.0.1", listener, settings);
        command.env("LOG_LEVEL", "trace");
        let end = ended(small_run(command, results.path(), &args));
        assert_complete(&end.json(), 60);
        let written = everything(results.path()) + &end.out + &end.err;
        for secret in [PASSWORD, PASSPHRASE, "PRIVATE KEY"] {
            assert!(!written.contains(secret), "{listener}: {secret}");
        }
    }

    /// Runs it, and it is refused with these words, in less than ten seconds.
    fn refused(&self, host: &str, listener: &str, settings: &[(&str, &str)], words: &[&str]) {
        let results = open_folder();
        let command = self.at(host, listener, settings);
        let began = Instant::now();
        let end = ended(small_run(command, results.path(), &["--events", "5"]));
        end.refused(3, words);
        assert!(began.elapsed() < Duration::from_secs(10), "{words:?}");
        assert!(!end.err.contains(PASSWORD), "{}", end.err);
    }
}

fn secured(stack: &TestStack) {
    let issuer = stack.block_on(issuer());
    let secured = Secured::start(&issuer);
    let [ours, theirs, certificate, key, stranger, strangers_key] = [
        "ours.ca",
        "theirs.ca",
        "client.pem",
        "client.key",
        "stranger.pem",
        "stranger.key",
    ]
    .map(|name| secured.file(name));
    let ca = ("KAFKA_SSL_CA", &*ours);
    let user = ("KAFKA_SASL_USERNAME", "bench");
    let password = ("KAFKA_SASL_PASSWORD", PASSWORD);
    let wrong = ("KAFKA_SASL_PASSWORD", "wrong");
    let mechanism = |name| ("KAFKA_SASL_MECHANISM", name);
    let mine = |certificate, key| {
        [
            ("KAFKA_SSL_CERTIFICATE", certificate),
            ("KAFKA_SSL_KEY", key),
            ca,
        ]
    };
    let token = [
        ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("KAFKA_OAUTH_TOKEN_URL", &*secured.token_url),
        ("KAFKA_OAUTH_CLIENT_ID", "bench"),
        ("KAFKA_OAUTH_CLIENT_SECRET", PASSWORD),
    ];

    secured.passes("TLS", &[ca]);
    secured.passes("MUTUAL", &mine(&*certificate, &*key));
    let passphrase = [("KAFKA_SSL_KEY_PASSWORD", PASSPHRASE)];
    let encrypted = secured.file("client.enc");
    let encrypted = [&mine(&*certificate, &*encrypted)[..], &passphrase].concat();
    secured.passes("MUTUAL", &encrypted);
    let unknown_to_java = secured.file("client.pbes2");
    let unknown_to_java = [&mine(&*certificate, &*unknown_to_java)[..], &passphrase].concat();
    let words = ["PBES2", "PBE-SHA1-3DES"];
    secured.refused("127.0.0.1", "MUTUAL", &unknown_to_java, &words);
    secured.passes("SCRAM", &[ca, user, password, mechanism("SCRAM-SHA-512")]);
    secured.passes("LOGIN", &[ca, user, password, mechanism("PLAIN")]);
    secured.passes("TOKEN", &token);

    let here = "127.0.0.1";
    for (host, listener, settings, words) in [
        (
            here,
            "TLS",
            &[("KAFKA_SSL_CA", &*theirs)][..],
            &["not of an authority that is trusted", "KAFKA_SSL_CA"][..],
        ),
        (here, "EXPIRED", &[ca], &["has expired"]),
        ("localhost", "TLS", &[ca], &["not for the name localhost"]),
        (
            here,
            "MUTUAL",
            &[ca],
            &["asks for a client's certificate", "KAFKA_SSL_KEY"],
        ),
        (
            here,
            "MUTUAL",
            &mine(&*stranger, &*strangers_key),
            &["does not accept our certificate"],
        ),
        (
            here,
            "TLS",
            &[],
            &["hangs up on PLAINTEXT", "KAFKA_SECURITY_PROTOCOL"],
        ),
        (here, "TOKEN", &[ca], &["does not speak TLS"]),
        (
            here,
            "SCRAM",
            &[ca, user, wrong, mechanism("SCRAM-SHA-256")],
            &["the password of user \"bench\""],
        ),
        (
            here,
            "LOGIN",
            &[ca, user, wrong, mechanism("PLAIN")],
            &["the password of user \"bench\""],
        ),
        (
            here,
            "LOGIN",
            &[ca, user, password, mechanism("SCRAM-SHA-256")],
            &["PLAIN", "KAFKA_SASL_MECHANISM"],
        ),
    ] {
        secured.refused(host, listener, settings, words);
    }
}
