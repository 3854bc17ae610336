//! A part of a text that is expected again: compared instead of parsed.

use super::text::WORD;

/// Up to this many bytes are compared as whole words.
const SHORT: usize = 4 * WORD;

/// Bytes that may be next in a text. Most are short and of different lengths. The comparison takes the same steps for every
/// length, because a processor cannot predict branches that depend on it.
#[derive(Debug)]
pub(crate) struct Expected {
    bytes: Box<[u8]>,
    /// The first bytes, as words.
    first: WordBlock,
    /// The bits of those words that are compared.
    counts: WordBlock,
}

type WordBlock = [u64; SHORT / WORD];

#[inline]
fn words(bytes: &[u8; SHORT]) -> WordBlock {
    let (words, _) = bytes.as_chunks::<WORD>();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

impl Expected {
    pub fn new(bytes: &[u8]) -> Self {
        let short = bytes.len().min(SHORT);
        let (mut first, mut counts) = ([0; SHORT], [0; SHORT]);
        first[..short].copy_from_slice(&bytes[..short]);
        counts[..short].fill(u8::MAX);
        Self {
            bytes: bytes.into(),
            first: words(&first),
            counts: words(&counts),
        }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a text begins with these bytes.
    #[inline]
    pub fn begins(&self, text: &[u8]) -> bool {
        let Some(ahead) = text.first_chunk::<SHORT>() else {
            return text.starts_with(&self.bytes);
        };
        let ahead = words(ahead);
        let differ = |at: usize| (ahead[at] ^ self.first[at]) & self.counts[at];
        (0..ahead.len()).fold(0, |all, at| all | differ(at)) == 0
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
