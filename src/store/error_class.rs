//! What a server's error code means for what was to be written: try again, put the document aside, or stop.
//!
//! Source: MongoDB's `error_codes.yml` with its categories, and the drivers' specification of retryable writes.

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeClass {
    /// The state of the server: the same will succeed later.
    Transient,
    /// The document: the same will fail again, and others will not.
    Document,
    /// The server, its configuration or our rights: every document will fail until somebody changes that.
    Fatal,
}

/// The network between servers, elections, shutdowns, time limits, locks, conflicts of concurrent operations, overload, and a
/// write concern that was not met in time. 16500 is how stores that imitate MongoDB limit the rate of requests.
const TRANSIENT: [i32; 54] = [
    6, 7, 24, 46, 50, 64, 89, 91, 107, 112, 117, 133, 134, 149, 150, 189, 202, 203, 215, 216, 239,
    246, 249, 250, 262, 264, 272, 279, 290, 303, 317, 319, 342, 343, 355, 358, 363, 365, 371, 391,
    402, 407, 433, 449, 9001, 10058, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 16500,
];

/// A full disk. It is waited for, as somebody may be making room.
const OUT_OF_DISK_SPACE: i32 = 14_031;

/// Codes that are about one document, also where the server answers the whole command with them: too large, not well-formed,
/// refused by validation, not fit for an index.
const DOCUMENT: [i32; 21] = [
    15, 22, 52, 53, 54, 55, 56, 57, 61, 116, 121, 171, 201, 357, 378, 10003, 10334, 11000, 11001,
    16755, 17280,
];

/// Codes that are not about a document, even where the server gives them for one: rights, namespace, options, cluster.
const FATAL: [i32; 26] = [
    13, 18, 20, 26, 59, 70, 72, 73, 76, 79, 93, 94, 96, 100, 101, 115, 123, 148, 166, 167, 227,
    242, 322, 323, 324, 8000,
];

/// The class of an error that answers a whole command. What is not known stops: it cannot be said of which document it is.
pub(super) fn of_command(code: i32) -> CodeClass {
    if is_transient(code) {
        CodeClass::Transient
    } else if DOCUMENT.contains(&code) {
        CodeClass::Document
    } else {
        CodeClass::Fatal
    }
}

/// The class of an error that the server gives for one document of several. What is not known is the document's: others of
/// the same command may have been written.
pub(super) fn of_document(code: i32) -> CodeClass {
    if is_transient(code) {
        CodeClass::Transient
    } else if FATAL.contains(&code) {
        CodeClass::Fatal
    } else {
        CodeClass::Document
    }
}

fn is_transient(code: i32) -> bool {
    code == OUT_OF_DISK_SPACE || TRANSIENT.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_of_two_classes() {
        for code in DOCUMENT {
            assert!(!is_transient(code) && !FATAL.contains(&code), "{code}");
        }
        assert!(FATAL.iter().all(|code| !is_transient(*code)));
    }

    #[test]
    fn what_is_not_known_stops_a_command_and_puts_a_document_aside() {
        assert_eq!(of_command(99_999), CodeClass::Fatal);
        assert_eq!(of_document(99_999), CodeClass::Document);
        for (code, class) in [
            (11_000, CodeClass::Document),
            (121, CodeClass::Document),
            (13, CodeClass::Fatal),
            // An unknown write concern, and one that the members can never meet.
            (79, CodeClass::Fatal),
            (100, CodeClass::Fatal),
            // One that was not met in time.
            (64, CodeClass::Transient),
            (189, CodeClass::Transient),
            (14_031, CodeClass::Transient),
        ] {
            assert_eq!(
                (of_command(code), of_document(code)),
                (class, class),
                "{code}"
            );
        }
    }
}
