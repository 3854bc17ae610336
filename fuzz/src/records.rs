//! Records of others' pipelines: JSON, and Avro by schemas of a registry.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::LazyLock;

use cdc_bench::observe::records::{Observed, RawRecord, RecordDecoder, RecordSettings};
use cdc_bench_stack::RegistryEndpoint;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// Every kind of type, and one that contains itself.
const SCHEMA: &str = r#"{"type":"record","name":"Envelope","fields":[
    {"name":"op","type":["null","string"]},
    {"name":"before","type":["null",{"type":"record","name":"Row","fields":[
        {"name":"next","type":["null","Row"]},
        {"name":"many","type":{"type":"array","items":["null","double",{"type":"map","values":"float"}]}},
        {"name":"fixed","type":{"type":"fixed","name":"F","size":3}}]}]},
    {"name":"source","type":{"type":"record","name":"Source","fields":[
        {"name":"lsn","type":["null","long"]},
        {"name":"snapshot","type":["boolean",{"type":"enum","name":"E","symbols":["true","false"]}]},
        {"name":"sequence","type":["null","bytes"]}]}},
    {"name":"ts_ms","type":["long","int"]}]}"#;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let built = Builder::new_current_thread().enable_all().build();
    built.expect("a runtime")
});

/// A decoder whose registry has one schema, under every id.
static DECODER: LazyLock<RecordDecoder> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let body = json!({ "schema": SCHEMA }).to_string();
            let length = body.len();
            let _ = socket.read(&mut [0; 4_096]);
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    let endpoint = RegistryEndpoint::parse(&format!("http://{address}")).expect("an address");
    let settings = RecordSettings::default().with_registry(endpoint);
    RecordDecoder::new(settings.expect("a client"))
});

/// The first byte is the key's length, the second says whether the schema's id is put before the value.
///
/// # Panics
/// When a record is not decoded to the same twice, or a key is no JSON.
pub fn holds(bytes: &[u8]) {
    let [key, is_avro, rest @ ..] = bytes else {
        return;
    };
    let Some((key, value)) = rest.split_at_checked(usize::from(*key)) else {
        return;
    };
    let has_schema = is_avro % 2 == 1;
    let framed = [b"\0\0\0\0\x01", value].concat();
    let record = RawRecord {
        topic: "shop.public.orders",
        // An id in a key would be asked for.
        key: (!key.is_empty() && key[0] != 0).then_some(key),
        value: Some(if has_schema { &framed } else { value }),
        headers: &[("__op", Some(key))],
    };
    if !has_schema && value.first() == Some(&0) {
        return;
    }
    let decode = || {
        RUNTIME
            .block_on(DECODER.decode(record))
            .expect("the registry has it")
    };
    let observed = decode();
    assert_eq!(decode(), observed);
    if let Observed::Change(change) = &observed {
        let is_json = serde_json::from_str::<Value>(&change.key).is_ok();
        assert!(is_json, "{}", change.key);
    }
}
