//! A proxy before the store that answers inserts of events in its place, as servers do when something is wrong.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use mongodb::bson::{Document, RawDocument};

/// What is answered to an insert of events.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This, without asking the store.
    Refused(Document),
    /// This, when the store has written it.
    Written(Document),
    /// This as long as the insert holds the event of this sequence number; it stays the answer.
    RefusedWith(i64, Document),
}

type Answers = Arc<Mutex<VecDeque<Answer>>>;

pub struct StoreProxy {
    port: u16,
    answers: Answers,
}

const HEADER: usize = 16;
const OP_MSG: i32 = 2013;

impl StoreProxy {
    /// It runs until the process ends.
    pub fn before(uri: &str) -> Self {
        let (_, rest) = uri.split_once("://").unwrap();
        let host = rest.split('/').next().unwrap();
        let store = host.rsplit('@').next().unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Answers::default();
        let given = Arc::clone(&answers);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&store) else {
                    continue;
                };
                let answers = Arc::clone(&given);
                std::thread::spawn(move || serve(client, server, &answers));
            }
        });
        Self { port, answers }
    }

    /// The connection string of the store, by way of this proxy.
    pub fn uri(&self, uri: &str) -> String {
        let (scheme, rest) = uri.split_once("://").unwrap();
        let (before, options) = rest.split_once('/').unwrap();
        let login = before.rsplit_once('@').map_or("", |(login, _)| login);
        let at = if login.is_empty() { "" } else { "@" };
        format!("{scheme}://{login}{at}127.0.0.1:{}/{options}", self.port)
    }

    /// Answers the next inserts with these.
    pub fn answer(&self, answers: Vec<Answer>) {
        *self.answers.lock().unwrap() = answers.into();
    }
}

/// Messages of one connection in turn: the driver waits for each answer.
fn serve(mut client: TcpStream, mut server: TcpStream, answers: &Answers) -> io::Result<()> {
    loop {
        let message = read(&mut client)?;
        match inserted(&message).and_then(|insert| next_answer(&insert, answers)) {
            Some((answer, is_written)) => {
                if is_written {
                    server.write_all(&message)?;
                    read(&mut server)?;
                }
                client.write_all(&reply(&message, &answer))?;
            }
            None => {
                server.write_all(&message)?;
                let mut answer = read(&mut server)?;
                client.write_all(&answer)?;
                // A server that reports its state goes on by itself.
                while flags(&answer) & 0b10 != 0 {
                    answer = read(&mut server)?;
                    client.write_all(&answer)?;
                }
            }
        }
    }
}

fn next_answer(insert: &Document, answers: &Answers) -> Option<(Document, bool)> {
    let mut answers = answers.lock().unwrap();
    if let Some(Answer::RefusedWith(seq, answer)) = answers.front() {
        let documents = insert.get_array("documents").unwrap().iter();
        let mut documents = documents.filter_map(|document| document.as_document());
        let holds = documents.any(|document| document.get_i64("seq").ok() == Some(*seq));
        return holds.then(|| (answer.clone(), false));
    }
    match answers.pop_front()? {
        Answer::Refused(answer) | Answer::RefusedWith(_, answer) => Some((answer, false)),
        Answer::Written(answer) => Some((answer, true)),
    }
}

fn read(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    from.read_exact(&mut message)?;
    let length = usize::try_from(int(&message, 0)).map_err(io::Error::other)?;
    message.resize(length, 0);
    from.read_exact(&mut message[HEADER..])?;
    Ok(message)
}

fn int(message: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(message[at..at + 4].try_into().unwrap())
}

fn flags(message: &[u8]) -> i32 {
    if int(message, 12) == OP_MSG {
        int(message, HEADER)
    } else {
        0
    }
}

/// The command, where it inserts events.
fn inserted(message: &[u8]) -> Option<Document> {
    if int(message, 12) != OP_MSG {
        return None;
    }
    let body = &message[HEADER + 5..];
    let length = usize::try_from(int(body, 0)).ok()?;
    let command = RawDocument::from_bytes(&body[..length]).ok()?;
    let is_insert = command.get_str("insert").ok() == Some("events");
    is_insert.then(|| Document::try_from(command).unwrap())
}

fn reply(to: &[u8], answer: &Document) -> Vec<u8> {
    let body = mongodb::bson::serialize_to_vec(answer).unwrap();
    let length = i32::try_from(HEADER + 5 + body.len()).unwrap();
    let mut message = Vec::new();
    // Length, our number, that of the request, the kind, no flags, one section.
    for number in [length, 1, int(to, 4), OP_MSG, 0] {
        message.extend(number.to_le_bytes());
    }
    message.push(0);
    message.extend(body);
    message
}
