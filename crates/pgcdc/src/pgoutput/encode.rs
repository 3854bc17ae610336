//! Encodes messages as the server does, for tests of the decoder, its bench, and fuzzing.

// Only tests encode messages.
#![allow(clippy::unwrap_used)]

use super::{Message, OldTuple, PrepareMessage, Tuple, Value};

/// Encodes a message.
///
/// # Panics
/// When a count or a length is too large for its field.
pub fn encode(message: &Message<'_>) -> Vec<u8> {
    fn string(out: &mut Vec<u8>, text: &str) {
        out.extend(text.as_bytes());
        out.push(0);
    }
    fn tuple(out: &mut Vec<u8>, tuple: &Tuple<'_>) {
        out.extend(u16::try_from(tuple.len()).unwrap().to_be_bytes());
        for value in tuple {
            match value {
                Value::Null => out.push(b'n'),
                Value::Unchanged => out.push(b'u'),
                Value::Text(text) => {
                    out.push(b't');
                    out.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
                    out.extend(text.as_bytes());
                }
                Value::Binary(bytes) => {
                    out.push(b'b');
                    out.extend(i32::try_from(bytes.len()).unwrap().to_be_bytes());
                    out.extend(bytes);
                }
            }
        }
    }
    fn old(out: &mut Vec<u8>, old: &OldTuple<'_>) {
        let (tag, row) = match old {
            OldTuple::Key(row) => (b'K', row),
            OldTuple::Full(row) => (b'O', row),
        };
        out.push(tag);
        tuple(out, row);
    }
    fn prepare(out: &mut Vec<u8>, message: &PrepareMessage<'_>) {
        out.extend(message.prepare_lsn.to_be_bytes());
        out.extend(message.end_lsn.to_be_bytes());
        out.extend(message.prepare_time_us.to_be_bytes());
        out.extend(message.xid.to_be_bytes());
        string(out, message.gid);
    }
    let mut out = Vec::new();
    match message {
        Message::Begin {
            final_lsn,
            commit_time_us,
            xid,
        } => {
            out.push(b'B');
            out.extend(final_lsn.to_be_bytes());
            out.extend(commit_time_us.to_be_bytes());
            out.extend(xid.to_be_bytes());
        }
        Message::Commit {
            commit_lsn,
            end_lsn,
            commit_time_us,
        } => {
            out.extend([b'C', 0]);
            out.extend(commit_lsn.to_be_bytes());
            out.extend(end_lsn.to_be_bytes());
            out.extend(commit_time_us.to_be_bytes());
        }
        Message::Origin { commit_lsn, name } => {
            out.push(b'O');
            out.extend(commit_lsn.to_be_bytes());
            string(&mut out, name);
        }
        Message::Relation(relation) => {
            out.push(b'R');
            out.extend(relation.oid.to_be_bytes());
            string(&mut out, relation.schema);
            string(&mut out, relation.name);
            out.push(relation.replica_identity);
            out.extend(u16::try_from(relation.columns.len()).unwrap().to_be_bytes());
            for column in relation.columns.iter() {
                out.push(u8::from(column.key));
                string(&mut out, column.name);
                out.extend(column.type_oid.to_be_bytes());
                out.extend(column.type_modifier.to_be_bytes());
            }
        }
        Message::Type { oid, schema, name } => {
            out.push(b'Y');
            out.extend(oid.to_be_bytes());
            string(&mut out, schema);
            string(&mut out, name);
        }
        Message::Insert { relation, new } => {
            out.push(b'I');
            out.extend(relation.to_be_bytes());
            out.push(b'N');
            tuple(&mut out, new);
        }
        Message::Update {
            relation,
            old: before,
            new,
        } => {
            out.push(b'U');
            out.extend(relation.to_be_bytes());
            if let Some(before) = before {
                old(&mut out, before);
            }
            out.push(b'N');
            tuple(&mut out, new);
        }
        Message::Delete {
            relation,
            old: before,
        } => {
            out.push(b'D');
            out.extend(relation.to_be_bytes());
            old(&mut out, before);
        }
        Message::Truncate {
            relations,
            cascade,
            restart_identity,
        } => {
            out.push(b'T');
            out.extend(i32::try_from(relations.len()).unwrap().to_be_bytes());
            out.push(u8::from(*cascade) | u8::from(*restart_identity) << 1);
            relations
                .iter()
                .for_each(|oid| out.extend(oid.to_be_bytes()));
        }
        Message::Logical {
            transactional,
            lsn,
            prefix,
            content,
        } => {
            out.extend([b'M', u8::from(*transactional)]);
            out.extend(lsn.to_be_bytes());
            string(&mut out, prefix);
            out.extend(i32::try_from(content.len()).unwrap().to_be_bytes());
            out.extend(*content);
        }
        Message::BeginPrepare(message) => {
            out.push(b'b');
            prepare(&mut out, message);
        }
        Message::Prepare(message) => {
            out.extend([b'P', 0]);
            prepare(&mut out, message);
        }
        Message::CommitPrepared(message) => {
            out.extend([b'K', 0]);
            out.extend(message.commit_lsn.to_be_bytes());
            out.extend(message.end_lsn.to_be_bytes());
            out.extend(message.commit_time_us.to_be_bytes());
            out.extend(message.xid.to_be_bytes());
            string(&mut out, message.gid);
        }
        Message::RollbackPrepared(message) => {
            out.extend([b'r', 0]);
            out.extend(message.prepare_end_lsn.to_be_bytes());
            out.extend(message.end_lsn.to_be_bytes());
            out.extend(message.prepare_time_us.to_be_bytes());
            out.extend(message.rollback_time_us.to_be_bytes());
            out.extend(message.xid.to_be_bytes());
            string(&mut out, message.gid);
        }
    }
    out
}
