use secrecy::ExposeSecret;

use super::*;
use crate::{ChannelBinding, Server, SessionTarget, SslMode};

/// Holds every sign that some quoting gives a meaning.
const PASSWORD: &str = r#"p@ss:w/rd#1 %41"'\"#;

fn parsed(text: &str) -> ConnectionParameters {
    text.parse().unwrap()
}

fn servers(text: &str) -> Vec<Server> {
    parsed(text).servers().unwrap().servers
}

/// An environment of these variables, without any files.
fn environment(variables: &[(&str, &str)]) -> LibpqEnvironment {
    let find = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    LibpqEnvironment::new(find, None)
}

#[test]
fn a_password_of_every_special_sign_is_read_in_each_quoting() {
    let uri = "postgresql://me:p%40ss%3Aw%2Frd%231%20%2541%22%27%5C@db/shop";
    assert_eq!(parsed(uri).get("password"), Some(PASSWORD));
    // What needs no encoding in libpq's grammar needs none here.
    let bare = r#"postgresql://me:p%40ss:w%2Frd#1 %2541"'\@db/shop"#;
    assert_eq!(parsed(bare).get("password"), Some(PASSWORD));
    let query = "postgresql://me@db/shop?password=p%40ss%3Aw%2Frd%231%20%2541%22%27%5C";
    assert_eq!(parsed(query).get("password"), Some(PASSWORD));
    let quoted = r#"host=db user=me password='p@ss:w/rd#1 %41"\'\\' dbname=shop"#;
    assert_eq!(parsed(quoted).get("password"), Some(PASSWORD));
    let escaped = r#"host=db password=p@ss:w/rd#1\ %41"\'\\ dbname=shop"#;
    assert_eq!(parsed(escaped).get("password"), Some(PASSWORD));
    assert_eq!(parsed(escaped).get("dbname"), Some("shop"));
    for text in [uri, quoted] {
        let shown = format!("{:?} {:?}", parsed(text), servers(text));
        assert!(!shown.contains("w/rd"), "{shown}");
    }
}

#[test]
fn pairs_have_blanks_around_their_sign_and_empty_values() {
    let pairs = parsed("host = db  port=5 password = '' dbname='a b'\n user=me");
    assert_eq!(pairs.get("host"), Some("db"));
    assert_eq!(pairs.get("dbname"), Some("a b"));
    assert_eq!(pairs.get("password"), None);
    assert_eq!(pairs.get("user"), Some("me"));
}

#[test]
fn a_malformed_text_is_an_error_that_repeats_none_of_it() {
    for text in [
        "postgresql://me:s3cret@x@db/shop",
        "postgresql://me:s3c/ret@db/shop",
        "postgresql://me:s3c:ret/shop",
        "postgresql://me:s3c%zzret@db/shop",
        "postgresql://me:s3cret%@db/shop",
        "postgresql://me:s3c%00ret@db/shop",
        "postgresql://me:s3cret@[::1/shop",
        "postgresql://me:s3cret@[::1]x/shop",
        "postgresql://me:s3cret@::1/shop",
        "host=db password=s3c ret",
        "host=db password='s3cret",
        "s3cret",
        "host=db password=tiger s3cret=x",
        "host=db password=tiger s3c=ret",
        "postgresql://u:12/ab?s3cret@h/db",
        "postgresql://u:12/ab?s3cret=x@h/db",
        "postgresql://u:12/ab?hos=s3cret@h/db",
        "postgresql://u:12/ab?a&s3cret@h/db",
        "postgresql://u:tiger@h/db?s3cret",
        "postgresql://u:tiger@h/db?s3cret=1",
        "mysql://me:s3cret@db/shop",
    ] {
        let error = text.parse::<ConnectionParameters>().unwrap_err();
        assert!(matches!(error, InvalidServer::Syntax(_)), "{text}: {error}");
        assert!(!error.to_string().contains("s3c"), "{error}");
    }
}

#[test]
fn hosts_are_names_addresses_and_sockets_and_may_be_several() {
    let addresses = |text: &str| {
        servers(text)
            .iter()
            .map(Server::address)
            .collect::<Vec<_>>()
    };
    assert_eq!(addresses("postgresql://me@[::1]:6432/d"), ["[::1]:6432"]);
    assert_eq!(addresses("host=::1 user=me"), ["[::1]:5432"]);
    assert_eq!(addresses("host=[::1] user=me"), ["[::1]:5432"]);
    let three = "postgresql://me@a:1,[::2],%2Frun%2Fpg:3/d";
    assert_eq!(
        addresses(three),
        ["a:1", "[::2]:5432", "/run/pg/.s.PGSQL.3"]
    );
    assert_eq!(addresses("host=a,b port=7 user=me"), ["a:7", "b:7"]);
    assert_eq!(addresses("host=a,b port=7,8 user=me"), ["a:7", "b:8"]);
    assert_eq!(
        addresses("host=,b port=7, user=me"),
        ["localhost:7", "b:5432"]
    );
    assert_eq!(
        addresses("postgresql:///d?host=/run/pg&user=me"),
        ["/run/pg/.s.PGSQL.5432"]
    );
    let named = servers("host=db hostaddr=10.0.0.1 user=me");
    assert_eq!(named[0].hostaddr.unwrap().to_string(), "10.0.0.1");
    assert_eq!(named[0].host, "db");
    let error = |text: &str| parsed(text).servers().unwrap_err().to_string();
    assert!(error("host=a,b,c port=1,2 user=me").contains("3 hosts, and 2 values of port"));
    assert!(error("host=a hostaddr=1.1.1.1,2.2.2.2 user=me").contains("hostaddr"));
    assert!(error("hostaddr=db user=me").contains("hostaddr=db"));
    assert!(error("host=a port=70000 user=me").contains("port=70000"));
}

#[test]
fn the_order_is_given_service_variables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services");
    std::fs::write(&file, "[main]\nhost=of-service\nport=2\nuser=of-service\n").unwrap();
    let variables = environment(&[
        ("PGSERVICE", "main"),
        ("PGSERVICEFILE", file.to_str().unwrap()),
        ("PGPORT", "3"),
        ("PGUSER", "of-variable"),
        ("PGDATABASE", "of-variable"),
        ("PGPASSWORD", "of-variable"),
    ]);
    assert!(variables.names_a_server());
    let of = variables.complete(parsed("port=1")).unwrap();
    let of = &of.servers().unwrap().servers[0];
    assert_eq!((&*of.host, of.port), ("of-service", 1));
    assert_eq!((&*of.user, &*of.database), ("of-service", "of-variable"));
    assert_eq!(of.password.as_ref().unwrap().expose_secret(), "of-variable");
    // The address of one host is not that of another.
    let other = environment(&[
        ("PGHOST", "b"),
        ("PGHOSTADDR", "10.0.0.2"),
        ("PGUSER", "me"),
    ]);
    let of = other.complete(parsed("host=a")).unwrap();
    let of = &of.servers().unwrap().servers[0];
    assert_eq!((&*of.host, of.hostaddr), ("a", None));
    let absent = environment(&[("PGSERVICE", "absent")]).complete(parsed("host=a"));
    assert!(matches!(absent, Err(InvalidServer::Service { .. })));
    assert!(!environment(&[("PGUSER", "me"), ("PGPASSWORD", "x")]).names_a_server());
}

#[test]
fn the_password_file_is_the_last_to_be_asked() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    std::fs::write(&file, "db:*:*:*:of-file\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let of = LibpqEnvironment::new(|_| None, Some(home.path().to_owned()));
    let password = |text: &str| {
        let list = of.complete(parsed(text)).unwrap().servers().unwrap();
        let password = list.servers[0].password.clone();
        (
            password.map(|p| p.expose_secret().to_owned()),
            list.warnings,
        )
    };
    assert_eq!(password("host=db user=me").0.as_deref(), Some("of-file"));
    assert_eq!(password("host=x user=me").0, None);
    let given = password("host=db user=me password=given");
    assert_eq!(given.0.as_deref(), Some("given"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (none, warnings) = password("host=db,db user=me");
    assert_eq!((none, warnings.len()), (None, 1));
    assert!(warnings[0].to_string().contains(".pgpass"));
}

#[test]
fn encryption_is_as_strict_as_libpqs() {
    let tls = |text: &str| servers(&format!("host=db user=me {text}")).remove(0).tls;
    assert_eq!(tls("").mode, SslMode::Prefer);
    assert_eq!(tls("sslmode=allow").mode, SslMode::Allow);
    assert_eq!(tls("sslmode=require").mode, SslMode::Require);
    assert_eq!(
        tls("sslmode=require sslrootcert=ca").mode,
        SslMode::VerifyCa
    );
    assert_eq!(tls("sslrootcert=system").mode, SslMode::VerifyFull);
    assert!(tls("sslrootcert=system").system_roots);
    assert_eq!(
        tls("channel_binding=require").channel_binding,
        ChannelBinding::Require
    );
    let ssl = servers("postgresql://me@db/d?ssl=true").remove(0).tls;
    assert_eq!(ssl.mode, SslMode::Require);
    for (text, says) in [
        ("sslmode=require sslrootcert=system", "verify-full alone"),
        ("sslmode=always", "verify-full"),
        ("channel_binding=always", "disable, prefer"),
        ("sslcert=c", "sslkey"),
        ("target_session_attrs=master", "read-write"),
        ("connect_timeout=soon", "whole numbers"),
    ] {
        let error = parsed(&format!("host=db user=me {text}"))
            .servers()
            .unwrap_err();
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
}

#[test]
fn timeouts_are_libpqs() {
    use std::time::Duration;
    let network = |text: &str| {
        servers(&format!("host=db user=me {text}"))
            .remove(0)
            .network
    };
    let seconds = |text: &str| network(text).connect_timeout.map(|limit| limit.as_secs());
    assert_eq!(seconds(""), Some(10));
    assert_eq!(seconds("connect_timeout=0"), None);
    assert_eq!(seconds("connect_timeout=-1"), None);
    assert_eq!(seconds("connect_timeout=1"), Some(2));
    assert_eq!(seconds("connect_timeout=30"), Some(30));
    assert_eq!(network("keepalives=0").keepalives, None);
    let probes = network("keepalives_idle=7 keepalives_interval=0 keepalives_count=9").keepalives;
    let probes = probes.unwrap();
    assert_eq!(probes.idle, Some(Duration::from_secs(7)));
    assert_eq!((probes.interval, probes.count), (None, Some(9)));
    let limit = network("tcp_user_timeout=1500").user_timeout;
    assert_eq!(limit, Some(Duration::from_millis(1_500)));
}

#[test]
fn what_has_no_effect_is_said_and_what_is_unknown_is_an_error() {
    let list = parsed("host=db user=me sslcrl=x gssencmode=disable target_session_attrs=standby");
    let list = list.servers().unwrap();
    assert_eq!(list.target, SessionTarget::Standby);
    let warnings: Vec<_> = list.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings[0].contains("gssencmode") && warnings[1].contains("sslcrl"),
        "{warnings:?}"
    );
    let error = "host=db usr=me"
        .parse::<ConnectionParameters>()
        .unwrap_err();
    assert!(error.to_string().contains("\"user\""), "{error}");
    let value = parsed("postgresql://u:12/ab?sslmode=s3cret@h/db&user=me").servers();
    let error = value.unwrap_err().to_string();
    assert!(
        error.contains("sslmode") && !error.contains("s3cret"),
        "{error}"
    );
}
