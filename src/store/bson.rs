//! Writing BSON straight into bytes (<https://bsonspec.org/spec.html>): elements one after the other, lengths filled in
//! when a document closes. Nothing is allocated but the one buffer.

use uuid::Uuid;

/// Element types, as BSON numbers them.
pub(super) mod kind {
    pub const DOUBLE: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const DOCUMENT: u8 = 0x03;
    pub const ARRAY: u8 = 0x04;
    pub const BINARY: u8 = 0x05;
    pub const BOOLEAN: u8 = 0x08;
    pub const DATE_TIME: u8 = 0x09;
    pub const NULL: u8 = 0x0a;
    pub const INT32: u8 = 0x10;
    pub const INT64: u8 = 0x12;
}

const UUID_SUBTYPE: u8 = 0x04;

/// A document or string that was begun and is not ended: where its length goes.
#[must_use]
pub(super) struct OpenDocument(usize);

/// Heads of up to this many bytes are written by one copy of this constant size, and cut to their length.
const SHORT_HEAD: usize = 32;

/// The bytes before an element's value, its kind and name, stored to be written many times.
#[derive(Debug)]
pub(super) struct ElementHead {
    bytes: Box<[u8]>,
    first: [u8; SHORT_HEAD],
}

impl ElementHead {
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.into(),
            first: std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0)),
        }
    }
}

/// A buffer of BSON. Field names must hold no NUL byte: those given by callers are checked by them.
#[derive(Debug, Clone, Default)]
pub(super) struct BsonBuffer {
    bytes: Vec<u8>,
}

impl BsonBuffer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Reserves room for this many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Removes what was written from byte `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Begins the outermost document, or the value of an element of kind document or array.
    #[inline]
    pub fn begin(&mut self) -> OpenDocument {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        OpenDocument(at)
    }

    /// Ends the document. Past 2 GiB its length does not fit, and the caller's limit of 16 MiB is long exceeded.
    #[inline]
    pub fn end(&mut self, open: OpenDocument) {
        self.bytes.push(0);
        let length = i32::try_from(self.bytes.len() - open.0).unwrap_or(i32::MAX);
        self.patch(open.0, &length.to_le_bytes());
    }

    // Always inlined: a name that is a constant at the call is copied with a constant length then.
    #[inline(always)]
    pub fn element(&mut self, kind: u8, name: &str) {
        debug_assert!(!name.contains('\0'));
        self.bytes.push(kind);
        self.name(name);
    }

    /// Begins an element whose kind is not known yet; [`Self::set_kind`] sets it.
    #[inline]
    pub fn begin_element(&mut self) -> usize {
        self.bytes.push(0);
        self.bytes.len() - 1
    }

    #[inline]
    pub fn set_kind(&mut self, at: usize, kind: u8) {
        self.bytes[at] = kind;
    }

    #[inline(always)]
    pub fn name(&mut self, name: &str) {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
    }

    /// The name of an array's element: its index in decimals.
    #[inline]
    pub fn index_name(&mut self, mut index: usize) {
        let start = self.bytes.len();
        loop {
            let digit = u8::try_from(index % 10).unwrap_or(0);
            self.bytes.push(b'0' + digit);
            index /= 10;
            if index == 0 {
                break;
            }
        }
        self.bytes[start..].reverse();
        self.bytes.push(0);
    }

    /// Begins a string that is written in parts.
    #[inline]
    pub fn begin_string(&mut self) -> OpenDocument {
        self.begin()
    }

    /// Ends the string.
    #[inline]
    pub fn end_string(&mut self, open: OpenDocument) {
        self.bytes.push(0);
        let length = self.bytes.len() - open.0 - size_of::<i32>();
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        self.patch(open.0, &length.to_le_bytes());
    }

    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes a stored head.
    #[inline]
    pub fn head(&mut self, head: &ElementHead) {
        let end = self.bytes.len() + head.bytes.len();
        if head.bytes.len() <= SHORT_HEAD {
            self.bytes.extend_from_slice(&head.first);
            self.bytes.truncate(end);
        } else {
            self.bytes.extend_from_slice(&head.bytes);
        }
    }

    /// The bytes, to append to directly.
    #[inline]
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    #[inline(always)]
    pub fn string(&mut self, name: &str, text: &str) {
        self.element(kind::STRING, name);
        let string = self.begin_string();
        self.raw(text.as_bytes());
        self.end_string(string);
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        self.element(kind::BOOLEAN, name);
        self.bytes.push(u8::from(value));
    }

    #[inline(always)]
    pub fn int64(&mut self, name: &str, value: i64) {
        self.element(kind::INT64, name);
        self.raw(&value.to_le_bytes());
    }

    #[inline(always)]
    pub fn date_time(&mut self, name: &str, unix_ms: i64) {
        self.element(kind::DATE_TIME, name);
        self.raw(&unix_ms.to_le_bytes());
    }

    #[inline(always)]
    pub fn null(&mut self, name: &str) {
        self.element(kind::NULL, name);
    }

    #[inline(always)]
    pub fn uuid(&mut self, name: &str, id: Uuid) {
        self.element(kind::BINARY, name);
        self.raw(&16_i32.to_le_bytes());
        self.bytes.push(UUID_SUBTYPE);
        self.raw(id.as_bytes());
    }

    #[inline]
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn remove(&mut self, at: usize, count: usize) {
        self.bytes.drain(at..at + count);
    }
}
