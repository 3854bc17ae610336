//! Types of extensions, and money in several locales.

use std::process::Command;

use pgcdc_debezium::{Decimals, EnvelopeConfig};

use super::side_by_side::compare;
use crate::stack::{TestStack, open_folder};

/// Types of these names, with the text format of the extensions' own: Debezium and we know them by their names.
pub fn shell_types() -> String {
    let names = [
        "vector",
        "halfvec",
        "sparsevec",
        "geometry",
        "geography",
        "semver",
    ];
    let shell = |name: &&str| {
        format!(
            "CREATE TYPE {name};
             CREATE FUNCTION {name}_in(cstring) RETURNS {name} AS 'textin' LANGUAGE internal IMMUTABLE STRICT;
             CREATE FUNCTION {name}_out({name}) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT;
             CREATE TYPE {name} (INPUT = {name}_in, OUTPUT = {name}_out, INTERNALLENGTH = VARIABLE, STORAGE = extended);"
        )
    };
    names.iter().map(shell).collect()
}

pub const SHELL_TYPES_AWAY: &str =
    "DROP TYPE vector, halfvec, sparsevec, geometry, geography, semver CASCADE";

pub fn every_extension(stack: &TestStack) {
    stack.sql(&format!(
        "{} CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION isn; CREATE EXTENSION cube;
         CREATE DOMAIN embedding AS vector;
         CREATE TABLE extended (id int PRIMARY KEY, c_vector vector, c_half halfvec, c_sparse sparsevec, c_geometry geometry, c_geography geography,
           c_vectors vector[], c_halfs halfvec[], c_sparses sparsevec[], c_geometries geometry[], c_geographies geography[], c_embedding embedding,
           c_isbn isbn, c_isbns isbn[], c_issn issn, c_citexts citext[], c_ltrees ltree[], c_semver semver, c_semvers semver[], c_cube cube,
           n_vector vector NOT NULL DEFAULT '[0]', d_vector vector DEFAULT '[0]', n_geometry geometry NOT NULL DEFAULT '010700000000000000');
         ALTER TABLE extended ALTER c_vector SET STORAGE EXTERNAL, ALTER c_sparse SET STORAGE EXTERNAL, ALTER c_geometry SET STORAGE EXTERNAL, ALTER c_vectors SET STORAGE EXTERNAL;
         CREATE PUBLICATION extended FOR TABLE extended",
        shell_types()
    ));
    let point = "0101000020E6100000000000000000F03F0000000000000040";
    let flat = "0101000000000000000000F03F0000000000000040";
    let full = format!(
        "INSERT INTO extended VALUES (1, '[4,5]', '[1.5,-0.25,1e-05]', '{{1:0.5,3:2}}/5', '{point}', '{flat}',
           ARRAY['[4,5]', NULL, '[1]']::vector[], ARRAY['[1.5]']::halfvec[], ARRAY['{{1:0.5}}/5']::sparsevec[], ARRAY['{point}', NULL]::geometry[], ARRAY['{flat}']::geography[], '[1,2]',
           '978-0-393-04002-9', ARRAY['978-0-393-04002-9']::isbn[], '1436-4522', ARRAY['Ab', 'c \"d']::citext[], ARRAY['Top.Science', 'A']::ltree[], '1.2.3', ARRAY['1.2.3', NULL]::semver[], '(1,2)')"
    );
    let long = format!(
        "INSERT INTO extended (id, c_vector, c_sparse, c_geometry, c_vectors) VALUES (2, ('[' || repeat('1,', 9000) || '1]')::vector, (SELECT '{{' || string_agg(n || ':1', ',') || '}}/9000' FROM generate_series(1, 4000) n)::sparsevec, ('{flat}' || repeat('00', 9000))::geometry, array_fill('[1,2]'::vector, ARRAY[2000]))"
    );
    let statements = [
        &*full,
        "INSERT INTO extended (id, c_vector, c_sparse) VALUES (3, '[1]', '{}/7')",
        &*long,
        "UPDATE extended SET c_cube = '(3)', d_vector = NULL WHERE id = 2",
        "DELETE FROM extended WHERE id = 1",
    ];
    let envelopes = EnvelopeConfig::new("extended", &stack.env["POSTGRES_DB"]);
    let found = compare(
        stack,
        "extended",
        "public.extended",
        (&[], envelopes),
        &statements,
        6,
    );
    // What Debezium leaves out, or writes as null: an array of sparse vectors, one of vectors with a null in it, and what did not
    // change, which is not null.
    let known = [
        "c_issn:",
        "c_semver:",
        "c_semvers:",
        "c_cube:",
        "c_sparses: Debezium null, ours [{",
        "c_vectors: Debezium null, ours [[4.0,5.0],null,[1.0]]",
        "c_geometry: Debezium null, ours \"__debezium_unavailable_value\"",
        "c_sparse: Debezium null, ours \"__debezium_unavailable_value\"",
        "c_vector: Debezium null, ours \"__debezium_unavailable_value\"",
    ];
    let is_known = |found: &String| known.iter().any(|column| found.contains(column));
    let (known, unknown): (Vec<_>, Vec<_>) = found.into_iter().partition(is_known);
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert_eq!(known.len(), KNOWN, "{known:#?}");
    stack.sql(&format!(
        "DROP PUBLICATION extended; DROP TABLE extended; DROP DOMAIN embedding; {SHELL_TYPES_AWAY};
         DROP EXTENSION citext; DROP EXTENSION ltree; DROP EXTENSION isn; DROP EXTENSION cube"
    ));
}

/// Number of the differences above.
const KNOWN: usize = 25;

/// A stack whose PostgreSQL has these locales, and the folder that they are in.
pub fn stack_with_locales(locales: &[&str]) -> (TestStack, tempfile::TempDir) {
    let folder = open_folder();
    for locale in locales {
        let made = Command::new("localedef")
            .args(["-i", locale, "-f", "UTF-8"])
            .arg(folder.path().join(format!("{locale}.UTF-8")))
            .output();
        let made = made.expect("localedef, of the C library's programs, is needed");
        assert!(
            made.status.success(),
            "the sources of locales are needed (Debian's package \"locales\"): {}",
            String::from_utf8_lossy(&made.stderr)
        );
    }
    let variable = format!("postgres:LOCPATH={}", folder.path().display());
    let stack = TestStack::with_quick_jvms(&["--server-env", &variable]);
    (stack, folder)
}

/// Money by the locale of the database.
pub fn money(_: &TestStack) {
    let (stack, _folder) = stack_with_locales(&["ja_JP"]);
    let database = stack.env["POSTGRES_DB"].clone();
    for (locale, written) in [("C", "12.34"), ("ja_JP.UTF-8", "1234")] {
        stack.sql(&format!(
            "ALTER DATABASE \"{database}\" SET lc_monetary = '{locale}'"
        ));
        for (mode, decimals) in [
            ("precise", Decimals::Precise),
            ("double", Decimals::Double),
            ("string", Decimals::Text),
        ] {
            let name = format!("money_{}_{mode}", &locale[..1].to_lowercase());
            stack.sql(&format!(
                "SET lc_monetary = '{locale}'; CREATE DOMAIN price AS money; CREATE TABLE {name} (id int PRIMARY KEY, m money, d price);
                 INSERT INTO {name} VALUES (1, '{written}', '{written}'); CREATE PUBLICATION {name} FOR TABLE {name}"
            ));
            let inserts = [
                format!("(2, '-{written}', '{written}')"),
                "(3, '1234567', NULL)".to_owned(),
            ]
            .map(|row| format!("SET lc_monetary = '{locale}'; INSERT INTO {name} VALUES {row}"));
            let inserts: Vec<_> = inserts.iter().map(String::as_str).collect();
            let envelopes = EnvelopeConfig {
                decimals,
                ..EnvelopeConfig::new(&name, &database)
            };
            let settings = [
                ("snapshot.mode", "initial"),
                ("decimal.handling.mode", mode),
            ];
            let table = format!("public.{name}");
            let found = compare(&stack, &name, &table, (&settings, envelopes), &inserts, 3);
            assert_eq!(found, [""; 0], "{locale}");
            stack.sql(&format!(
                "DROP PUBLICATION {name}; DROP TABLE {name}; DROP DOMAIN price"
            ));
        }
    }
}
