//! Values of pgvector's and PostGIS's types.
//!
//! Sources: the documentation of pgvector; "The OpenGIS extended well-known binary" of PostGIS; Debezium's classes `Vectors` and
//! `PostgisGeometry`.

use super::json::{Malformed, WriteResult, base64, number, raw};
use super::number::float;

/// `vector` and `halfvec`, `[1,2.5]`: an array of numbers.
pub(super) fn vector(out: &mut Vec<u8>, text: &str) -> WriteResult {
    let elements = inner(text, '[', ']').ok_or(Malformed)?;
    out.push(b'[');
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        float(out, element)?;
    }
    out.push(b']');
    Ok(())
}

/// `sparsevec`, `{1:0.5,3:2}/5`: the number of dimensions, and pairs of a dimension and its number.
pub(super) fn sparse_vector(out: &mut Vec<u8>, text: &str) -> WriteResult {
    let (pairs, dimensions) = text.split_once('/').ok_or(Malformed)?;
    let integer = |text: &str| text.trim().parse::<u32>().map_err(|_| Malformed);
    raw(out, "{\"dimensions\":");
    number(out, integer(dimensions)?.into());
    raw(out, ",\"vector\":[");
    for (index, pair) in inner(pairs, '{', '}').ok_or(Malformed)?.enumerate() {
        let (dimension, element) = pair.split_once(':').ok_or(Malformed)?;
        raw(out, if index > 0 { ",[" } else { "[" });
        number(out, integer(dimension)?.into());
        out.push(b',');
        float(out, element.trim())?;
        out.push(b']');
    }
    raw(out, "]}");
    Ok(())
}

/// The elements between brackets; none when there is nothing between them.
fn inner(text: &str, open: char, close: char) -> Option<impl Iterator<Item = &str>> {
    let text = text.trim().strip_prefix(open)?.strip_suffix(close)?;
    let elements = text.split(',').map(str::trim);
    Some(elements.skip(usize::from(text.trim().is_empty())))
}

/// `geometry` and `geography`: extended well-known binary (EWKB), which is hexadecimal in PostGIS's text format, and the
/// identifier of the spatial reference system (SRID) in it.
pub(super) fn geometry(out: &mut Vec<u8>, text: &str) -> WriteResult {
    let bytes = hex::decode(text).map_err(|_| Malformed)?;
    raw(out, "{\"wkb\":");
    base64(out, &bytes);
    raw(out, ",\"srid\":");
    match srid(&bytes).ok_or(Malformed)? {
        Some(srid) => number(out, srid.into()),
        None => raw(out, "null"),
    }
    out.push(b'}');
    Ok(())
}

/// The SRID after byte order and type, if the type has the flag for it.
#[allow(clippy::option_option)]
fn srid(bytes: &[u8]) -> Option<Option<i32>> {
    const HAS_SRID: u32 = 0x2000_0000;
    let (order, rest) = bytes.split_first()?;
    let (kind, rest) = rest.split_first_chunk()?;
    let number = rest.first_chunk()?;
    let (kind, number) = match order {
        0 => (u32::from_be_bytes(*kind), i32::from_be_bytes(*number)),
        _ => (u32::from_le_bytes(*kind), i32::from_le_bytes(*number)),
    };
    Some((kind & HAS_SRID != 0).then_some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(write: fn(&mut Vec<u8>, &str) -> WriteResult, text: &str) -> Option<String> {
        let mut out = Vec::new();
        write(&mut out, text).ok()?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn vectors_are_arrays_of_numbers() {
        assert_eq!(json(vector, "[4,-5.5,1e-07]").unwrap(), "[4.0,-5.5,1e-07]");
        assert_eq!(json(vector, "[]").unwrap(), "[]");
        for malformed in ["", "4,5", "[4,]", "[a]", "{4}", "[4"] {
            assert_eq!(json(vector, malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_sparse_vector_has_pairs_of_dimension_and_number() {
        assert_eq!(
            json(sparse_vector, "{1:0.5,3:2}/5").unwrap(),
            r#"{"dimensions":5,"vector":[[1,0.5],[3,2.0]]}"#
        );
        assert_eq!(
            json(sparse_vector, "{}/5").unwrap(),
            r#"{"dimensions":5,"vector":[]}"#
        );
        for malformed in ["", "{1:0.5}", "{1}/5", "{1:x}/5", "1:2/5", "{1:2}/-5"] {
            assert_eq!(json(sparse_vector, malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_geometry_has_its_bytes_and_the_srid_in_them() {
        let point = "0101000020E6100000000000000000F03F0000000000000040";
        let written = json(geometry, point).unwrap();
        assert!(written.ends_with(",\"srid\":4326}"), "{written}");
        let big_endian = "0020000001000010E63FF00000000000004000000000000000";
        assert!(json(geometry, big_endian).unwrap().ends_with(":4326}"));
        let without = "0101000000000000000000F03F0000000000000040";
        assert_eq!(
            json(geometry, without).unwrap(),
            r#"{"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}"#
        );
        for malformed in ["", "01", "0101000000", "POINT(1 2)"] {
            assert_eq!(json(geometry, malformed), None, "{malformed}");
        }
    }
}
