//! A Unix socket that consumers write their lines to.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use nix::sys::stat::{Mode, fchmod};
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::reports::LineReports;
use super::splitter::{LineSplitter, Split};
use crate::observe::lines_source::check_socket;

/// Who may connect: the user whom the observation runs as.
const MODE: u32 = 0o600;
/// Clients that wait to be accepted.
const BACKLOG: u32 = 128;

/// The socket. Its file is removed with it, if it is still ours.
pub(super) struct LinesSocket {
    listener: UnixListener,
    path: PathBuf,
    id: (u64, u64),
}

impl Drop for LinesSocket {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.id);
        if is_ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket cannot be removed");
        }
    }
}

impl LinesSocket {
    /// Listens at this path.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        check_socket(&path, "a socket of lines")?;
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        let socket = UnixSocket::new_stream()?;
        // On Linux the file has this mode from the beginning; elsewhere from the next line on.
        let _ = fchmod(&socket, Mode::from_bits_truncate(MODE));
        socket.bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(MODE))?;
        let found = std::fs::symlink_metadata(&path)?;
        Ok(Self {
            listener: socket.listen(BACKLOG)?,
            path,
            id: (found.dev(), found.ino()),
        })
    }

    /// Reports the lines of every client until it is stopped.
    pub(super) async fn follow(self, reports: LineReports, stop: CancellationToken) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = clients.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((client, _)) => {
                        clients.spawn(read(client, reports.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a client of the socket cannot be accepted");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

/// Reads a client to its end.
async fn read(mut client: UnixStream, reports: LineReports) {
    const ORIGIN: &str = "a client of the socket";
    let mut splitter = LineSplitter::default();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = client.read(&mut buffer).await.unwrap_or_default();
        let mut lines = Vec::new();
        let each = |split: Split<'_>| reports.collect(ORIGIN, &mut lines, split);
        if count == 0 {
            splitter.finish(each);
        } else {
            splitter.push(&buffer[..count], each);
        }
        for line in lines {
            if !reports.send(line).await {
                return;
            }
        }
        if count == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream as Client;

    use cdc_bench_model::timeline::Clock;

    use super::*;
    use crate::observe::taps::sighting::Sighting;

    fn line(offset: i64) -> String {
        format!(
            "{{\"topic\":\"t\",\"partition\":0,\"offset\":{offset},\"written_at\":1732800000123456}}\n"
        )
    }

    #[tokio::test]
    async fn several_clients_are_heard_and_the_socket_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.sock");
        let socket = LinesSocket::open(path.clone()).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let refused = LinesSocket::open(path.clone()).err().unwrap();
        assert!(refused.to_string().contains("another process"), "{refused}");

        let (sender, sightings) = async_channel::bounded(10);
        let reports = LineReports::new(["t".to_owned()].into_iter(), Clock::start(), sender);
        let stop = CancellationToken::new();
        let following = tokio::spawn(socket.follow(reports, stop.clone()));
        let mut clients = [0, 1].map(|_| Client::connect(&path).unwrap());
        for (offset, client) in (1..).zip(&mut clients) {
            // The last line of the second has no end.
            let text = line(offset);
            let text = text.trim_end_matches(if offset == 2 { "\n" } else { "" });
            client.write_all(text.as_bytes()).unwrap();
        }
        drop(clients);
        let mut offsets = Vec::new();
        for _ in 0..2 {
            let Sighting::Consumed(seen) = sightings.recv().await.unwrap() else {
                panic!("no line");
            };
            offsets.push(seen.position.offset);
        }
        offsets.sort_unstable();
        assert_eq!(offsets, [1, 2]);
        stop.cancel();
        following.await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(LinesSocket::open(path.clone()).unwrap());
        assert!(!path.exists());
        std::fs::write(&path, "mine").unwrap();
        let refused = LinesSocket::open(path.clone()).err().unwrap();
        assert!(refused.to_string().contains("no socket"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        let nowhere = LinesSocket::open(folder.path().join("none/x.sock"));
        assert!(nowhere.is_err());
    }
}
