//! Listening, a thread for each connection, and stopping all of it.

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::port::Held;
use super::request::{Framing, ReadError};
use super::{Connection, Plain, Request, Response, Traffic, Wrap};

/// A client that reads nothing for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long stopping waits for handlers that are at work.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Deep enough for JSON nested as deep as `serde_json` reads; a thousand connections still cost little.
const STACK: usize = 1 << 20;

/// What answers requests; one call a request, from many threads at once.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: Request) -> Response;
}

impl<F: Fn(Request) -> Response + Send + Sync + 'static> Handler for F {
    fn handle(&self, request: Request) -> Response {
        self(request)
    }
}

/// A listening server. Dropping it stops it.
pub struct Server {
    shared: Arc<Shared>,
}

/// Stops and restarts a server from elsewhere, also from its own handler's threads. It does not keep it alive.
#[derive(Clone)]
pub struct Control {
    shared: Weak<Shared>,
}

struct Shared {
    handler: Box<dyn Handler>,
    wrap: Box<dyn Wrap>,
    address: SocketAddr,
    listening: Mutex<Option<Listening>>,
    /// The port while it is stopped.
    held: Mutex<Option<Held>>,
    open: Mutex<Open>,
    all_closed: Condvar,
    traffic: Arc<Traffic>,
}

struct Listening {
    closing: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Open {
    next: u64,
    accepted: u64,
    connections: HashMap<u64, Arc<TcpStream>>,
}

impl Server {
    /// Listens at an address; port 0 takes a free one.
    pub fn start(address: impl ToSocketAddrs, handler: impl Handler) -> io::Result<Server> {
        Server::start_wrapped(address, Plain, handler)
    }

    /// The same, with something between the sockets and the server, such as TLS.
    pub fn start_wrapped(
        address: impl ToSocketAddrs,
        wrap: impl Wrap,
        handler: impl Handler,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            wrap: Box::new(wrap),
            address: listener.local_addr()?,
            listening: Mutex::default(),
            held: Mutex::default(),
            open: Mutex::default(),
            all_closed: Condvar::new(),
            traffic: Arc::default(),
        });
        shared.listen(listener)?;
        Ok(Server { shared })
    }

    /// Where it listens, or listened: it stays the same over restarts.
    pub fn addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// What went over its connections so far.
    pub fn traffic(&self) -> &Traffic {
        &self.shared.traffic
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        lock(&self.shared.open).connections.len()
    }

    /// How many connections were ever accepted.
    pub fn accepted(&self) -> u64 {
        lock(&self.shared.open).accepted
    }

    /// Closes the listener and every open connection, then waits a moment for the handlers at work. From here on
    /// connections are refused.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Listens again at the same address.
    pub fn restart(&self) -> io::Result<()> {
        self.shared.restart()
    }

    /// Closes every open connection, but goes on listening.
    pub fn drop_connections(&self) {
        self.shared.close_connections();
    }

    /// A handle to stop and restart it with.
    pub fn control(&self) -> Control {
        Control {
            shared: Arc::downgrade(&self.shared),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Control {
    /// As [`Server::stop`]; nothing if the server is gone. A handler that calls it waits for itself, for a moment.
    pub fn stop(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.stop();
        }
    }

    /// As [`Server::restart`]; nothing if the server is gone.
    pub fn restart(&self) -> io::Result<()> {
        self.shared
            .upgrade()
            .map_or(Ok(()), |shared| shared.restart())
    }

    /// As [`Server::drop_connections`].
    pub fn drop_connections(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.close_connections();
        }
    }
}

impl Shared {
    fn listen(self: &Arc<Shared>, listener: TcpListener) -> io::Result<()> {
        let closing = Arc::new(AtomicBool::new(false));
        let (shared, closed) = (Arc::clone(self), Arc::clone(&closing));
        let thread = thread::Builder::new()
            .name(format!("accept:{}", self.address.port()))
            .spawn(move || shared.accept(&listener, &closed))?;
        *lock(&self.listening) = Some(Listening { closing, thread });
        Ok(())
    }

    fn accept(self: &Arc<Shared>, listener: &TcpListener, closing: &AtomicBool) {
        loop {
            let accepted = listener.accept();
            if closing.load(Ordering::SeqCst) {
                return;
            }
            match accepted {
                Ok((stream, _)) => self.spawn(stream),
                // Out of file descriptors, most likely: they come back as connections close.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn spawn(self: &Arc<Shared>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let stream = Arc::new(stream);
        let guard = Registered::new(self, &stream);
        let Ok(transport) = self.wrap.wrap(Arc::clone(&stream)) else {
            return;
        };
        let connection = Connection::new(stream, transport, Arc::clone(&self.traffic));
        // A thread that cannot be started drops the guard and the connection with it.
        let _ = thread::Builder::new()
            .name("connection".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let guard = guard;
                guard.shared.serve(connection);
            });
    }

    /// Requests and answers in turn, until either side wants no more.
    fn serve(&self, mut connection: Connection) {
        let mut input = BufReader::with_capacity(16 << 10, connection.clone());
        loop {
            let served = match Request::read(&mut input, &mut connection) {
                Ok(request) => {
                    let framing = request.framing();
                    let response = self.handler.handle(request);
                    response.send(framing, &mut connection, input.buffer())
                }
                Err(ReadError::Refused(status, why)) => Response::text(status, why)
                    .with_header("connection", "close")
                    .send(Framing::default(), &mut connection, &[]),
                Err(ReadError::Closed | ReadError::Io(_)) => return,
            };
            if !matches!(served, Ok(true)) {
                return;
            }
        }
    }

    fn stop(&self) {
        let Some(listening) = lock(&self.listening).take() else {
            return;
        };
        listening.closing.store(true, Ordering::SeqCst);
        // The accept thread sleeps in accept(); one more connection wakes it.
        let ip = match self.address {
            SocketAddr::V4(address) if address.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(address) if address.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            address => address.ip(),
        };
        let _ = TcpStream::connect_timeout(&SocketAddr::new(ip, self.address.port()), STOP_TIMEOUT);
        let _ = listening.thread.join();
        *lock(&self.held) = Held::take(self.address).ok();
        self.close_connections();
        let open = lock(&self.open);
        let _ = self
            .all_closed
            .wait_timeout_while(open, STOP_TIMEOUT, |open| !open.connections.is_empty());
    }

    fn restart(self: &Arc<Shared>) -> io::Result<()> {
        if lock(&self.listening).is_some() {
            return Ok(());
        }
        if let Some(held) = lock(&self.held).take() {
            return self.listen(held.listen()?);
        }
        // Somebody was faster when it stopped, and may hold the port for a moment only.
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => return self.listen(listener),
                Err(err) if Instant::now() > deadline => return Err(err),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn close_connections(&self) {
        for stream in lock(&self.open).connections.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A connection's place among the open ones, given back however its thread ends.
struct Registered {
    shared: Arc<Shared>,
    id: u64,
}

impl Registered {
    fn new(shared: &Arc<Shared>, stream: &Arc<TcpStream>) -> Registered {
        let mut open = lock(&shared.open);
        open.next += 1;
        open.accepted += 1;
        let id = open.next;
        open.connections.insert(id, Arc::clone(stream));
        Registered {
            shared: Arc::clone(shared),
            id,
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = lock(&self.shared.open);
        open.connections.remove(&self.id);
        if open.connections.is_empty() {
            self.shared.all_closed.notify_all();
        }
    }
}

/// A handler that panicked while it held a lock is a test's failure already; it must not become a hang.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
