//! A part of a text that came before and may come again.

use super::text::WORD;

/// So many bytes are compared at once.
const SHORT: usize = 4 * WORD;

/// Bytes that may stand where a reader stands. Most are short, and each is of another length: to compare with them takes the
/// same steps all the same, since a processor cannot foresee steps that depend on a length.
#[derive(Debug)]
pub(crate) struct Expected {
    bytes: Box<[u8]>,
    /// The first of them, a word each.
    first: [u64; SHORT / WORD],
    /// Which bits of those words count.
    counts: [u64; SHORT / WORD],
}

impl Expected {
    pub fn new(bytes: &[u8]) -> Self {
        let word_at = |from: &dyn Fn(usize) -> u8, index: usize| {
            u64::from_le_bytes(std::array::from_fn(|byte| from(index * WORD + byte)))
        };
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let counts = |at: usize| if at < bytes.len() { u8::MAX } else { 0 };
        Self {
            bytes: bytes.into(),
            first: std::array::from_fn(|index| word_at(&byte, index)),
            counts: std::array::from_fn(|index| word_at(&counts, index)),
        }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether they stand at the beginning of a text.
    #[inline]
    pub fn begins(&self, text: &[u8]) -> bool {
        let Some(ahead) = text.first_chunk::<SHORT>() else {
            return text.starts_with(&self.bytes);
        };
        let (words, _) = ahead.as_chunks::<WORD>();
        let expected = self.first.iter().zip(&self.counts);
        let differences = words
            .iter()
            .zip(expected)
            .map(|(word, (first, counts))| (u64::from_le_bytes(*word) ^ first) & counts);
        differences.fold(0, |all, bits| all | bits) == 0
            && (self.bytes.len() <= SHORT || text.starts_with(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_text_begins_with(expected in "[ab]{0,70}", text in "[ab]{0,70}", cut in 0usize..70, byte in 0usize..70) {
            let kept = Expected::new(expected.as_bytes());
            let begins = |text: &str| kept.begins(text.as_bytes());
            prop_assert_eq!(begins(&text), text.starts_with(&expected));
            let longer = format!("{expected}{text}");
            prop_assert!(begins(&longer));
            let cut = &longer[..cut.min(longer.len())];
            prop_assert_eq!(begins(cut), cut.starts_with(&expected));
            if let Some(at) = (byte < longer.len()).then_some(byte) {
                let other = [&longer[..at], "c", &longer[at + 1..]].concat();
                prop_assert_eq!(begins(&other), other.starts_with(&expected));
            }
        }
    }
}
