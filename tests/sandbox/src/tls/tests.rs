//! A client of rustls against a server of ours.

use std::io::{Read as _, Write as _};

use super::{Acceptor, Authority};
use crate::http::{Request, Response, Server};

fn get(authority: &Authority, acceptor: Acceptor, name: &'static str) -> Result<String, String> {
    let answer = |request: Request| Response::text(200, format!("at {}", request.path));
    let server = Server::start_wrapped("127.0.0.1:0", acceptor, answer).unwrap();
    let mut stream = authority.connect(server.addr(), name).unwrap();
    let request = b"GET /x HTTP/1.1\r\nconnection: close\r\n\r\n";
    stream.write_all(request).map_err(|err| err.to_string())?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .map_err(|err| err.to_string())?;
    Ok(answer)
}

#[test]
fn answers_those_who_trust_its_authority() {
    let authority = Authority::new();
    let answer = get(
        &authority,
        authority.acceptor(&["localhost", "127.0.0.1"]),
        "localhost",
    )
    .unwrap();
    assert!(answer.ends_with("at /x"), "{answer}");
    let answer = get(&authority, authority.acceptor(&["127.0.0.1"]), "127.0.0.1").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn is_refused_by_everybody_else() {
    let (ours, other) = (Authority::new(), Authority::new());
    let unknown = get(&other, ours.acceptor(&["localhost"]), "localhost").unwrap_err();
    assert!(
        unknown.contains("UnknownIssuer") || unknown.contains("BadSignature"),
        "{unknown}"
    );
    let name = get(&ours, ours.acceptor(&["elsewhere.example"]), "localhost").unwrap_err();
    assert!(name.contains("not valid for name"), "{name}");
    let expired = get(&ours, ours.expired_acceptor(&["localhost"]), "localhost").unwrap_err();
    assert!(expired.contains("expired"), "{expired}");
}
