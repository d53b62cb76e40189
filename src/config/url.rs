//! The two URLs of the backend.

use ureq::http::Uri;

/// BACKEND_URL: scheme, host, port and a base path without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendUrl(Parts);

/// BACKEND_WS_URL, its path as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketUrl(Parts);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    text: String,
    secure: bool,
    host: String,
    port: u16,
}

impl BackendUrl {
    /// Reads `text`; the error says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = parts(text, "https", "http")?;
        parts.text.truncate(parts.text.trim_end_matches('/').len());
        Ok(Self(parts))
    }

    /// The URL of `path`, which begins with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0.text)
    }

    /// Whether TLS protects it.
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Its host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.port
    }
}

impl WebSocketUrl {
    /// Reads `text`; the error says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        parts(text, "wss", "ws").map(Self)
    }

    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether TLS protects it.
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Its host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.port
    }
}

fn parts(text: &str, secure: &str, plain: &str) -> Result<Parts, String> {
    let expected = || {
        format!(
            "{secure}://host[:port][/path] or {plain}://..., without credentials, query or fragment"
        )
    };
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(expected());
    };
    let is_secure = scheme == secure;
    if (!is_secure && scheme != plain)
        || authority.as_str().contains('@')
        || authority.host().is_empty()
        || uri.query().is_some()
        || text.contains('#')
    {
        return Err(expected());
    }
    Ok(Parts {
        text: text.to_owned(),
        secure: is_secure,
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        port: authority
            .port_u16()
            .unwrap_or(if is_secure { 443 } else { 80 }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_path_stays_and_the_slash_goes() {
        let url = BackendUrl::parse("https://backend.example/base/").unwrap();
        assert_eq!(
            url.join("/v1/metrics"),
            "https://backend.example/base/v1/metrics"
        );
        assert_eq!(
            (url.host(), url.port(), url.is_secure()),
            ("backend.example", 443, true)
        );
        let url = BackendUrl::parse("http://[fd00::1]:8000").unwrap();
        assert_eq!(
            (url.host(), url.port(), url.is_secure()),
            ("fd00::1", 8000, false)
        );
    }

    #[test]
    fn what_is_no_such_url_is_refused() {
        for text in [
            "",
            "backend",
            "ftp://h",
            "https://",
            "https://u:p@h",
            "https://h/?q=1",
            "https://h/#f",
            "wss://h",
        ] {
            assert!(BackendUrl::parse(text).is_err(), "{text}");
        }
        assert!(WebSocketUrl::parse("wss://h/agents").is_ok());
        assert!(WebSocketUrl::parse("https://h").is_err());
    }
}
