//! The channel binding `tls-server-end-point` (RFC 5929): the hash of the server's certificate, by the hash function of the
//! signature on it.

use sha2::{Digest, Sha256, Sha384, Sha512};

/// Object identifiers of signature algorithms in DER, by the hash that RFC 5929 takes for them (for MD5 and SHA-1, SHA-256).
const SHA256: &[&[u8]] = &[
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", // md5WithRSAEncryption
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", // sha1WithRSAEncryption
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", // sha256WithRSAEncryption
    b"\x2a\x86\x48\xce\x3d\x04\x01",         // ecdsa-with-SHA1
    b"\x2a\x86\x48\xce\x3d\x04\x03\x02",     // ecdsa-with-SHA256
];
const SHA384: &[&[u8]] = &[
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c",
    b"\x2a\x86\x48\xce\x3d\x04\x03\x03",
];
const SHA512: &[&[u8]] = &[
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d",
    b"\x2a\x86\x48\xce\x3d\x04\x03\x04",
];
/// RSASSA-PSS: the hash is a parameter.
const PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
/// Hash functions among these parameters: 2.16.840.1.101.3.4.2 and 1, 2 or 3.
const HASHES: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02";

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The hash of a certificate in DER. `None` where its signature has no single hash function (Ed25519), and where it is no
/// certificate.
pub(super) fn endpoint_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let (fields, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(fields, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    let is_in = |identifiers: &[&[u8]]| identifiers.contains(&identifier);
    let hash = if is_in(SHA256) {
        1
    } else if is_in(SHA384) {
        2
    } else if is_in(SHA512) {
        3
    } else if identifier == PSS {
        let at = memchr::memmem::find(parameters, HASHES)?;
        *parameters.get(at + HASHES.len())?
    } else {
        return None;
    };
    match hash {
        1 => Some(Sha256::digest(certificate).to_vec()),
        2 => Some(Sha384::digest(certificate).to_vec()),
        3 => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// The content of the DER element that `bytes` begin with, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = digits.iter().try_fold(0_usize, |length, digit| {
                length.checked_mul(256)?.checked_add((*digit).into())
            })?;
            (length, rest)
        }
    };
    rest.split_at_checked(length).filter(|_| found == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate with nothing in it but the algorithm of its signature.
    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let tagged = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            [&[tag, 0x81, length], content].concat()
        };
        let fields = [tagged(SEQUENCE, b""), tagged(SEQUENCE, algorithm)].concat();
        tagged(SEQUENCE, &fields)
    }

    fn length(identifier: &[u8], parameters: &[u8]) -> Option<usize> {
        let length = u8::try_from(identifier.len()).unwrap();
        let algorithm = [&[OBJECT_IDENTIFIER, length], identifier, parameters].concat();
        endpoint_hash(&certificate(&algorithm)).map(|hash| hash.len())
    }

    #[test]
    fn the_hash_is_that_of_the_signature_and_at_least_sha_256() {
        assert_eq!(length(SHA256[1], b""), Some(32));
        assert_eq!(length(SHA256[4], b""), Some(32));
        assert_eq!(length(SHA384[1], b""), Some(48));
        assert_eq!(length(SHA512[0], b""), Some(64));
        assert_eq!(length(PSS, &[HASHES, b"\x02"].concat()), Some(48));
        // Ed25519, and no certificate at all.
        assert_eq!(length(b"\x2b\x65\x70", b""), None);
        assert_eq!(endpoint_hash(b"\x30\xff\x01"), None);
        assert_eq!(endpoint_hash(b""), None);
    }
}
