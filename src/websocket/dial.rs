//! From a URL to a socket: names, addresses, and a proxy in between. Everything has a deadline, and ends at the
//! stop.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::{bounded, select_biased};
use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_nodelay, socket_error};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::net::proxy::Proxy;
use crate::thread::waker::Waiter;

/// The name resolved and any of its addresses connected.
const CONNECT: Duration = Duration::from_secs(10);
/// The proxy's answer.
const TUNNEL: Duration = Duration::from_secs(10);
/// The longest answer of a proxy.
const MAX_ANSWER: usize = 8 << 10;

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address; says what the system said.
    Name(String),
    /// No address took the connection: the last one and why.
    Connect(Option<SocketAddr>, io::Error),
    /// The proxy answered this, or nothing in time.
    Proxy(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "the host's name does not resolve: {why}"),
            Self::Connect(Some(address), err) => write!(f, "{address}: {err}"),
            Self::Connect(None, err) => write!(f, "no connection: {err}"),
            Self::Proxy(why) => write!(f, "the proxy gives no tunnel: {why}"),
        }
    }
}

/// A connection to `host`, through `proxy` if there is one.
pub fn dial(
    host: &str,
    port: u16,
    proxy: Option<&Proxy>,
    waiter: &Waiter<'_>,
) -> Result<TcpStream, DialError> {
    let Some(proxy) = proxy else {
        return reach(host, port, waiter);
    };
    let bare = proxy.host.trim_matches(['[', ']']);
    let mut socket = reach(bare, proxy.port, waiter)?;
    tunnel(&mut socket, host, port, proxy, waiter)?;
    Ok(socket)
}

fn reach(host: &str, port: u16, waiter: &Waiter<'_>) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + CONNECT;
    let addresses = resolve(host, port, waiter, deadline)?;
    let mut failure = DialError::Name("it has no address".to_owned());
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        // What is left, shared by those that are left: one that swallows packets must not take it all.
        let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left -= 1;
        match connect_to(address, waiter, Instant::now() + share) {
            Ok(socket) => return Ok(socket),
            Err(err) => failure = DialError::Connect(Some(address), err),
        }
        if waiter.stop.requested() {
            break;
        }
    }
    Err(failure)
}

/// Asks the system in a thread of its own, which nothing can end before it has an answer. Its one message fits the
/// channel, so it ends then, whoever still listens.
fn resolve(
    host: &str,
    port: u16,
    waiter: &Waiter<'_>,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (out, answer) = bounded(1);
    let name = host.to_owned();
    thread::Builder::new()
        .name("resolver".to_owned())
        .stack_size(RESOLVER_STACK)
        .spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs();
            let _ = out.try_send(found.map(Iterator::collect));
        })
        .map_err(|err| DialError::Name(err.to_string()))?;
    let left = deadline.saturating_duration_since(Instant::now());
    select_biased! {
        recv(waiter.stop.signal()) -> _ => Err(DialError::Name("the agent stops".to_owned())),
        recv(answer) -> found => match found {
            Ok(found) => found.map_err(|err: io::Error| DialError::Name(err.to_string())),
            Err(_) => Err(DialError::Name("the resolver failed".to_owned())),
        },
        default(left) => Err(DialError::Name("no answer in time".to_owned())),
    }
}

/// Deep enough for the resolver of any C library.
const RESOLVER_STACK: usize = 256 << 10;

fn connect_to(
    address: SocketAddr,
    waiter: &Waiter<'_>,
    deadline: Instant,
) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) => (),
        Err(Errno::INPROGRESS) => {
            // It can be written once it is connected, or has failed.
            while !is_settled(&socket)? {
                waiter.wait_for(socket.as_fd(), true, deadline)?;
            }
        }
        Err(err) => return Err(err.into()),
    }
    // A frame is to leave when it is written.
    set_tcp_nodelay(&socket, true)?;
    Ok(socket.into())
}

/// True once the socket is connected; an error if that failed.
fn is_settled(socket: &OwnedFd) -> io::Result<bool> {
    socket_error(socket)??;
    Ok(rustix::net::getpeername(socket).is_ok())
}

/// Asks the proxy for a tunnel by CONNECT (RFC 9110, section 9.3.6), with Basic credentials (RFC 7617).
fn tunnel(
    socket: &mut TcpStream,
    host: &str,
    port: u16,
    proxy: &Proxy,
    waiter: &Waiter<'_>,
) -> Result<(), DialError> {
    let deadline = Instant::now() + TUNNEL;
    let broken = |err: io::Error| {
        DialError::Proxy(match err.kind() {
            io::ErrorKind::TimedOut => "no answer in time".to_owned(),
            io::ErrorKind::UnexpectedEof => "it ended the connection".to_owned(),
            _ => err.to_string(),
        })
    };
    let request = connect_request(host, port, proxy);
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        match socket.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                waiter
                    .wait_for(socket.as_fd(), true, deadline)
                    .map_err(broken)?;
            }
            Err(err) => return Err(broken(err)),
        }
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_ANSWER {
            return Err(DialError::Proxy("its answer is over 8 KiB".to_owned()));
        }
        // One byte at a time: what comes after the answer is the backend's.
        let mut byte = [0];
        match socket.read(&mut byte) {
            Ok(0) => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => answer.push(byte[0]),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                waiter
                    .wait_for(socket.as_fd(), false, deadline)
                    .map_err(broken)?;
            }
            Err(err) => return Err(broken(err)),
        }
    }
    is_granted(&answer)
}

fn connect_request(host: &str, port: u16, proxy: &Proxy) -> String {
    let authority = authority(host, port);
    let credentials = match &proxy.credentials {
        None => String::new(),
        Some((user, password)) => format!(
            "Proxy-Authorization: Basic {}\r\n",
            STANDARD.encode(format!("{user}:{}", password.expose()))
        ),
    };
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{credentials}\r\n")
}

/// `host:port`, an IPv6 address in brackets.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Any 2xx is a tunnel.
fn is_granted(answer: &[u8]) -> Result<(), DialError> {
    let line = answer.split(|it| *it == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let status = line.strip_prefix("HTTP/1.").and_then(|it| it.get(2..5));
    match status {
        Some(status) if status.starts_with('2') => Ok(()),
        // Some proxies say 401 to wrong credentials.
        Some(status @ ("401" | "407")) => Err(DialError::Proxy(format!(
            "{status}: it wants other credentials in HTTPS_PROXY"
        ))),
        Some(_) => Err(DialError::Proxy(line.chars().take(100).collect())),
        None => Err(DialError::Proxy("its answer is no HTTP".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::thread::stop;
    use crate::thread::waker::Waker;
    use std::net::TcpListener;

    fn proxy(port: u16) -> Proxy {
        Proxy {
            host: "127.0.0.1".to_owned(),
            port,
            credentials: Some(("me".to_owned(), Secret::new("p@ss"))),
        }
    }

    #[test]
    fn a_proxy_is_asked_with_credentials() {
        assert_eq!(
            connect_request("fd00::1", 443, &proxy(1)),
            "CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
        );
    }

    #[test]
    fn a_proxy_grants_by_any_2xx() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", None),
            (
                "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n",
                None,
            ),
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                Some("407: it wants other credentials"),
            ),
            (
                "HTTP/1.1 403 Forbidden\r\n\r\n",
                Some("HTTP/1.1 403 Forbidden"),
            ),
            ("SSH-2.0\r\n\r\n", Some("its answer is no HTTP")),
            ("HTTP/1.\r\n\r\n", Some("its answer is no HTTP")),
        ] {
            let said = is_granted(answer.as_bytes()).map_err(|it| it.to_string());
            match expected {
                None => assert_eq!(said, Ok(()), "{answer}"),
                Some(part) => assert!(said.as_ref().is_err_and(|it| it.contains(part)), "{said:?}"),
            }
        }
    }

    #[test]
    fn dialled_refused_and_tunnelled() {
        let (_guard, stop) = stop::pair();
        let waker = Waker::new().unwrap();
        let waiter = Waiter {
            waker: &waker,
            stop: &stop,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(dial("127.0.0.1", port, None, &waiter).is_ok());
        assert!(dial("localhost", port, None, &waiter).is_ok());
        let server = std::thread::spawn(move || {
            let (_, _) = (listener.accept().unwrap(), listener.accept().unwrap());
            for answer in ["HTTP/1.1 200 Fine\r\n\r\nmore", "HTTP/1.1 407 No\r\n\r\n"] {
                let (mut client, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let n = client.read(&mut request).unwrap();
                assert!(request[..n].starts_with(b"CONNECT backend.example:443 HTTP/1.1\r\n"));
                client.write_all(answer.as_bytes()).unwrap();
            }
        });
        let mut tunnel = dial("backend.example", 443, Some(&proxy(port)), &waiter).unwrap();
        let mut more = [0; 4];
        tunnel.set_nonblocking(false).unwrap();
        tunnel.read_exact(&mut more).unwrap();
        assert_eq!(&more, b"more", "what follows the answer is not the proxy's");
        let refused = dial("backend.example", 443, Some(&proxy(port)), &waiter).unwrap_err();
        assert!(refused.to_string().contains("407"), "{refused}");
        server.join().unwrap();
        // Port 1: a port given back a moment ago may be somebody else's.
        let refused = dial("127.0.0.1", 1, None, &waiter).unwrap_err().to_string();
        assert!(refused.contains("refused"), "{refused}");
        let unknown = dial("no-such-host.invalid", port, None, &waiter).unwrap_err();
        assert!(
            unknown.to_string().contains("does not resolve"),
            "{unknown}"
        );
    }

    #[test]
    fn the_stop_ends_a_dial() {
        let (guard, stop) = stop::pair();
        let waker = Waker::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(guard);
        let waiter = Waiter {
            waker: &waker,
            stop: &stop,
        };
        // A proxy that says nothing: the wait for its answer ends.
        let err = dial("x", 1, Some(&proxy(port)), &waiter).unwrap_err();
        assert!(
            matches!(err, DialError::Proxy(_) | DialError::Connect(..)),
            "{err}"
        );
    }
}
