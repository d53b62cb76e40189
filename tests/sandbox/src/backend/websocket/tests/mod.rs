//! The WebSocket as an agent sees it.

mod contract;
mod ends;
mod exchange;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::client::Request;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

use crate::backend::{Backend, ClosedBy, Options};

/// Longer than anything here takes, also on a machine that stands still for a while.
const DEADLINE: Duration = Duration::from_mins(1);

type Socket = WebSocket<TcpStream>;

fn backend() -> Backend {
    let options = Options {
        cluster_id: Some("c".into()),
        ..Options::default()
    };
    Backend::start(options).unwrap()
}

fn request(backend: &Backend, protocol: &'static str, key: &str) -> Request {
    let mut request = backend.ws_url().into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    headers.insert(
        "authorization",
        HeaderValue::from_str(&format!("Bearer {key}")).unwrap(),
    );
    request
}

fn try_connect(backend: &Backend, request: Request) -> Result<Socket, u16> {
    let stream = TcpStream::connect(backend.server().addr()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => {
            Err(answer.status().as_u16())
        }
        Err(_) => Err(0),
    }
}

/// Connects without a hello.
fn connect(backend: &Backend) -> Socket {
    let key = Options::default().api_key;
    try_connect(backend, request(backend, "mlopt.agent.v1", &key)).unwrap()
}

fn say<S: Read + Write>(socket: &mut WebSocket<S>, message: &Value) {
    socket.send(Message::text(message.to_string())).unwrap();
}

/// The next message, pings among them. A process that is stopped and goes on is interrupted meanwhile.
fn read<S: Read + Write>(socket: &mut WebSocket<S>) -> Result<Message, Error> {
    loop {
        match socket.read() {
            Err(Error::Io(err)) if err.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The next message, pings left out.
fn hear<S: Read + Write>(socket: &mut WebSocket<S>) -> Value {
    loop {
        match read(socket).unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code of the close frame that comes, whatever comes before it; 0 if none comes.
fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match read(socket) {
            Ok(Message::Close(Some(frame))) => return frame.code.into(),
            Ok(Message::Close(None)) | Err(_) => return 0,
            Ok(_) => {}
        }
    }
}

fn hello(next_seq: u64) -> Value {
    json!({
        "type": "hello", "protocol": "1", "cluster_id": "c", "agent_id": "a", "instance_id": "i",
        "run_id": "r", "agent_version": "0.1.0", "next_seq": next_seq,
    })
}

fn event(seq: u64) -> Value {
    json!({"type": "event", "seq": seq, "name": "ready"})
}

/// Connects, and gives back the last number that the server says it has.
fn welcomed(backend: &Backend, next_seq: u64) -> (Socket, u64) {
    let mut socket = connect(backend);
    say(&mut socket, &hello(next_seq));
    let welcome = hear(&mut socket);
    assert_eq!(welcome["type"], "welcome");
    (socket, welcome["last_seq"].as_u64().unwrap())
}

/// How the newest connection ended.
#[track_caller]
fn ended(backend: &Backend) -> (ClosedBy, Option<u16>) {
    let last = |backend: &crate::backend::Core| backend.connections().last()?.closed.clone();
    assert!(backend.wait_for(DEADLINE, |backend| last(backend).is_some()));
    let closed = last(backend).unwrap();
    (closed.by, closed.code)
}
