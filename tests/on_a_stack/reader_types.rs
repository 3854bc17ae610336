//! Types, keys and defaults as the reader knows them, on a real server.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use pgcdc::{
    Change, Event, Money, Reader, ReaderConfig, Slot, SlotName, SnapshotConfig, SteadyClock,
    TimeSource,
};
use pgcdc_debezium::{EnvelopeConfig, Envelopes};

use super::Test;
use super::envelopes::extensions::stack_with_locales;
use super::reader::server;
use super::stack::{TestStack, until};

pub const TESTS: &[Test] = &[
    (
        "reader_money_of_any_locale_is_the_amount_in_copy_and_stream_text_and_binary",
        money,
    ),
    (
        "reader_types_keys_and_defaults_are_those_of_the_time_of_a_change",
        changed_while_away,
    ),
    (
        "reader_a_table_that_was_dropped_while_it_was_away_keeps_columns_and_key",
        dropped_while_away,
    ),
    (
        "reader_a_default_set_beside_a_longer_transaction_is_that_of_the_transactions_after_it",
        set_beside_a_longer_transaction,
    ),
    (
        "reader_values_convert_from_binary_as_from_text_or_are_an_error",
        binary,
    ),
    (
        "reader_a_message_outside_of_transactions_is_acknowledged_with_its_handler",
        messages,
    ),
];

fn permanent(name: &str) -> Slot {
    Slot::Permanent {
        name: SlotName::new(name).unwrap(),
        failover: false,
    }
}

/// Creates a slot, so that what comes after is read later.
fn create_slot(stack: &TestStack, name: &str) {
    stack.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"
    ));
}

/// Reads so many changes, as lines of text.
fn read(
    stack: &TestStack,
    config: ReaderConfig,
    count: usize,
    mut line: impl FnMut(&Change<'_>) -> String + Send + 'static,
) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    let reader = stack.block_on(Reader::spawn(config, move |event| {
        if let Event::Change(change) = event {
            seen.lock().unwrap().push(line(&change));
        }
        ControlFlow::Continue(())
    }));
    let reader = reader.unwrap();
    until("the changes", || {
        assert_eq!(reader.error().map(|e| e.to_string()), None);
        lines.lock().unwrap().len() >= count
    });
    reader.stop().unwrap();
    let lines = lines.lock().unwrap().clone();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

fn described(stack: &TestStack, slot: Slot, publication: &str) -> ReaderConfig {
    ReaderConfig {
        describe: true,
        ..ReaderConfig::new(server(stack), slot, [publication])
    }
}

fn money(_: &TestStack) {
    let locales = [
        "ja_JP", "de_DE", "ar_KW", "de_CH", "en_IN", "nl_NL", "sv_SE",
    ];
    let (stack, _folder) = stack_with_locales(&locales);
    let database = stack.env["POSTGRES_DB"].clone();
    for (locale, decimals) in ["C"].iter().chain(&locales).zip([2, 0, 2, 3, 2, 2, 2, 2]) {
        let locale = match *locale {
            "C" => "C".to_owned(),
            other => format!("{other}.UTF-8"),
        };
        let set = format!("SET lc_monetary = '{locale}'");
        stack.sql(&format!(
            "ALTER DATABASE \"{database}\" SET lc_monetary = '{locale}'"
        ));
        stack.sql("CREATE DOMAIN price AS money; CREATE TABLE paid (id int PRIMARY KEY, m money, d price); CREATE PUBLICATION paid FOR TABLE paid");
        stack.sql(&format!(
            "{set}; INSERT INTO paid VALUES (1, 1234567.89::numeric::money, (-0.05)::numeric::money)"
        ));
        for binary in [false, true] {
            // The server removes the slot of the reader before once it has missed its connection.
            let name = format!("paid_{}", if binary { "binary" } else { "text" });
            let slot = Slot::Temporary(SlotName::new(&name).unwrap());
            let config = ReaderConfig {
                binary,
                snapshot: Some(SnapshotConfig::default()),
                ..described(&stack, slot, "paid")
            };
            let lines = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&lines);
            let reader = stack.block_on(Reader::spawn(config, move |event| {
                if let Event::Change(change) = event {
                    let amount = |column| change.get::<Money>(column).unwrap().unwrap();
                    let (m, d) = (amount("m"), amount("d"));
                    seen.lock().unwrap().push(format!("{m} {d}"));
                }
                ControlFlow::Continue(())
            }));
            let reader = reader.unwrap();
            until("the copied row", || lines.lock().unwrap().len() == 1);
            stack.sql(&format!(
                "{set}; UPDATE paid SET m = m * -1; INSERT INTO paid VALUES (2, '0', '-1234')"
            ));
            until("the changes", || {
                assert_eq!(reader.error().map(|e| e.to_string()), None);
                lines.lock().unwrap().len() == 3
            });
            reader.stop().unwrap();
            // What the server itself takes the values for.
            let amounts = |sql: &str| {
                let sql = format!(
                    "{set}; SELECT {sql}::numeric || ' ' || d::numeric FROM paid ORDER BY id"
                );
                stack.sql(&sql)
            };
            let (before, after) = (amounts("(m * -1)"), amounts("m"));
            let expected = [&before[0], &after[0], &after[1]];
            let lines = lines.lock().unwrap();
            assert_eq!(lines.iter().collect::<Vec<_>>(), expected, "{locale}");
            let (whole, fraction) = lines[2].split_once(' ').unwrap();
            let places =
                |amount: &str| amount.split_once('.').map_or(0, |(_, digits)| digits.len());
            assert_eq!((places(whole), places(fraction)), (decimals, decimals));
            stack.sql(&format!(
                "{set}; DELETE FROM paid WHERE id = 2; UPDATE paid SET m = m * -1"
            ));
        }
        stack.sql("DROP PUBLICATION paid; DROP TABLE paid; DROP DOMAIN price");
    }
}

/// A change with what is known of its table: columns with their types and values, key and default.
fn with_description(change: &Change<'_>) -> String {
    let relation = change.relation;
    let mut line = change.operation.to_string();
    for (column, value) in relation.columns.iter().zip(change.row().unwrap()) {
        let (name, kind) = (&column.name, &column.kind);
        let _ = write!(line, " {name}:{kind:?}={value:?}");
        if let Some(default) = &column.default {
            let _ = write!(line, " (default {default})");
        }
    }
    let names = |key: &[usize]| {
        let names = key.iter().map(|&index| &*relation.columns[index].name);
        names.collect::<Vec<_>>().join(",")
    };
    let _ = write!(
        line,
        " key({}) unique({})",
        names(&relation.primary_key),
        names(&relation.unique_index)
    );
    line
}

fn changed_while_away(stack: &TestStack) {
    stack.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN small AS int; CREATE DOMAIN smaller AS small;
         CREATE TABLE away (id int PRIMARY KEY, other int NOT NULL, m mood, s smaller, note text DEFAULT 'old');
         CREATE TABLE whole (id int PRIMARY KEY, note text DEFAULT 'old'); ALTER TABLE whole REPLICA IDENTITY FULL;
         CREATE TABLE bare (id int, note text);
         CREATE PUBLICATION away FOR TABLE away, whole, bare",
    );
    create_slot(stack, "away");
    stack.sql(
        "INSERT INTO away VALUES (1, 2, 'ok', 7, NULL); INSERT INTO whole VALUES (1, NULL); INSERT INTO bare VALUES (1, NULL)",
    );
    // The next insert has another type, key and default, and nothing of the first is left.
    stack.sql(
        "ALTER TABLE away DROP COLUMN m, DROP COLUMN s, ALTER note SET DEFAULT 'new', DROP CONSTRAINT away_pkey, ADD PRIMARY KEY (other);
         DROP TYPE mood; DROP DOMAIN smaller; DROP DOMAIN small;
         ALTER TABLE whole DROP CONSTRAINT whole_pkey, ALTER note SET DEFAULT 'new'; CREATE UNIQUE INDEX ON whole (note);
         CREATE UNIQUE INDEX ON bare (id)",
    );
    stack.sql("INSERT INTO away VALUES (3, 4, NULL); INSERT INTO whole VALUES (3, 'x'); INSERT INTO bare VALUES (3, NULL)");
    let config = described(stack, permanent("away"), "away");
    let mut envelopes = Envelopes::new(EnvelopeConfig::new("p", "d"));
    let clock = SteadyClock::start();
    let lines = read(stack, config, 6, move |change| {
        let mut line = with_description(change);
        let written = envelopes.write(change, clock.now(), |record| {
            let value = String::from_utf8_lossy(record.value.unwrap()).into_owned();
            let after = value.split(",\"source\"").next().unwrap();
            let key = record.key.map(String::from_utf8_lossy);
            let _ = write!(line, " {key:?} {after}");
        });
        written.unwrap();
        line
    });
    let expected = [
        r#"insert id:Integer=Text("1") other:Integer=Text("2") m:Text=Text("ok") s:Integer=Text("7") note:Text=Null key(id) unique() Some("{\"id\":1}") {"before":null,"after":{"id":1,"other":2,"m":"ok","s":7,"note":null}"#,
        r#"insert id:Integer=Text("1") note:Text=Null key() unique() None {"before":null,"after":{"id":1,"note":null}"#,
        r#"insert id:Integer=Text("1") note:Text=Null key() unique() None {"before":null,"after":{"id":1,"note":null}"#,
        r#"insert id:Integer=Text("3") other:Integer=Text("4") note:Text=Null (default 'new'::text) key(other) unique() Some("{\"other\":4}") {"before":null,"after":{"id":3,"other":4,"note":"new"}"#,
        r#"insert id:Integer=Text("3") note:Text=Text("x") (default 'new'::text) key() unique(note) Some("{\"note\":\"x\"}") {"before":null,"after":{"id":3,"note":"x"}"#,
        r#"insert id:Integer=Text("3") note:Text=Null key() unique(id) Some("{\"id\":3}") {"before":null,"after":{"id":3,"note":null}"#,
    ];
    assert_eq!(lines, expected);
    stack.sql("SELECT pg_drop_replication_slot('away'); DROP PUBLICATION away; DROP TABLE away, whole, bare");
}

fn dropped_while_away(stack: &TestStack) {
    stack.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN prices AS numeric(10,2)[];
         CREATE TABLE gone (a int, m mood, p prices, x text, PRIMARY KEY (x, a));
         CREATE TABLE stays (id int PRIMARY KEY); CREATE PUBLICATION gone FOR TABLE gone, stays",
    );
    create_slot(stack, "gone");
    stack.sql("INSERT INTO gone VALUES (1, 'ok', '{1.50}', 'x'); UPDATE gone SET a = 2");
    stack.sql("DROP TABLE gone; DROP TYPE mood; DROP DOMAIN prices; INSERT INTO stays VALUES (1)");
    let config = described(stack, permanent("gone"), "gone");
    let lines = read(stack, config, 3, with_description);
    let row = |a: &str| {
        format!(
            r#"a:Integer=Text("{a}") m:Text=Text("ok") p:Array(Numeric)=Text("{{1.50}}") x:Text=Text("x") key(a,x) unique()"#
        )
    };
    let expected = [
        format!("insert {}", row("1")),
        format!("update {}", row("2")),
        r#"insert id:Integer=Text("1") key(id) unique()"#.to_owned(),
    ];
    assert_eq!(lines, expected);
    stack.sql("SELECT pg_drop_replication_slot('gone'); DROP PUBLICATION gone; DROP TABLE stays");
}

fn set_beside_a_longer_transaction(stack: &TestStack) {
    stack.sql("CREATE TABLE beside (id int PRIMARY KEY, note text); CREATE TABLE first (id int); CREATE PUBLICATION beside FOR TABLE beside");
    create_slot(stack, "beside");
    stack.block_on(async {
        // This one has its transaction id before the default is set.
        let longer = stack.connect().await;
        let sql = "BEGIN; INSERT INTO first VALUES (1)";
        longer.batch_execute(sql).await.unwrap();
        let other = stack.connect().await;
        let sql = "ALTER TABLE beside ALTER note SET DEFAULT 'new'";
        other.batch_execute(sql).await.unwrap();
        let sql = "INSERT INTO beside VALUES (1, NULL); COMMIT";
        longer.batch_execute(sql).await.unwrap();
    });
    stack.sql("INSERT INTO beside VALUES (2, NULL)");
    let config = described(stack, permanent("beside"), "beside");
    let lines = read(stack, config, 2, with_description);
    let expected = [
        r#"insert id:Integer=Text("1") note:Text=Null key(id) unique()"#,
        r#"insert id:Integer=Text("2") note:Text=Null (default 'new'::text) key(id) unique()"#,
    ];
    assert_eq!(lines, expected);
    stack.sql(
        "SELECT pg_drop_replication_slot('beside'); DROP PUBLICATION beside; DROP TABLE beside, first",
    );
}

fn binary(stack: &TestStack) {
    stack.sql(
        "CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN small AS int2;
         CREATE TABLE bits (i2 int2 PRIMARY KEY, i4 int4, i8 int8, o oid, s small, f4 float4, f8 float8, b bool, t text, v varchar(9), n name, c \"char\",
           j json, jb jsonb, ct citext, lt ltree, m mood, u uuid, by bytea, digits varchar(9));
         CREATE PUBLICATION bits FOR TABLE bits",
    );
    let id = "0191c0de-0000-7000-8000-000000000001";
    let insert = format!(
        "INSERT INTO bits VALUES (-2, 65, -8, 4294967295, 3, 1.5, 0.1, true, 'ä', 'v', 'n', 'c', '[1]', '{{\"a\": 1}}', 'Ci', 'Top.Science', 'ok', '{id}', '\\x00ff', '12')"
    );
    let line = |change: &Change<'_>| {
        let integers = ["i2", "i4", "i8", "o", "s", "digits"]
            .map(|column| change.get::<i64>(column).unwrap().unwrap());
        let numbers =
            ["i2", "i4", "s", "f4", "f8"].map(|column| change.get::<f64>(column).unwrap().unwrap());
        let texts = ["t", "v", "n", "c", "j", "jb", "ct", "lt", "m"]
            .map(|column| change.get::<&str>(column).unwrap().unwrap());
        let id = change.get::<uuid::Uuid>("u").unwrap().unwrap();
        let same = change.get::<String>("u").unwrap().unwrap();
        let bytes = change.get::<Vec<u8>>("by").unwrap().unwrap();
        let json = change.get::<serde_json::Value>("jb").unwrap().unwrap();
        let yes = change.get::<bool>("b").unwrap().unwrap();
        format!("{integers:?} {numbers:?} {texts:?} {id} {same} {bytes:?} {json} {yes}")
    };
    let expected = format!(
        r#"[-2, 65, -8, 4294967295, 3, 12] [-2.0, 65.0, 3.0, 1.5, 0.1] ["ä", "v", "n", "c", "[1]", "{{\"a\": 1}}", "Ci", "Top.Science", "ok"] {id} {id} [0, 255] {{"a":1}} true"#
    );
    for is_binary in [false, true] {
        create_slot(stack, "bits");
        stack.sql(&insert);
        let config = ReaderConfig {
            binary: is_binary,
            ..described(stack, permanent("bits"), "bits")
        };
        let lines = read(stack, config, 1, move |change| {
            if is_binary {
                let error = |column| change.get::<&str>(column).unwrap_err().to_string();
                assert_eq!(
                    error("i4"),
                    "column \"i4\" holds 4 bytes in the binary format Int4, which is not text"
                );
                assert!(error("u").contains("format Uuid"), "{}", error("u"));
            }
            line(change)
        });
        assert_eq!(lines, [&*expected]);
        stack.sql("SELECT pg_drop_replication_slot('bits'); DELETE FROM bits");
    }
    stack.sql("DROP PUBLICATION bits; DROP TABLE bits; DROP TYPE mood; DROP DOMAIN small; DROP EXTENSION citext; DROP EXTENSION ltree");
}

fn messages(stack: &TestStack) {
    stack.sql("CREATE TABLE quiet (id int PRIMARY KEY); CREATE PUBLICATION quiet FOR TABLE quiet");
    create_slot(stack, "quiet");
    let emit = |text: &str| {
        let sql = format!("SELECT pg_logical_emit_message(false, 'p', '{text}')");
        stack.sql(&sql).remove(0)
    };
    let positions = [emit("one"), emit("two")];
    // A handler whose sink has only the first.
    for (expected, acknowledged) in [(2, 0), (1, 1)] {
        let config = ReaderConfig {
            acknowledge: pgcdc::Acknowledge::Manual,
            ..described(stack, permanent("quiet"), "quiet")
        };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let reader = stack.block_on(Reader::spawn(config, move |event| {
            if let Event::Message(message) = event {
                kept.lock().unwrap().push(message.lsn);
            }
            ControlFlow::Continue(())
        }));
        let reader = reader.unwrap();
        until("the messages", || seen.lock().unwrap().len() >= expected);
        // Idle positions after them do not acknowledge what the handler has not.
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        let lsns = seen.lock().unwrap().clone();
        let shown: Vec<_> = lsns.iter().map(ToString::to_string).collect();
        assert_eq!(shown, positions[2 - expected..]);
        reader.acknowledger().acknowledge(lsns[0]);
        reader.stop().unwrap();
        let confirmed =
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'quiet'";
        assert_eq!(stack.sql(confirmed), [positions[acknowledged].as_str()]);
    }
    stack.sql("SELECT pg_drop_replication_slot('quiet'); DROP PUBLICATION quiet; DROP TABLE quiet");
}
