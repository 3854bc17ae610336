//! Transactions that the server sends while they run (protocol version 2, `streaming`): their messages wait here for the end
//! of their transaction, in memory up to a limit and in a file beyond it.
//!
//! A large transaction then takes no place on the server's disk, and is at hand when it commits.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::path::PathBuf;

use crate::pgoutput::{self, Message, StreamControl};
use crate::reader::config::SpoolConfig;
use crate::{Lsn, ReaderError};

/// Id of the sub-transaction, position, length of the message.
const HEADER: usize = 4 + 8 + 4;
/// What is read of a file at once.
const READ_SIZE: usize = 256 * 1_024;

/// The transactions under way.
#[derive(Debug)]
pub(crate) struct Spools {
    config: SpoolConfig,
    /// Bytes in memory, of all.
    used: usize,
    /// Bytes in memory and files, of all.
    kept: u64,
    /// The transaction that the messages now coming belong to.
    current: Option<u32>,
    open: HashMap<u32, Spool>,
}

/// The messages of a transaction under way.
#[derive(Debug, Default)]
struct Spool {
    /// What was moved out of memory; without a name, so that nothing is left of it however we end.
    file: Option<File>,
    /// What came after it.
    memory: Vec<u8>,
    /// Bytes of both.
    kept: u64,
    /// Sub-transactions that were rolled back.
    aborted: HashSet<u32>,
}

/// What has become of a message.
#[derive(Debug)]
pub(crate) enum Spooled<'a> {
    /// It is of no transaction under way: it is to be delivered.
    No,
    /// It waits for the end of its transaction, or was about one.
    Kept,
    /// A transaction has committed or was prepared: its messages, and those around them.
    Ended(Box<SpoolReader>, Frame<'a>),
}

/// The messages with which a transaction that was sent while it ran would have begun and ended otherwise.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// Position of its commit or prepare.
    pub(crate) lsn: Lsn,
    pub(crate) begin: Message<'a>,
    pub(crate) end: Message<'a>,
}

impl Spools {
    pub(crate) fn new(config: SpoolConfig) -> Self {
        Self {
            config,
            used: 0,
            kept: 0,
            current: None,
            open: HashMap::new(),
        }
    }

    /// The stream broke: the server sends everything that has not committed again.
    pub(crate) fn clear(&mut self) {
        (self.used, self.kept, self.current) = (0, 0, None);
        self.open.clear();
    }

    /// Takes a message of the stream, if it is of a transaction under way.
    ///
    /// # Errors
    /// When it is malformed, or the file cannot be written.
    pub(crate) fn take<'a>(
        &mut self,
        lsn: Lsn,
        message: &'a [u8],
    ) -> Result<Spooled<'a>, ReaderError> {
        let malformed = |cause| ReaderError::Decode { cause, lsn };
        let Some(control) = pgoutput::stream_control(message).map_err(malformed)? else {
            let Some(xid) = self.current else {
                return Ok(Spooled::No);
            };
            self.keep(xid, lsn, message)?;
            return Ok(Spooled::Kept);
        };
        match control {
            StreamControl::Start { xid } => {
                self.current = Some(xid);
                self.open.entry(xid).or_default();
            }
            StreamControl::Stop => self.current = None,
            StreamControl::Abort { xid, sub_xid } if xid == sub_xid => drop(self.remove(xid)),
            StreamControl::Abort { xid, sub_xid } => {
                if let Some(spool) = self.open.get_mut(&xid) {
                    spool.aborted.insert(sub_xid);
                }
            }
            StreamControl::Commit {
                xid,
                commit_lsn,
                end_lsn,
                commit_time_us,
            } => {
                let frame = Frame {
                    lsn: Lsn(commit_lsn),
                    begin: Message::Begin {
                        final_lsn: commit_lsn,
                        commit_time_us,
                        xid,
                    },
                    end: Message::Commit {
                        commit_lsn,
                        end_lsn,
                        commit_time_us,
                    },
                };
                return self.ended(xid, frame);
            }
            StreamControl::Prepare(prepare) => {
                let frame = Frame {
                    lsn: Lsn(prepare.prepare_lsn),
                    begin: Message::BeginPrepare(prepare),
                    end: Message::Prepare(prepare),
                };
                return self.ended(prepare.xid, frame);
            }
        }
        Ok(Spooled::Kept)
    }

    fn ended<'a>(&mut self, xid: u32, frame: Frame<'a>) -> Result<Spooled<'a>, ReaderError> {
        let spool = self.remove(xid).unwrap_or_default();
        let reader = spool.read(self.folder())?;
        Ok(Spooled::Ended(Box::new(reader), frame))
    }

    /// Bytes in memory and files.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    fn remove(&mut self, xid: u32) -> Option<Spool> {
        let spool = self.open.remove(&xid)?;
        self.used -= spool.memory.len();
        self.kept -= spool.kept;
        Some(spool)
    }

    fn keep(&mut self, xid: u32, lsn: Lsn, message: &[u8]) -> Result<(), ReaderError> {
        let malformed = |cause| ReaderError::Decode { cause, lsn };
        let (sub_xid, parts) = pgoutput::streamed(message).map_err(malformed)?;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let Ok(shown) = u32::try_from(length) else {
            return Err(self.failed(&io::ErrorKind::FileTooLarge.into()));
        };
        let spool = self.open.entry(xid).or_default();
        let memory = &mut spool.memory;
        memory.extend_from_slice(&sub_xid.unwrap_or(xid).to_be_bytes());
        memory.extend_from_slice(&lsn.0.to_be_bytes());
        memory.extend_from_slice(&shown.to_be_bytes());
        for part in parts {
            memory.extend_from_slice(part);
        }
        let added = HEADER as u64 + u64::from(shown);
        spool.kept += added;
        self.kept += added;
        self.used += HEADER + length;
        if self.used > self.config.memory {
            self.spill().map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Moves the largest one out of memory.
    fn spill(&mut self) -> io::Result<()> {
        let largest = self
            .open
            .values_mut()
            .max_by_key(|spool| spool.memory.len());
        let Some(spool) = largest else {
            return Ok(());
        };
        let file = match &mut spool.file {
            Some(file) => file,
            None => spool.file.insert(match &self.config.folder {
                Some(folder) => tempfile::tempfile_in(folder)?,
                None => tempfile::tempfile()?,
            }),
        };
        file.write_all(&spool.memory)?;
        self.used -= spool.memory.len();
        spool.memory.clear();
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> ReaderError {
        failed(self.folder(), error)
    }

    fn folder(&self) -> PathBuf {
        let folder = self.config.folder.clone();
        folder.unwrap_or_else(std::env::temp_dir)
    }
}

fn failed(folder: PathBuf, error: &io::Error) -> ReaderError {
    ReaderError::Spool {
        folder,
        reason: error.to_string(),
    }
}

impl Spool {
    fn read(self, folder: PathBuf) -> Result<SpoolReader, ReaderError> {
        let mut file = self.file;
        if let Some(file) = &mut file {
            file.rewind()
                .map_err(|error| failed(folder.clone(), &error))?;
        }
        let (bytes, memory) = match file {
            Some(_) => (Vec::new(), self.memory),
            None => (self.memory, Vec::new()),
        };
        Ok(SpoolReader {
            folder,
            file,
            memory,
            begin: 0,
            end: bytes.len(),
            bytes,
            aborted: self.aborted,
        })
    }
}

/// The messages of a transaction that has ended, in their order, without those of what it has rolled back.
#[derive(Debug)]
pub(crate) struct SpoolReader {
    folder: PathBuf,
    file: Option<File>,
    /// What comes after the file.
    memory: Vec<u8>,
    /// A part of the file, and `memory` after it; of it, what is not taken yet lies between `begin` and `end`.
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
    aborted: HashSet<u32>,
}

impl SpoolReader {
    /// The next message, as protocol version 1 has it, and its position. Borrowed from what was read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<(Lsn, &[u8])>, ReaderError> {
        loop {
            let Some((sub_xid, lsn, message)) = self.take() else {
                let more = self.read_on();
                if more.map_err(|error| failed(self.folder.clone(), &error))? {
                    continue;
                }
                return Ok(None);
            };
            if !self.aborted.contains(&sub_xid) {
                return Ok(Some((lsn, &self.bytes[message])));
            }
        }
    }

    /// Takes the next message, if all of it was read: its sub-transaction, its position, and where it lies.
    fn take(&mut self) -> Option<(u32, Lsn, Range<usize>)> {
        let unread = &self.bytes[self.begin..self.end];
        let (sub_xid, lsn, length) = parse_header(unread.first_chunk()?);
        let begin = self.begin + HEADER;
        if self.end - begin < length {
            return None;
        }
        self.begin = begin + length;
        Some((sub_xid, lsn, begin..self.begin))
    }

    /// Reads more. False at the end.
    fn read_on(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.file else {
            // Memory holds complete messages.
            return Ok(false);
        };
        self.bytes.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        if self.bytes.len() - self.end < READ_SIZE {
            self.bytes.resize(self.end + READ_SIZE, 0);
        }
        let count = file.read(&mut self.bytes[self.end..])?;
        self.end += count;
        if count > 0 {
            return Ok(true);
        }
        if self.end > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file = None;
        self.bytes = std::mem::take(&mut self.memory);
        self.end = self.bytes.len();
        Ok(true)
    }
}

fn parse_header(header: &[u8; HEADER]) -> (u32, Lsn, usize) {
    let [a, b, c, d, lsn @ .., e, f, g, h] = *header;
    let length = u32::from_be_bytes([e, f, g, h]);
    (
        u32::from_be_bytes([a, b, c, d]),
        Lsn(u64::from_be_bytes(lsn)),
        usize::try_from(length).unwrap_or(usize::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(xid: u32) -> Vec<u8> {
        [&b"S"[..], &xid.to_be_bytes(), &[1]].concat()
    }

    fn commit(xid: u32) -> Vec<u8> {
        let xid = xid.to_be_bytes();
        [
            &b"c"[..],
            &xid,
            &[0],
            &7_u64.to_be_bytes(),
            &9_u64.to_be_bytes(),
            &5_i64.to_be_bytes(),
        ]
        .concat()
    }

    fn prepare(xid: u32) -> Vec<u8> {
        let [kind, _, _, _, _, flags, positions @ ..] = &commit(xid)[..] else {
            unreachable!();
        };
        assert_eq!(*kind, b'c');
        [&[b'p', *flags], positions, &xid.to_be_bytes(), b"gid\0"].concat()
    }

    fn abort(xid: u32, sub_xid: u32) -> Vec<u8> {
        [&b"A"[..], &xid.to_be_bytes(), &sub_xid.to_be_bytes()].concat()
    }

    fn row(sub_xid: u32, content: &str) -> Vec<u8> {
        [&b"I"[..], &sub_xid.to_be_bytes(), content.as_bytes()].concat()
    }

    fn spools(memory: usize) -> Spools {
        Spools::new(SpoolConfig {
            memory,
            ..SpoolConfig::default()
        })
    }

    /// What the messages lead to: those of each transaction that commits, as text.
    fn committed(spools: &mut Spools, messages: &[Vec<u8>]) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let lsn = Lsn(u64::try_from(index).unwrap());
            match spools.take(lsn, message).unwrap() {
                Spooled::Ended(mut reader, frame) => {
                    let (at, after) = match frame.end {
                        Message::Commit {
                            commit_lsn,
                            end_lsn,
                            ..
                        } => (commit_lsn, end_lsn),
                        Message::Prepare(prepare) => (prepare.prepare_lsn, prepare.end_lsn),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!((frame.lsn, at, after), (Lsn(7), 7, 9));
                    let mut rows = Vec::new();
                    while let Some((lsn, message)) = reader.next().unwrap() {
                        rows.push(format!("{} {}", lsn.0, String::from_utf8_lossy(message)));
                    }
                    found.push(rows);
                }
                Spooled::Kept => {}
                Spooled::No => found.push(vec!["at once".to_owned()]),
            }
        }
        found
    }

    #[test]
    fn what_was_rolled_back_is_not_delivered_wherever_it_waits() {
        let messages = [
            start(1),
            row(1, "a"),
            row(11, "b"),
            b"E".to_vec(),
            start(2),
            row(2, "c"),
            b"E".to_vec(),
            b"I\0\0\0\x05now".to_vec(),
            start(1),
            row(12, "d"),
            b"E".to_vec(),
            abort(1, 11),
            abort(2, 2),
            commit(1),
        ];
        for memory in [0, 30, 1_000] {
            let mut spools = spools(memory);
            let found = committed(&mut spools, &messages);
            assert_eq!(found, [vec!["at once"], vec!["1 Ia", "9 Id"]], "{memory}");
            assert_eq!(spools.used, 0, "{memory}");
        }
    }

    #[test]
    fn a_transaction_that_was_prepared_comes_at_its_prepare() {
        let messages = [start(3), row(3, "a"), row(4, "b"), abort(3, 4), prepare(3)];
        let mut spools = spools(10);
        assert_eq!(committed(&mut spools, &messages), [["1 Ia"]]);
        assert_eq!(spools.used, 0);
        assert!(spools.take(Lsn(5), b"p\0").is_err());
    }

    #[test]
    fn messages_in_a_file_are_read_in_parts_of_any_size() {
        let long = "x".repeat(READ_SIZE * 2);
        let mut spools = spools(20);
        let mut messages = vec![start(1)];
        for text in ["a", &long, "b", &long[..READ_SIZE - 40], "c"] {
            messages.push(row(1, text));
        }
        messages.push(commit(1));
        let found = committed(&mut spools, &messages);
        let lengths: Vec<_> = found[0].iter().map(|row| row.len()).collect();
        let long = long.len();
        assert_eq!(lengths, [4, long + 3, 4, long / 2 - 37, 4]);
    }

    #[test]
    fn a_broken_stream_begins_again() {
        let mut spools = spools(10);
        committed(&mut spools, &[start(1), row(1, "a")]);
        spools.clear();
        let again = [start(1), row(1, "a"), b"E".to_vec(), commit(1)];
        assert_eq!(committed(&mut spools, &again), [["1 Ia"]]);
    }

    #[test]
    fn malformed_messages_are_errors() {
        for message in [&b"S\0"[..], b"c\0\0", b"A\0\0\0\x01"] {
            assert!(spools(10).take(Lsn(1), message).is_err(), "{message:?}");
        }
        let mut spools = spools(10);
        spools.take(Lsn(1), &start(1)).unwrap();
        assert!(spools.take(Lsn(2), b"I\0").is_err());
    }
}
