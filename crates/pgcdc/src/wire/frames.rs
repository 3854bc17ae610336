//! Messages of a stream or a copy, borrowed from the bytes that were read.
//!
//! By hand, because it is the reader's innermost loop: a message costs neither an allocation nor a copy.

use std::ops::Range;

use super::WireError;

/// What is read at once, at least.
const CAPACITY: usize = 256 * 1_024;
/// A buffer that a large message has grown beyond this is given back when it is empty.
const LARGEST_KEPT: usize = 8 << 20;
/// The tag and the length before a message's content.
const HEADER: usize = 5;

/// Bytes that were read, and what of them was taken.
#[derive(Debug)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Where the content of the message taken last begins; it ends at `start`.
    content: usize,
    /// Largest accepted message, bytes.
    limit: usize,
}

impl FrameBuffer {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: vec![0; CAPACITY],
            start: 0,
            end: 0,
            content: 0,
            limit,
        }
    }

    /// Takes the next complete message, and returns its tag. `None` when more bytes are needed.
    ///
    /// # Errors
    /// When its length is impossible or above the limit.
    pub(super) fn take(&mut self) -> Result<Option<u8>, WireError> {
        let Some(size) = self.size()? else {
            return Ok(None);
        };
        if self.end - self.start < size {
            return Ok(None);
        }
        let tag = self.bytes[self.start];
        self.content = self.start + HEADER;
        self.start += size;
        Ok(Some(tag))
    }

    /// The content of the message that was taken last.
    pub(super) fn content(&self) -> &[u8] {
        &self.bytes[self.content..self.start]
    }

    /// Where that is: [`FrameBuffer::get`] has it until more is read.
    pub(super) fn content_range(&self) -> Range<usize> {
        self.content..self.start
    }

    /// The content of a message that was taken since bytes were last read.
    pub(super) fn get(&self, content: Range<usize>) -> &[u8] {
        &self.bytes[content]
    }

    /// Size of the next message with its header, if the header is there.
    fn size(&self) -> Result<Option<usize>, WireError> {
        let Some([_, length @ ..]) = self.bytes[self.start..self.end].first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        // The length counts itself.
        let content = usize::try_from(i32::from_be_bytes(*length)).ok();
        let Some(content) = content.and_then(|length| length.checked_sub(4)) else {
            return Err(WireError::Protocol(format!(
                "a message has the impossible length {}",
                i32::from_be_bytes(*length)
            )));
        };
        if content > self.limit {
            return Err(WireError::TooLarge {
                size: content,
                limit: self.limit,
            });
        }
        Ok(Some(content + HEADER))
    }

    /// Room for what is read next: [`FrameBuffer::filled`] says how much of it was used.
    pub(super) fn room(&mut self) -> Result<&mut [u8], WireError> {
        if self.start == self.end {
            (self.start, self.end, self.content) = (0, 0, 0);
            if self.bytes.len() > LARGEST_KEPT {
                self.bytes = vec![0; CAPACITY];
            }
        }
        let needed = self.size()?.unwrap_or(HEADER);
        if self.bytes.len() - self.start < needed.max(CAPACITY / 2) && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end, self.content) = (0, self.end - self.start, 0);
        }
        if self.bytes.len() < needed {
            // Twice what was read so far: a length alone reserves no memory.
            let grown = needed.min(self.bytes.len() * 2);
            if self.end == self.bytes.len() {
                self.bytes.resize(grown, 0);
            }
        }
        Ok(&mut self.bytes[self.end..])
    }

    /// So much of the room was used. Returns whether that was all of it.
    pub(super) fn filled(&mut self, count: usize) -> bool {
        self.end += count;
        self.end == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = i32::try_from(content.len() + 4).unwrap().to_be_bytes();
        [&[tag], &length[..], content].concat()
    }

    /// What comes out when the bytes are read in parts of these sizes.
    fn read(bytes: &[u8], parts: &[usize], limit: usize) -> Result<Vec<(u8, Vec<u8>)>, WireError> {
        let mut frames = FrameBuffer::new(limit);
        let (mut found, mut rest) = (Vec::new(), bytes);
        let mut parts = parts.iter().cycle();
        while !rest.is_empty() {
            let room = frames.room()?;
            let count = parts
                .next()
                .copied()
                .unwrap_or(1)
                .clamp(1, room.len().min(rest.len()));
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            frames.filled(count);
            while let Some(tag) = frames.take()? {
                found.push((tag, frames.content().to_vec()));
            }
        }
        Ok(found)
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_are_cut(
            messages in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
            parts in proptest::collection::vec(1..60_usize, 1..10),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|(tag, content)| frame(*tag, content)).collect();
            prop_assert_eq!(read(&bytes, &parts, 1_000).unwrap(), messages);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), parts in proptest::collection::vec(1..60_usize, 1..10)) {
            let _ = read(&bytes, &parts, 1_000);
        }
    }

    #[test]
    fn large_messages_pass_and_their_memory_is_given_back() {
        let large = frame(b'd', &vec![7; LARGEST_KEPT + 1]);
        let bytes = [frame(b'd', b"a"), large, frame(b'd', b"z")].concat();
        let found = read(&bytes, &[100_000], usize::MAX).unwrap();
        let sizes: Vec<_> = found.iter().map(|(_, content)| content.len()).collect();
        assert_eq!(sizes, [1, LARGEST_KEPT + 1, 1]);
        let mut frames = FrameBuffer::new(usize::MAX);
        frames.bytes = vec![0; LARGEST_KEPT + 1];
        assert_eq!(frames.room().unwrap().len(), CAPACITY);
    }

    #[test]
    fn an_impossible_length_is_an_error_and_a_large_one_reserves_nothing() {
        assert!(matches!(
            read(&[b'd', 0, 0, 0, 3], &[5], 100),
            Err(WireError::Protocol(_))
        ));
        assert!(matches!(
            read(&frame(b'd', &[0; 101]), &[5], 100),
            Err(WireError::TooLarge {
                size: 101,
                limit: 100
            })
        ));
        let mut frames = FrameBuffer::new(usize::MAX);
        frames.room().unwrap()[..5].copy_from_slice(&[b'd', 127, 255, 255, 255]);
        frames.filled(5);
        assert!(frames.room().unwrap().len() < 2 * CAPACITY);
    }
}
