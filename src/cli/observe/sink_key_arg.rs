//! `--sink-key`: where the key of a table is in the rows of the sink.

use crate::observe::SinkKeyOf;

/// `TABLE=PATH,PATH`, or the paths alone.
pub(super) fn sink_key_of(text: &str) -> Result<SinkKeyOf, String> {
    let (table, paths) = match text.split_once('=') {
        Some((table, paths)) => (Some(table), paths),
        None => (None, text),
    };
    let paths: Vec<_> = paths
        .split(',')
        .map(|path| path.trim().to_owned())
        .collect();
    let is_path = |path: &String| path.split('.').all(|name| !name.is_empty());
    if table == Some("") || !paths.iter().all(is_path) {
        return Err("expected TABLE=PATH, or TABLE=PATH,PATH for a key of two columns".to_owned());
    }
    Ok(SinkKeyOf {
        table: table.map(str::to_owned),
        paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_path_for_each_of_its_columns() {
        let of = |text: &str| sink_key_of(text).map(|key| (key.table, key.paths));
        let orders = Some("public.orders".to_owned());
        let expected = vec!["order.id".to_owned(), "region".to_owned()];
        assert_eq!(of("public.orders=order.id, region"), Ok((orders, expected)));
        assert_eq!(of("_id.a"), Ok((None, vec!["_id.a".to_owned()])));
        for wrong in ["", "=id", "orders=", "orders=a,", "orders=a..b"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
