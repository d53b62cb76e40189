//! Names looked up once for many requests.
//!
//! ureq looks a name up for each request, even where a connection to the host stands ready, and with a deadline it
//! starts a thread for it: for the two hundred batches of a large cluster's collection a quarter of all system calls.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer serves. A name that moves is followed within this; connections live longer anyway.
const FRESH: Duration = Duration::from_secs(10);

/// The resolver of one connection pool, which asks for one host alone.
#[derive(Debug, Default)]
pub struct Names {
    system: DefaultResolver,
    last: Mutex<Option<Answer>>,
}

#[derive(Debug)]
struct Answer {
    host: String,
    addresses: ResolvedSocketAddrs,
    came: Instant,
}

impl Names {
    /// What was found for `host` not long before `now`.
    fn known(&self, host: &str, now: Instant) -> Option<ResolvedSocketAddrs> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref()
            .filter(|it| it.host == host && now.saturating_duration_since(it.came) < FRESH)
            .map(|it| it.addresses.clone())
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if let Some(address) = literal(uri) {
            let mut addresses = self.empty();
            addresses.push(address);
            return Ok(addresses);
        }
        let host = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |it| it.as_str())
        );
        if let Some(addresses) = self.known(&host, Instant::now()) {
            return Ok(addresses);
        }
        let addresses = self.system.resolve(uri, config, timeout)?;
        let answer = Answer {
            host,
            addresses: addresses.clone(),
            came: Instant::now(),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        Ok(addresses)
    }
}

/// The address where the host is one: the API server's in a pod always is.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = bare.parse().ok()?;
    let port = uri.port_u16().or_else(|| match uri.scheme_str()? {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })?;
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_lookup() {
        let of = |text: &str| literal(&text.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(of("https://10.0.0.1/api").as_deref(), Some("10.0.0.1:443"));
        assert_eq!(
            of("http://127.0.0.1:8080").as_deref(),
            Some("127.0.0.1:8080")
        );
        assert_eq!(
            of("https://[fd00::1]:6443/").as_deref(),
            Some("[fd00::1]:6443")
        );
        assert_eq!(of("https://localhost:6443/"), None);
        assert_eq!(of("socks5://10.0.0.1/"), None);
    }

    #[test]
    fn an_answer_serves_its_host_for_a_while() {
        let names = Names::default();
        let came = Instant::now();
        let mut addresses = names.empty();
        addresses.push(SocketAddr::from(([10, 0, 0, 1], 443)));
        *names.last.lock().unwrap() = Some(Answer {
            host: "https://a".to_owned(),
            addresses,
            came,
        });
        assert!(names.known("https://a", came).is_some());
        assert!(names.known("https://b", came).is_none());
        assert!(names.known("https://a", came + FRESH).is_none());
    }
}
