//! Reading a request off a connection.

use std::io::{self, BufRead, Read, Write};

use super::percent;

/// More than any agent sends, and little enough to hold for each of a few hundred connections.
const MAX_BODY: u64 = 64 << 20;
/// Of the request line and all headers together.
const MAX_HEAD: u64 = 64 << 10;

/// A request, read as a whole.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// GET, POST, ... as sent.
    pub method: String,
    /// The path without the query, percent-decoded.
    pub path: String,
    /// The query's pairs, decoded, in their order.
    pub query: Vec<(String, String)>,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without its transfer encoding, but as compressed as it was sent.
    pub body: Vec<u8>,
    /// Whether the client still speaks HTTP/1.0, which knows no chunks.
    pub(super) http10: bool,
}

/// What a request says about the form of its answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    /// The answer is sent without its body.
    pub(super) head_only: bool,
    /// The client wants to go on with the same connection.
    pub(super) keep_alive: bool,
    /// The client knows chunks.
    pub(super) chunks: bool,
}

/// Why no request could be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The client closed between two requests, as it may.
    Closed,
    /// The connection broke.
    Io(io::Error),
    /// What came is no HTTP, or too much of it: to be answered with this status, then closed.
    Refused(u16, &'static str),
}

impl From<io::Error> for ReadError {
    fn from(err: io::Error) -> ReadError {
        ReadError::Io(err)
    }
}

impl Request {
    /// The first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// The first value of this name in the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }

    /// How its answer is to be sent.
    pub(super) fn framing(&self) -> Framing {
        let wish = self
            .header("connection")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let http10 = self.http10;
        Framing {
            head_only: self.method == "HEAD",
            keep_alive: if http10 {
                wish.contains("keep-alive")
            } else {
                !wish.contains("close")
            },
            chunks: !http10,
        }
    }

    /// Waits for the next request and reads all of it. `out` is where a client that waits for
    /// `100 Continue` is told to go on.
    pub(super) fn read(
        input: &mut impl BufRead,
        out: &mut impl Write,
    ) -> Result<Request, ReadError> {
        let mut head = input.take(MAX_HEAD);
        let mut request = Request::read_head(&mut head)?;
        if request
            .header("expect")
            .is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue"))
        {
            out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = request.read_body(input)?;
        Ok(request)
    }

    fn read_head(head: &mut impl BufRead) -> Result<Request, ReadError> {
        let line = match read_line(head) {
            // A client may end its last request with an empty line more (RFC 9112, 2.2).
            Ok(line) if line.is_empty() => read_line(head)?,
            Ok(line) => line,
            Err(ReadError::Io(err)) if err.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadError::Closed);
            }
            Err(err) => return Err(err),
        };
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(ReadError::Refused(400, "no request line"));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(ReadError::Refused(505, "not HTTP/1"));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Request {
            method: method.to_owned(),
            path: percent::decode(path),
            query: percent::parse_query(query),
            http10: version == "HTTP/1.0",
            ..Request::default()
        };
        loop {
            let line = read_line(head)?;
            if line.is_empty() {
                return Ok(request);
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(ReadError::Refused(400, "a header without a colon"));
            };
            request
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn read_body(&self, input: &mut impl BufRead) -> Result<Vec<u8>, ReadError> {
        let chunked = self
            .header("transfer-encoding")
            .is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked"));
        if chunked {
            return read_chunks(input);
        }
        let Some(length) = self.header("content-length") else {
            return Ok(Vec::new());
        };
        let length: u64 = length
            .parse()
            .map_err(|_| ReadError::Refused(400, "no Content-Length"))?;
        let mut body = Vec::new();
        read_exactly(input, length, &mut body)?;
        Ok(body)
    }
}

fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(this, _)| this == name)
        .map(|(_, value)| value.as_str())
}

/// One line without its end. The end of the input is an error, because every line here has an end.
fn read_line(input: &mut impl BufRead) -> Result<String, ReadError> {
    let mut line = Vec::new();
    input.take(MAX_HEAD).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => {}
        Some(_) if line.len() as u64 >= MAX_HEAD / 2 => {
            return Err(ReadError::Refused(431, "headers too large"));
        }
        _ => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| ReadError::Refused(400, "a head that is no UTF-8"))
}

fn read_chunks(input: &mut impl BufRead) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    loop {
        let line = read_line(input)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size =
            u64::from_str_radix(size, 16).map_err(|_| ReadError::Refused(400, "no chunk size"))?;
        read_exactly(input, size, &mut body)?;
        // After the data, or the last trailer, stands an empty line.
        while !read_line(input)?.is_empty() {
            if size > 0 {
                return Err(ReadError::Refused(400, "a chunk longer than its size"));
            }
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(
    input: &mut impl BufRead,
    length: u64,
    body: &mut Vec<u8>,
) -> Result<(), ReadError> {
    if length.saturating_add(body.len() as u64) > MAX_BODY {
        return Err(ReadError::Refused(413, "body too large"));
    }
    if input.take(length).read_to_end(body)? as u64 != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Request, ReadError> {
        Request::read(&mut text.as_bytes(), &mut io::sink())
    }

    #[test]
    fn reads_bodies_by_length_and_by_chunks() {
        let plain = read("POST /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcrest")
            .unwrap();
        assert_eq!(
            (plain.path.as_str(), plain.query("x"), plain.body.as_slice()),
            ("/a b", Some("1"), &b"abc"[..])
        );
        let chunked = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n";
        assert_eq!(read(chunked).unwrap().body, b"abcde");
    }

    #[test]
    fn tells_an_end_from_a_fault() {
        assert!(matches!(read(""), Err(ReadError::Closed)));
        assert!(matches!(
            read("GET / HTTP/1.1\r\nHo"),
            Err(ReadError::Io(_))
        ));
        assert!(matches!(
            read("hello\r\n\r\n"),
            Err(ReadError::Refused(400, _))
        ));
        let endless = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(100_000));
        assert!(matches!(read(&endless), Err(ReadError::Refused(431, _))));
        let large = "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n";
        assert!(matches!(read(large), Err(ReadError::Refused(413, _))));
    }

    #[test]
    fn keeps_alive_as_the_version_says() {
        assert!(read("GET / HTTP/1.1\r\n\r\n").unwrap().framing().keep_alive);
        assert!(!read("GET / HTTP/1.0\r\n\r\n").unwrap().framing().keep_alive);
        assert!(
            !read("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n")
                .unwrap()
                .framing()
                .keep_alive
        );
    }
}
