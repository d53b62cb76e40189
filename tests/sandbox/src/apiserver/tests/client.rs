//! A plain HTTP client: a connection for each request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

pub(super) struct Client {
    addr: SocketAddr,
    token: Option<String>,
}

pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

pub(super) struct Stream {
    pub(super) code: u16,
    lines: BufReader<Box<dyn Read>>,
}

impl Client {
    pub(super) fn new(addr: SocketAddr, token: Option<String>) -> Client {
        Client { addr, token }
    }

    pub(super) fn with_token(&self, token: &str) -> Client {
        Client {
            addr: self.addr,
            token: Some(token.to_owned()),
        }
    }

    fn open(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> (u16, String, Box<dyn Read>) {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
        let token = self
            .token
            .as_ref()
            .map(|it| format!("Authorization: Bearer {it}\r\n"))
            .unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: test/1\r\n{token}{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut input = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(input.read_line(&mut head).unwrap(), 0, "cut head: {head}");
        }
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        let chunked = head.contains("transfer-encoding: chunked");
        let body: Box<dyn Read> = if chunked {
            Box::new(Chunked { input, left: 0 })
        } else {
            Box::new(input)
        };
        (code, head, body)
    }

    pub(super) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let (code, head, mut stream) = self.open(method, path, headers, body);
        let mut body = Vec::new();
        stream.read_to_end(&mut body).unwrap();
        Answer { code, head, body }
    }

    pub(super) fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "", "").json()
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(
            "POST",
            path,
            "Content-Type: application/json\r\n",
            &body.to_string(),
        )
        .json()
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(
            "PUT",
            path,
            "Content-Type: application/json\r\n",
            &body.to_string(),
        )
        .json()
    }

    /// `kind` is `merge`, `strategic-merge` or `json`.
    pub(super) fn patch(&self, path: &str, kind: &str, body: &Value) -> (u16, Value) {
        let kind = if kind == "json" {
            "json-patch".to_owned()
        } else {
            format!("{kind}-patch")
        };
        let header = format!("Content-Type: application/{kind}+json\r\n");
        self.send("PATCH", path, &header, &body.to_string()).json()
    }

    pub(super) fn watch(&self, path: &str) -> Stream {
        let (code, _, body) = self.open("GET", path, "", "");
        Stream {
            code,
            lines: BufReader::new(body),
        }
    }
}

impl Answer {
    pub(super) fn json(&self) -> (u16, Value) {
        let text = String::from_utf8_lossy(&self.body);
        (
            self.code,
            serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err}: {text}")),
        )
    }
}

impl Stream {
    /// The next event as its type and object; none at the end of the stream, however it ended.
    pub(super) fn next(&mut self) -> Option<(String, Value)> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(read) if read > 0 => {
                let event: Value =
                    serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err}: {line}"));
                Some((
                    event["type"].as_str().unwrap().to_owned(),
                    event["object"].clone(),
                ))
            }
            _ => None,
        }
    }

    /// The next events as `TYPE name`.
    pub(super) fn take(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                let (kind, object) = self.next().expect("the stream ended");
                format!(
                    "{kind} {}",
                    object["metadata"]["name"].as_str().unwrap_or("-")
                )
            })
            .collect()
    }
}

struct Chunked<R> {
    input: R,
    left: usize,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            self.input.read_line(&mut line)?;
            if line == "\r\n" {
                line.clear();
                self.input.read_line(&mut line)?;
            }
            self.left = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = self.left.min(buf.len());
        let read = self.input.read(&mut buf[..most])?;
        self.left -= read;
        Ok(read)
    }
}
