//! The server as a client on a plain socket sees it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Misbehaviour, Request, Response, Server};

fn server() -> Server {
    Server::start("127.0.0.1:0", |request: Request| {
        match request.path.as_str() {
            "/stream" => Response::stream(200, |chunks| {
                for part in ["one\n", "two\n"] {
                    chunks.write_all(part.as_bytes())?;
                }
                Ok(())
            }),
            "/endless" => Response::stream(200, |chunks| {
                while !chunks.is_closed() {
                    chunks.write_all(b"tick\n")?;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            }),
            "/cut" => Response::text(200, "0123456789").misbehaving(Misbehaviour::CutBody(4)),
            "/reset" => Response::text(200, "0123456789").misbehaving(Misbehaviour::ResetBody(4)),
            "/drip" => Response::text(200, "slow")
                .misbehaving(Misbehaviour::Drip(Duration::from_millis(1))),
            "/garbage" => Response::text(200, "").misbehaving(Misbehaviour::Garbage(
                b"\x16\x03\x01 hello\r\n\r\n".to_vec(),
            )),
            "/hang" => Response::text(200, "").misbehaving(Misbehaviour::Hang),
            "/echo" => Response::new(200, request.body),
            "/raw" => Response::take_over(|mut connection| {
                let mut word = [0; 4];
                connection.read_exact(&mut word).unwrap();
                connection.write_all(&word).unwrap();
            }),
            _ => Response::text(404, "no"),
        }
    })
    .unwrap()
}

fn connect(server: &Server) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(server.addr()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    BufReader::new(stream)
}

fn send(client: &mut BufReader<TcpStream>, request: &str) {
    client.get_mut().write_all(request.as_bytes()).unwrap();
}

/// All that comes until the connection ends, and how it ended.
fn rest(client: &mut BufReader<TcpStream>) -> (String, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = client.read_to_end(&mut bytes).map(drop);
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

fn head(client: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(
            client.read_line(&mut head).unwrap(),
            0,
            "no whole head: {head}"
        );
    }
    head
}

#[test]
fn serves_several_requests_on_one_connection() {
    let server = server();
    let mut client = connect(&server);
    for body in ["first", "second"] {
        send(
            &mut client,
            &format!(
                "POST /echo HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert!(head(&mut client).contains(&format!("content-length: {}\r\n", body.len())));
        let mut answer = vec![0; body.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, body.as_bytes());
    }
    send(
        &mut client,
        "GET /none HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    let (answer, end) = rest(&mut client);
    assert!(
        answer.starts_with("HTTP/1.1 404 Not Found\r\n") && answer.ends_with("\r\n\r\nno"),
        "{answer}"
    );
    end.unwrap();
    assert_eq!(server.accepted(), 1);
    assert!(server.traffic().received() > 50 && server.traffic().sent() > 50);
}

#[test]
fn streams_in_chunks_or_until_the_end() {
    let server = server();
    let mut client = connect(&server);
    send(
        &mut client,
        "GET /stream HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    let (answer, _) = rest(&mut client);
    assert!(
        answer.ends_with("\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"),
        "{answer}"
    );
    let mut old = connect(&server);
    send(&mut old, "GET /stream HTTP/1.0\r\n\r\n");
    let (answer, _) = rest(&mut old);
    assert!(answer.ends_with("\r\n\r\none\ntwo\n"), "{answer}");
}

#[test]
fn misbehaves_as_asked() {
    let server = server();
    let ask = |path: &str| {
        let mut client = connect(&server);
        send(&mut client, &format!("GET {path} HTTP/1.1\r\n\r\n"));
        rest(&mut client)
    };
    let (answer, end) = ask("/cut");
    assert!(
        answer.contains("content-length: 10\r\n") && answer.ends_with("\r\n\r\n0123"),
        "{answer}"
    );
    end.unwrap();
    let (answer, end) = ask("/reset");
    assert!(answer.ends_with("0123"), "{answer}");
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(ask("/garbage").0.contains("hello"));
    let mut client = connect(&server);
    send(
        &mut client,
        "GET /drip HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    assert!(rest(&mut client).0.ends_with("slow"));
    let mut client = connect(&server);
    client
        .get_mut()
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    send(&mut client, "GET /hang HTTP/1.1\r\n\r\n");
    assert_eq!(
        rest(&mut client).1.unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
}

#[test]
fn hands_the_connection_over_with_what_was_read_ahead() {
    let server = server();
    let mut client = connect(&server);
    send(&mut client, "GET /raw HTTP/1.1\r\n\r\npi");
    send(&mut client, "ng");
    assert_eq!(rest(&mut client).0, "ping");
}

#[test]
fn stops_with_all_connections_and_starts_again_on_its_port() {
    let server = server();
    let mut streaming = connect(&server);
    send(&mut streaming, "GET /endless HTTP/1.1\r\n\r\n");
    head(&mut streaming);
    let mut idle = connect(&server);
    server.stop();
    assert_eq!(server.open_connections(), 0);
    assert!(TcpStream::connect(server.addr()).is_err());
    assert!(!rest(&mut streaming).0.ends_with("0\r\n\r\n"));
    assert_eq!(rest(&mut idle).0, "");
    server.restart().unwrap();
    let mut client = connect(&server);
    send(&mut client, "GET / HTTP/1.1\r\n\r\n");
    assert!(head(&mut client).starts_with("HTTP/1.1 404"));
}

#[test]
fn refuses_what_is_no_http() {
    let server = server();
    let mut client = connect(&server);
    send(&mut client, "\x16\x03\x01\r\n\r\n");
    assert!(rest(&mut client).0.starts_with("HTTP/1.1 400"));
}
