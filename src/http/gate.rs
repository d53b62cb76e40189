//! Who is listened to: a bounded number of clients at once, each for a bounded time, all by one thread. A client that
//! says nothing costs a socket and no thread, and makes room for the next one.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{Asked, Connection, Malformed};
use crate::thread::waker::Waker;

/// Clients at once: far more than probes and scrapes are, at 4 KiB each at the most. Of more, the oldest goes: a
/// probe that has just come is answered in the same round.
const MOST: usize = 128;
/// From the first byte to the last one taken. A probe gives up after 1 s by default, a scrape after 10.
const PATIENCE: Duration = Duration::from_secs(10);

/// The listener and the clients that it let in, oldest first.
pub(super) struct Gate {
    listener: TcpListener,
    clients: VecDeque<Connection>,
    waker: Arc<Waker>,
}

impl Gate {
    /// `waker` ends a wait.
    pub(super) fn new(listener: TcpListener, waker: Arc<Waker>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            clients: VecDeque::new(),
            waker,
        })
    }

    /// Waits at most `pause` for something to do, and does it. An error is one of the listener.
    pub(super) fn round(
        &mut self,
        pause: Duration,
        mut answer: impl FnMut(Result<Asked<'_>, Malformed>) -> Vec<u8>,
    ) -> io::Result<()> {
        self.wait(pause);
        self.accept()?;
        let now = Instant::now();
        for client in &mut self.clients {
            client.advance(&mut answer);
        }
        self.clients
            .retain(|it| !it.is_over() && now.saturating_duration_since(it.since) < PATIENCE);
        Ok(())
    }

    fn wait(&self, pause: Duration) {
        // The oldest client's time may be over before that.
        let oldest = self.clients.front().map(|it| it.since.elapsed());
        let pause = oldest.map_or(pause, |it| pause.min(PATIENCE.saturating_sub(it)));
        let interest = |it: &Connection| {
            if it.wants_write() {
                PollFlags::OUT
            } else {
                PollFlags::IN
            }
        };
        let mut all: Vec<_> = self
            .clients
            .iter()
            .map(|it| PollFd::from_borrowed_fd(it.fd(), interest(it)))
            .collect();
        all.push(PollFd::from_borrowed_fd(
            self.listener.as_fd(),
            PollFlags::IN,
        ));
        all.push(PollFd::from_borrowed_fd(self.waker.fd(), PollFlags::IN));
        // A signal ends it too: everything is looked at anew in any case.
        let _ = poll(&mut all, Timespec::try_from(pause).ok().as_ref());
        self.waker.clear();
    }

    /// Lets in who waits, no more at once than there is room for: those already in are to get on.
    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..MOST {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                // It was gone before it was its turn.
                Err(err) if err.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(err) => return Err(err),
            };
            if self.clients.len() >= MOST {
                self.clients.pop_front();
            }
            self.clients
                .push_back(Connection::new(socket, Instant::now())?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    const SOON: Duration = Duration::from_secs(10);

    fn gate() -> (Gate, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let waker = Arc::new(Waker::new().unwrap());
        (Gate::new(listener, waker).unwrap(), address)
    }

    fn path(asked: Result<Asked<'_>, Malformed>) -> Vec<u8> {
        asked.unwrap().path.as_bytes().to_vec()
    }

    fn until(gate: &mut Gate, what: &str, holds: impl Fn(&Gate) -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds(gate) {
            assert!(Instant::now() < deadline, "{what}");
            gate.round(Duration::from_millis(10), path).unwrap();
        }
    }

    #[test]
    fn silent_clients_make_room_for_one_that_speaks() {
        let (mut gate, address) = gate();
        let mut silent = Vec::new();
        for n in 0..3 * MOST {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"GET / HT").unwrap();
            silent.push(client);
            // The backlog of the listener has a bound too.
            if n % 64 == 63 {
                gate.round(Duration::ZERO, path).unwrap();
            }
        }
        until(&mut gate, "all are in", |it| it.clients.len() == MOST);
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client
            .write_all(b"GET /healthz HTTP/1.1\r\n\r\nand a body that nobody reads")
            .unwrap();
        let answered = std::thread::spawn(move || {
            let mut text = String::new();
            client.read_to_string(&mut text).map(|_| text)
        });
        let deadline = Instant::now() + SOON;
        while !answered.is_finished() && Instant::now() < deadline {
            gate.round(Duration::from_millis(10), path).unwrap();
        }
        assert_eq!(answered.join().unwrap().unwrap(), "/healthz");
        assert!(gate.clients.len() <= MOST);
    }

    #[test]
    fn a_call_ends_the_wait() {
        let (mut gate, _) = gate();
        gate.waker.wake();
        let began = Instant::now();
        gate.round(Duration::from_mins(1), path).unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn nobody_stays_for_ever() {
        let (mut gate, address) = gate();
        let _client = TcpStream::connect(address).unwrap();
        until(&mut gate, "it is in", |it| it.clients.len() == 1);
        gate.clients[0].since = Instant::now().checked_sub(PATIENCE).unwrap();
        until(&mut gate, "it is out", |it| it.clients.is_empty());
    }
}
