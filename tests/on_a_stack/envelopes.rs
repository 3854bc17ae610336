//! Debezium and our reader on the same changes: their messages are compared one by one.

pub mod extensions;
mod keys;
mod side_by_side;

use pgcdc_debezium::{Decimals, EnvelopeConfig};

use self::side_by_side::compare;
use super::Test;
use super::stack::TestStack;

pub const TESTS: &[Test] = &[
    ("envelopes_of_every_type_are_debeziums", every_type),
    (
        "envelopes_of_every_replica_identity_are_debeziums",
        every_identity,
    ),
    ("envelopes_of_an_initial_copy_are_debeziums", initial_copy),
    (
        "envelopes_of_types_of_extensions_are_debeziums",
        extensions::every_extension,
    ),
    (
        "envelopes_of_money_in_two_locales_are_debeziums",
        extensions::money,
    ),
    (
        "envelopes_of_a_unique_index_without_a_primary_key_have_debeziums_key",
        keys::unique_indexes,
    ),
    (
        "our_events_have_the_keys_that_message_key_columns_gives_debeziums",
        keys::message_keys,
    ),
    (
        "envelopes_of_messages_in_the_wal_are_debeziums",
        keys::messages,
    ),
    (
        "envelopes_of_names_with_spaces_and_umlauts_are_debeziums",
        keys::names,
    ),
];

fn every_type(stack: &TestStack) {
    for mode in [
        ("precise", Decimals::Precise),
        ("double", Decimals::Double),
        ("string", Decimals::Text),
    ] {
        // A new name per test: Connect remembers a connector's offsets.
        let name = format!("zoo_{}", mode.0);
        let named = |sql: &str| sql.replace("PUBLICATION zoo", &format!("PUBLICATION {name}"));
        stack.sql(&named(ZOO));
        let settings = [("decimal.handling.mode", mode.0)];
        let envelopes = EnvelopeConfig {
            decimals: mode.1,
            ..EnvelopeConfig::new(&name, &stack.env["POSTGRES_DB"])
        };
        let made = (&settings[..], envelopes);
        let found = compare(stack, &name, "public.zoo", made, FILL, FILL.len() + 3);
        // Values that Debezium does not write and we do, as the documentation lists them.
        let known = [
            "c_name:",
            "c_bit_array:",
            "c_nested:",
            "c_nested_text:",
            "c_domain_array:",
        ];
        let is_known = |found: &String| known.iter().any(|column| found.contains(column));
        let (known, unknown): (Vec<_>, Vec<_>) = found.into_iter().partition(is_known);
        assert!(unknown.is_empty(), "{}: {unknown:#?}", mode.0);
        assert_eq!(known.len(), 20, "{known:#?}");
        stack.sql(&named(ZOO_AWAY));
    }
}

fn every_identity(stack: &TestStack) {
    stack.sql(IDENTITIES);
    let settings = [("provide.transaction.metadata", "true")];
    let envelopes = EnvelopeConfig {
        transactions: true,
        ..EnvelopeConfig::new("zoo", &stack.env["POSTGRES_DB"])
    };
    let made = (&settings[..], envelopes);
    let tables = "public.d,public.f,public.i,public.n,public.k,public.m";
    let found = compare(stack, "zoo", tables, made, CHANGES, 34 + 2 * 9);
    let known = [r#"zoo.public.m[1].value.before.t: Debezium "it", ours "it's""#];
    assert_eq!(found, known);
    stack.sql("DROP PUBLICATION zoo; DROP TABLE d, f, i, n, k, m");
}

/// Rows that exist before both start, then a change.
fn initial_copy(stack: &TestStack) {
    stack.sql(&format!(
        "{}; {}",
        ZOO.replace("PUBLICATION zoo FOR TABLE zoo", "PUBLICATION copied FOR TABLE empty, zoo, pairs")
            .replace("CREATE TABLE zoo", "CREATE TABLE empty (id int PRIMARY KEY); CREATE TABLE pairs (id int PRIMARY KEY, x text); INSERT INTO pairs VALUES (1, 'a'); CREATE TABLE zoo"),
        FILL.iter().filter(|sql| sql.starts_with("INSERT")).copied().collect::<Vec<_>>().join(";")
    ));
    let settings = [("snapshot.mode", "initial")];
    let envelopes = EnvelopeConfig::new("copied", &stack.env["POSTGRES_DB"]);
    let tables = "public.empty,public.pairs,public.zoo";
    let statements = ["INSERT INTO pairs VALUES (2, 'b')"];
    let made = (&settings[..], envelopes);
    let found = compare(stack, "copied", tables, made, &statements, 10);
    stack.sql(&ZOO_AWAY.replace(
        "PUBLICATION zoo; DROP TABLE zoo",
        "PUBLICATION copied; DROP TABLE zoo, empty, pairs",
    ));
    // What Debezium does not write, and the dates that it writes differently in its stream.
    let known = [
        "c_bit_array:",
        "c_nested:",
        "c_nested_text:",
        "c_date:",
        "c_domain_array:",
    ];
    let is_known = |found: &String| known.iter().any(|column| found.contains(column));
    let (known, unknown): (Vec<_>, Vec<_>) = found.into_iter().partition(is_known);
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert_eq!(known.len(), 14, "{known:#?}");
}

/// A table for each replica identity.
const IDENTITIES: &str = "
CREATE TABLE d (id int PRIMARY KEY, must text NOT NULL, big text, n int NOT NULL DEFAULT 5,
  bytes bytea, ints int[], longs int8[], texts text[], doc jsonb, numbers numeric[], floats float8[], dates date[], ids uuid[]);
ALTER TABLE d ALTER big SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL, ALTER ints SET STORAGE EXTERNAL,
  ALTER longs SET STORAGE EXTERNAL, ALTER texts SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL,
  ALTER numbers SET STORAGE EXTERNAL, ALTER floats SET STORAGE EXTERNAL, ALTER dates SET STORAGE EXTERNAL,
  ALTER ids SET STORAGE EXTERNAL;
CREATE TABLE f (id int PRIMARY KEY, must text NOT NULL, big text); ALTER TABLE f REPLICA IDENTITY FULL;
ALTER TABLE f ALTER big SET STORAGE EXTERNAL;
CREATE TABLE i (id int PRIMARY KEY, other int NOT NULL, x text); CREATE UNIQUE INDEX i_other ON i (other);
ALTER TABLE i REPLICA IDENTITY USING INDEX i_other;
CREATE TABLE n (id int, x text);
CREATE TABLE k (b int, a text, x text, PRIMARY KEY (a, b));
CREATE TABLE m (id int PRIMARY KEY, b bool NOT NULL, num numeric(10,2) NOT NULL, f float8 NOT NULL DEFAULT 1.5, at timestamptz NOT NULL DEFAULT now(), ts timestamp NOT NULL, day date NOT NULL, u uuid NOT NULL, j jsonb NOT NULL, t text NOT NULL DEFAULT 'it''s', by bytea NOT NULL, big bigint NOT NULL, v varchar(5) NOT NULL DEFAULT 'x', tm time NOT NULL, ok bool NOT NULL DEFAULT true, loose int DEFAULT 7);
CREATE PUBLICATION zoo FOR TABLE d, f, i, n, k, m;
";

const CHANGES: &[&str] = &[
    "INSERT INTO d VALUES (1, 'm', repeat('x', 9000), 5, decode(repeat('00', 9000), 'hex'), array_fill(1, ARRAY[3000]), array_fill(1::int8, ARRAY[3000]), array_fill('t'::text, ARRAY[3000]), jsonb_build_object('a', repeat('x', 9000)), array_fill(1::numeric, ARRAY[3000]), array_fill(1::float8, ARRAY[3000]), array_fill('2026-01-01'::date, ARRAY[3000]), array_fill('0191c0de-0000-7000-8000-000000000001'::uuid, ARRAY[3000])); INSERT INTO f VALUES (1, 'm', repeat('x', 9000)); INSERT INTO i VALUES (1, 2, 'x'); INSERT INTO n VALUES (1, 'x'); INSERT INTO k VALUES (1, 'a', 'x')",
    "UPDATE d SET must = 'n'; UPDATE f SET must = 'n'; UPDATE i SET x = 'y'; UPDATE k SET x = 'y'",
    "UPDATE d SET id = 2",
    "UPDATE f SET id = 2",
    "UPDATE i SET other = 3",
    "UPDATE k SET b = 2",
    "DELETE FROM d; DELETE FROM f; DELETE FROM i; DELETE FROM k",
    "INSERT INTO m VALUES (1, true, 1, 1, now(), now(), now(), gen_random_uuid(), '{}', '', '', 1, '', '12:00', true, NULL); DELETE FROM m",
    "TRUNCATE d, n",
];

/// A column of every type.
const ZOO: &str = "
CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (x int, y text);
CREATE TABLE zoo (
  id int PRIMARY KEY,
  c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_oid oid,
  c_numeric numeric, c_numeric_10_2 numeric(10,2), c_numeric_5_0 numeric(5,0), c_numeric_neg numeric(5,-2),
  c_float4 float4, c_float8 float8,
  c_text text, c_varchar varchar(20), c_char char(5), c_bpchar bpchar, c_name name, c_internal \"char\", c_citext citext,
  c_bytea bytea, c_uuid uuid,
  c_date date, c_time time, c_time3 time(3), c_timetz timetz, c_timestamp timestamp, c_timestamp3 timestamp(3), c_timestamp0 timestamp(0), c_timestamptz timestamptz, c_interval interval,
  c_json json, c_jsonb jsonb, c_xml xml,
  c_mood mood, c_positive positive, c_pair pair,
  c_int_array int4[], c_text_array text[], c_bool_array bool[], c_numeric_array numeric(10,2)[], c_float_array float8[], c_uuid_array uuid[], c_date_array date[], c_ts_array timestamp[], c_tstz_array timestamptz[], c_mood_array mood[], c_bytea_array bytea[], c_jsonb_array jsonb[], c_nested int4[][], c_nested_text text[][],
  c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
  c_int4range int4range, c_int8range int8range, c_numrange numrange, c_tsrange tsrange, c_tstzrange tstzrange, c_daterange daterange,
  c_bit1 bit(1), c_bit5 bit(5), c_bit10 bit(10), c_varbit varbit, c_varbit10 varbit(10),
  c_money money, c_hstore hstore, c_ltree ltree, c_point point, c_line line, c_box box, c_path path, c_polygon polygon, c_circle circle,
  c_tsvector tsvector, c_tsquery tsquery, c_pg_lsn pg_lsn, c_xid xid, c_int4multirange int4multirange, c_regclass regclass,
  c_int2_array int2[], c_int8_array int8[], c_varchar_array varchar(5)[], c_char_array char(3)[], c_inet_array inet[], c_time_array time[], c_interval_array interval[], c_timetz_array timetz[], c_float4_array float4[], c_json_array json[], c_hstore_array hstore[], c_point_array point[], c_money_array money[], c_bit_array bit(3)[], c_range_array int4range[], c_domain_array positive[], c_pair_array pair[], c_citext_array citext[], c_ltree_array ltree[], c_oid_array oid[], c_cidr_array cidr[], c_macaddr_array macaddr[]
);
CREATE PUBLICATION zoo FOR TABLE zoo;
";

const ZOO_AWAY: &str =
    "DROP PUBLICATION zoo; DROP TABLE zoo; DROP TYPE mood, pair; DROP DOMAIN positive;
    DROP EXTENSION hstore; DROP EXTENSION ltree; DROP EXTENSION citext";

/// Rows with typical and extreme values of each type.
const FILL: &[&str] = &[
    "INSERT INTO zoo VALUES (1, true, -32768, 2147483647, -9223372036854775808, 4294967295,
      123.4500, 12345678.90, 12345, 12300, 1.5, 0.1,
      E'a \"quoted\" \\\\ \\n \\t \\u0001 ä € 😀 /', 'varchar', 'ab', 'bp  ', 'name', 'c', 'CiText',
      '\\x00ff10', '0191c0de-0000-7000-8000-000000000001',
      '2026-11-24', '12:34:56.789012', '12:34:56.789', '12:34:56.789012+02', '2026-11-24 12:34:56.789012', '2026-11-24 12:34:56.789', '2026-11-24 12:34:56', '2026-11-24 12:34:56.789012+02', '1 year 2 mons 3 days 04:05:06.789',
      '{\"a\" : 1,  \"b\":[null, 1.50]}', '{\"b\": 1, \"a\": [null, 1.50]}', '<a>x</a>',
      'happy', 7, ROW(1, 'two'),
      '{1,NULL,3}', '{a,NULL,\"b,\\\"c\"}', '{t,f}', '{1.50,NULL}', '{1.5,NaN}', '{0191c0de-0000-7000-8000-000000000001}', '{2026-11-24}', '{\"2026-11-24 12:34:56.789012\"}', '{\"2026-11-24 12:34:56.789012+02\"}', '{sad,happy}', '{\"\\\\\\\\x00ff\"}', '{\"{\\\"a\\\": 1}\"}', '{{1,2},{3,4}}', '{{a},{b}}',
      '10.0.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
      '[1,5)', '(,10]', '[1.5,2.5]', '[2026-01-01 00:00,2026-02-01 00:00)', '[2026-01-01 00:00+00,)', '[2026-01-01,2026-02-01)',
      B'1', B'10101', B'0000000101', B'1011', B'101',
      '$1,234.56', 'a=>1, b=>NULL', 'Top.Science', '(1.5,2.5)', '{1,2,3}', '((1,1),(0,0))', '((0,0),(1,1))', '((0,0),(1,1),(2,0))', '<(1,1),2>',
      'a fat cat', 'fat & rat', '16/B374D848', '123', '{[1,3),[5,7)}', 'pg_class',
      '{1,2}', '{1,2}', '{ab,cd}', '{ab,c}', '{10.0.0.1}', '{12:34:56}', '{1 day}', '{12:34:56+02}', '{1.5,2.25}', '{\"{\\\"a\\\": 1}\"}', '{\"a=>1\"}', '{\"(1,2)\"}', '{$1.50}', '{101}', '{\"[1,5)\"}', '{7}', '{\"(1,two)\"}', '{Ab}', '{Top}', '{5}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}')",
    "INSERT INTO zoo (id) VALUES (2)",
    "INSERT INTO zoo (id, c_numeric, c_float4, c_float8, c_date, c_timestamp, c_timestamptz, c_interval, c_int4range, c_time, c_text, c_int_array, c_bytea) VALUES
      (3, 'NaN', 'NaN', 'Infinity', 'infinity', 'infinity', 'infinity', '-1 mons -00:00:01', 'empty', '24:00:00', '', '{}', '')",
    "INSERT INTO zoo (id, c_numeric, c_float4, c_float8, c_date, c_timestamp, c_timestamptz, c_timestamp3, c_money) VALUES
      (4, 'Infinity', '-Infinity', '-Infinity', '-infinity', '-infinity', '-infinity', 'infinity', '-$0.05')",
    "INSERT INTO zoo (id, c_numeric, c_numeric_10_2, c_numeric_neg, c_float4, c_float8, c_date, c_timestamp, c_timestamptz, c_timetz, c_interval) VALUES
      (5, -0.000000001, -0.01, -99900, 3.4028235e38, 1e-300, '0044-03-15 BC', '1969-12-31 23:59:59.999999', '1000-01-01 00:00:00+00', '23:59:59.999999-12:30', '-178000000 years')",
    "INSERT INTO zoo (id, c_float4, c_float8, c_numeric, c_date, c_timestamp, c_timestamptz) VALUES (6, 1e20, 1e20, 123456789012345678901234567890.123456789, '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00')",
    "INSERT INTO zoo (id, c_numeric, c_numeric_5_0, c_float4, c_timestamptz, c_timetz, c_interval, c_bit5, c_varbit, c_hstore, c_text_array, c_numeric_array, c_tstz_array, c_float8, c_money, c_inet, c_time, c_text) VALUES
      (7, 1200, 0, 1.1, '0044-03-15 12:00:00+00 BC', '12:00:00.5+00', '-1 days +02:03:00', B'00000', B'000000001', '\"a \\\"q\"=>\"\", b=>\"x, y=>z\"', '[2:3]={\"\",x}', '{NaN,100}', '{infinity,\"2026-01-01 00:00:00+00\"}', -0.0, '$1,000,000.00', '::1/64', '00:00:00', E'\\u2028 \\u007f <>&')",
    "INSERT INTO zoo (id, c_jsonb_array, c_varchar, c_numeric, c_timestamp) VALUES (8, '{}', 'ünï', 0.10, '0001-01-01 00:00:00 BC')",
    "UPDATE zoo SET c_int4 = 1 WHERE id = 1",
    "UPDATE zoo SET id = 20 WHERE id = 2",
    "DELETE FROM zoo WHERE id = 20",
    "TRUNCATE zoo",
];
