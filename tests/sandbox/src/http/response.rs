//! What a handler answers, and how it is put on the wire.

use std::fmt;
use std::io::{self, Write};
use std::mem;

use time::OffsetDateTime;
use time::macros::format_description;

use super::misbehave::{self, Outlet};
use super::request::Framing;
use super::{Chunks, Connection, Misbehaviour};

type Streamed = Box<dyn FnOnce(&mut Chunks<'_>) -> io::Result<()> + Send>;
type Takeover = Box<dyn FnOnce(Connection) + Send>;

/// An answer.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers beside those that the server adds: Date, Content-Length, Transfer-Encoding, Connection.
    pub headers: Vec<(String, String)>,
    body: Body,
    misbehaviour: Option<Misbehaviour>,
}

enum Body {
    Whole(Vec<u8>),
    Streamed(Streamed),
    TakenOver(Takeover),
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl Response {
    /// A whole body, sent with its Content-Length.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: Body::Whole(body.into()),
            misbehaviour: None,
        }
    }

    /// Plain text.
    pub fn text(status: u16, text: impl Into<String>) -> Response {
        Response::new(status, text.into()).with_header("content-type", "text/plain; charset=utf-8")
    }

    /// JSON, given as text already.
    pub fn json(status: u16, json: impl Into<Vec<u8>>) -> Response {
        Response::new(status, json).with_header("content-type", "application/json")
    }

    /// A body made while it is sent. It ends when the closure returns; when that returns an error, the connection
    /// is closed without the body's end, so that the client knows it for cut.
    pub fn stream(
        status: u16,
        write: impl FnOnce(&mut Chunks<'_>) -> io::Result<()> + Send + 'static,
    ) -> Response {
        Response {
            body: Body::Streamed(Box::new(write)),
            ..Response::new(status, [])
        }
    }

    /// Nothing is answered; the connection is the closure's from here on (for the upgrade to another protocol). Bytes
    /// the client sent after its request are read from it first.
    pub fn take_over(serve: impl FnOnce(Connection) + Send + 'static) -> Response {
        Response {
            body: Body::TakenOver(Box::new(serve)),
            ..Response::new(101, [])
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Response {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sends this answer wrongly.
    #[must_use]
    pub fn misbehaving(self, misbehaviour: Misbehaviour) -> Response {
        Response {
            misbehaviour: Some(misbehaviour),
            ..self
        }
    }

    /// The whole body, or nothing if it is not known before it is sent.
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::Whole(body) => body,
            _ => &[],
        }
    }

    /// Sends the answer. Returns whether the connection can serve another request.
    pub(super) fn send(
        mut self,
        framing: Framing,
        connection: &mut Connection,
        pending: &[u8],
    ) -> io::Result<bool> {
        let body = mem::replace(&mut self.body, Body::Whole(Vec::new()));
        if let Body::TakenOver(serve) = body {
            serve(connection.clone().with_pending(pending.to_vec()));
            return Ok(false);
        }
        match &self.misbehaviour {
            Some(Misbehaviour::Garbage(bytes)) => {
                connection.write_all(bytes)?;
                return Ok(false);
            }
            Some(Misbehaviour::Hang) => {
                misbehave::hang(connection);
                return Ok(false);
            }
            _ => {}
        }

        let empty = matches!(self.status, 100..=199 | 204 | 304);
        let bodiless = framing.head_only || empty;
        let known_end = framing.chunks || matches!(body, Body::Whole(_));
        let keep_alive = framing.keep_alive && known_end && !self.says_close();
        let mut head = self.head(keep_alive)?;
        match &body {
            _ if empty => {}
            Body::Whole(body) => write!(head, "content-length: {}\r\n", body.len())?,
            _ if framing.chunks => write!(head, "transfer-encoding: chunked\r\n")?,
            _ => {}
        }
        head.extend_from_slice(b"\r\n");

        let mut outlet = Outlet::new(connection);
        outlet.before_head(self.misbehaviour.as_ref());
        match body {
            // Head and body in one write where nothing is to happen between them: one packet for a small answer.
            Body::Whole(body)
                if self.misbehaviour.is_none() && body.len() < 64 << 10 && !bodiless =>
            {
                head.extend_from_slice(&body);
                outlet.write_all(&head)?;
            }
            Body::Whole(body) => {
                outlet.write_all(&head)?;
                outlet.before_body(self.misbehaviour.as_ref());
                outlet.write_all(if bodiless { &[] } else { &body })?;
                outlet.flush()?;
            }
            Body::Streamed(write) => {
                outlet.write_all(&head)?;
                if !bodiless {
                    outlet.before_body(self.misbehaviour.as_ref());
                    let mut chunks = Chunks::new(outlet, framing.chunks);
                    write(&mut chunks)?;
                    chunks.finish()?;
                }
            }
            Body::TakenOver(_) => {}
        }
        Ok(keep_alive)
    }

    fn says_close(&self) -> bool {
        self.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
        })
    }

    fn head(&self, keep_alive: bool) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(256);
        write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status))?;
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("date"))
        {
            write!(head, "date: {}\r\n", http_date(OffsetDateTime::now_utc()))?;
        }
        if !keep_alive && !self.says_close() {
            head.extend_from_slice(b"connection: close\r\n");
        }
        Ok(head)
    }
}

/// A time as HTTP's headers write it.
pub(super) fn http_date(time: OffsetDateTime) -> String {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time.format(format).unwrap_or_default()
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn writes_dates_as_http_does() {
        assert_eq!(
            http_date(datetime!(1994-11-06 08:49:37 UTC)),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
    }
}
