//! Arrays in binary format.

use std::fmt::Write;

use bytes::BufMut;

/// PostgreSQL's `MAXDIM`.
const DIMENSIONS: usize = 6;

/// An array: number of dimensions, a flag, the element type's OID; length and lower bound of each dimension; the elements.
#[derive(Debug, Clone)]
pub(crate) struct BinaryArray<'a> {
    /// OID of the elements' type.
    pub(crate) element_oid: u32,
    /// Length and lower bound of each.
    dimensions: Vec<(usize, i32)>,
    elements: &'a [u8],
}

impl<'a> BinaryArray<'a> {
    /// Reads the dimensions; `None` when the bytes are no array. The elements are read by [`BinaryArray::elements`].
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = i32_of(bytes)?;
        let (_has_null, rest) = i32_of(rest)?;
        let (oid, mut rest) = rest.split_first_chunk()?;
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= DIMENSIONS)?;
        let mut dimensions = Vec::with_capacity(count);
        for _ in 0..count {
            let (length, after) = i32_of(rest)?;
            let (lower, after) = i32_of(after)?;
            dimensions.push((usize::try_from(length).ok()?, lower));
            rest = after;
        }
        // An array without elements has no dimensions, as the server sees it: whatever others are named would have no end.
        if dimensions.iter().any(|(length, _)| *length == 0) {
            dimensions.clear();
        }
        if dimensions.is_empty() && !rest.is_empty() {
            return None;
        }
        Some(Self {
            element_oid: u32::from_be_bytes(*oid),
            dimensions,
            elements: rest,
        })
    }

    /// The elements of an array of one dimension or none; `None` within for NULL. Nothing when it has more dimensions, or its
    /// bytes are no array.
    pub(crate) fn elements(&self) -> Option<Vec<Option<&'a [u8]>>> {
        match &*self.dimensions {
            [] => Some(Vec::new()),
            [(length, _)] => Elements(self.elements).exactly(*length),
            _ => None,
        }
    }

    /// The parts of an array of several dimensions: arrays with one less, in binary format. Nothing when it has no more than one,
    /// or its bytes are no array.
    pub(crate) fn parts(&self) -> Option<Vec<Vec<u8>>> {
        let ((length, _), inner) = self.dimensions.split_first()?;
        if inner.is_empty() {
            return None;
        }
        let mut header = Vec::new();
        header.put_u32(u32::try_from(inner.len()).ok()?);
        header.put_u32(0);
        header.put_u32(self.element_oid);
        let mut count = 1_usize;
        for (length, lower) in inner {
            count = count.checked_mul(*length)?;
            header.put_u32(u32::try_from(*length).ok()?);
            header.put_i32(*lower);
        }
        let mut elements = Elements(self.elements);
        let mut parts = Vec::new();
        for _ in 0..*length {
            let before = elements.0;
            elements.exactly_skipped(count)?;
            let part = &before[..before.len() - elements.0.len()];
            parts.push([&*header, part].concat());
        }
        elements.0.is_empty().then_some(parts)
    }

    /// Writes it as the server does: `{1,NULL,"a b"}`, with bounds before it if one is not 1.
    pub(super) fn write(
        &self,
        out: &mut String,
        text: impl Fn(&[u8]) -> Option<String>,
    ) -> Option<()> {
        if self.dimensions.is_empty() {
            out.push_str("{}");
            return Some(());
        }
        if self.dimensions.iter().any(|(_, lower)| *lower != 1) {
            for (length, lower) in &self.dimensions {
                let upper = i64::from(*lower) + i64::try_from(*length).ok()? - 1;
                let _ = write!(out, "[{lower}:{upper}]");
            }
            out.push('=');
        }
        let mut elements = Elements(self.elements);
        write_dimension(out, &self.dimensions, &mut elements, &text)?;
        elements.0.is_empty().then_some(())
    }
}

fn write_dimension(
    out: &mut String,
    dimensions: &[(usize, i32)],
    elements: &mut Elements<'_>,
    text: &impl Fn(&[u8]) -> Option<String>,
) -> Option<()> {
    let Some(((length, _), inner)) = dimensions.split_first() else {
        match elements.next()? {
            Some(bytes) => write_element(out, &text(bytes)?),
            None => out.push_str("NULL"),
        }
        return Some(());
    };
    out.push('{');
    for index in 0..*length {
        if index > 0 {
            out.push(',');
        }
        write_dimension(out, inner, elements, text)?;
    }
    out.push('}');
    Some(())
}

/// Writes an element, in quotation marks where it would be read as another without.
fn write_element(out: &mut String, text: &str) {
    let is_special = |c: char| matches!(c, '"' | '\\' | '{' | '}' | ',' | ' ' | '\t'..='\r');
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(is_special) {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// The elements that are left: length, and bytes; a length of -1 for NULL.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The next element; `None` when the bytes are none.
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, rest) = i32_of(self.0)?;
        if length == -1 {
            self.0 = rest;
            return Some(None);
        }
        let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(bytes))
    }

    /// All of them, if they are so many.
    fn exactly(mut self, count: usize) -> Option<Vec<Option<&'a [u8]>>> {
        // Each takes four bytes: a number beyond them reserves no memory.
        if count > self.0.len() / 4 {
            return None;
        }
        let elements: Option<Vec<_>> = (0..count).map(|_| self.next()).collect();
        elements.filter(|_| self.0.is_empty())
    }

    fn exactly_skipped(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.next().map(drop))
    }
}

fn i32_of(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((i32::from_be_bytes(*number), rest))
}
