//! HTTPS_PROXY and NO_PROXY, with the meaning they have for Go programs and curl, for REST and WebSocket alike.
//!
//! They hold for the backend alone: traffic to the API server never goes through a proxy. ureq's own reading of
//! them knows neither ports nor networks.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::config::reader::Reader;
use crate::secret::Secret;

/// The proxy and what is reached without it.
#[derive(Debug, Clone, Default)]
pub struct ProxySettings {
    proxy: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// An HTTP proxy that tunnels by CONNECT.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password for Basic authentication (RFC 7617).
    pub credentials: Option<(String, Secret)>,
}

/// One entry of NO_PROXY.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    pattern: Pattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Everything,
    /// A name and the names below it.
    Domain(String),
    /// The names below a name alone.
    Subdomains(String),
    /// An address or a network: its first bits.
    Network(IpAddr, u8),
}

impl ProxySettings {
    /// Reads both variables, upper case first. `None` where HTTPS_PROXY is no proxy.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let either = |reader: &Reader<'_>, upper: &'static str, lower: &'static str| {
            reader
                .value(upper)
                .map(|it| (upper, it))
                .or_else(|| reader.value(lower).map(|it| (lower, it)))
        };
        let exceptions = either(reader, "NO_PROXY", "no_proxy")
            .map(|(_, it)| it)
            .unwrap_or_default();
        let proxy = match either(reader, "HTTPS_PROXY", "https_proxy") {
            None => None,
            Some((name, _)) => Some(reader.required(name, Proxy::parse)?),
        };
        Some(Self::new(proxy, &exceptions))
    }

    /// `proxy` for all but what `exceptions` lists, separated by commas or blanks.
    pub fn new(proxy: Option<Proxy>, exceptions: &str) -> Self {
        let entries = exceptions
            .split([',', ' ', '\t'])
            .filter(|it| !it.is_empty());
        Self {
            proxy,
            exceptions: entries.filter_map(Exception::parse).collect(),
        }
    }

    /// The proxy through which `host` (an IPv6 address without brackets) is reached, if any.
    pub fn for_host(&self, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref()?;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        (!self.exceptions.iter().any(|it| it.covers(&host, port))).then_some(proxy)
    }
}

impl Proxy {
    /// `http://[user:password@]host[:port]`; a missing scheme means http, as it does for curl.
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || "http://[user:password@]host[:port]".to_owned();
        let text = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let authority = uri.authority().ok_or_else(expected)?;
        if uri.scheme_str() != Some("http") || authority.host().is_empty() {
            return Err(expected());
        }
        let credentials = authority.as_str().rsplit_once('@').map(|(user, _)| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            (decode(user), Secret::new(decode(password)))
        });
        Ok(Self {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(80),
            credentials,
        })
    }
}

/// Percent-decodes; what is no valid escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escape
            .and_then(|it| str::from_utf8(it).ok())
            .and_then(|it| u8::from_str_radix(it, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self {
                pattern: Pattern::Everything,
                port: None,
            });
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
            let bits = bits.parse().ok().filter(|it| *it <= width(address))?;
            return Some(Self {
                pattern: Pattern::Network(address, bits),
                port: None,
            });
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self {
                pattern: Pattern::Network(address, width(address)),
                port: None,
            });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text, None),
        };
        if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self {
                pattern: Pattern::Network(address, width(address)),
                port,
            });
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let pattern = match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
            Some(parent) => Pattern::Subdomains(parent.to_owned()),
            None => Pattern::Domain(name),
        };
        Some(Self { pattern, port })
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let below = |name: &str| {
            host.strip_suffix(name)
                .is_some_and(|it| it.ends_with('.') && it.len() > 1)
        };
        self.port.is_none_or(|it| it == port)
            && match &self.pattern {
                Pattern::Everything => true,
                Pattern::Domain(name) => host == name || below(name),
                Pattern::Subdomains(name) => below(name),
                Pattern::Network(network, bits) => host
                    .parse()
                    .is_ok_and(|it: IpAddr| same_bits(*network, it.to_canonical(), *bits)),
            }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_bits(a: IpAddr, b: IpAddr, bits: u8) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (a.to_bits() ^ b.to_bits())
                .checked_shr(32 - u32::from(bits))
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits())
                .checked_shr(128 - u32::from(bits))
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_as_other_programs_read_them() {
        let list = "localhost, .internal,*.corp.example example.com,api.example.org:8443,10.0.0.0/8,192.168.1.7,fd00::/8,[::1]:9000,bad/99";
        let settings = ProxySettings::new(Some(Proxy::parse("proxy:3128").unwrap()), list);
        let direct = |host: &str, port| settings.for_host(host, port).is_none();
        for (host, port, expected) in [
            ("localhost", 443, true),
            ("a.internal", 443, true),
            ("internal", 443, false),
            ("x.corp.example", 443, true),
            ("corp.example", 443, false),
            ("example.com", 443, true),
            ("EXAMPLE.com.", 443, true),
            ("www.example.com", 443, true),
            ("notexample.com", 443, false),
            ("api.example.org", 8443, true),
            ("api.example.org", 443, false),
            ("10.1.2.3", 443, true),
            ("11.1.2.3", 443, false),
            ("::ffff:10.1.2.3", 443, true),
            ("192.168.1.7", 443, true),
            ("192.168.1.8", 443, false),
            ("fd12::1", 443, true),
            ("fe80::1", 443, false),
            ("::1", 9000, true),
            ("::1", 443, false),
            ("backend.example", 443, false),
        ] {
            assert_eq!(direct(host, port), expected, "{host}:{port}");
        }
        assert!(
            ProxySettings::new(Some(Proxy::parse("p").unwrap()), "*")
                .for_host("any", 1)
                .is_none()
        );
        assert!(ProxySettings::new(None, "").for_host("any", 1).is_none());
        assert!(
            ProxySettings::new(Some(Proxy::parse("p").unwrap()), "0.0.0.0/0")
                .for_host("1.2.3.4", 1)
                .is_none()
        );
    }

    #[test]
    fn credentials_are_decoded_and_hidden() {
        let proxy = Proxy::parse("http://me:p%40ss@proxy.example:3128").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        let (user, password) = proxy.credentials.clone().unwrap();
        assert_eq!((user.as_str(), password.expose()), ("me", "p@ss"));
        assert!(!format!("{proxy:?}").contains("p@ss"));
    }

    #[test]
    fn only_plain_http_proxies_are_taken() {
        for text in ["socks5://p:1", "https://p", "http://", "http://:80"] {
            assert!(Proxy::parse(text).is_err(), "{text}");
        }
    }
}
