//! The WebSocket: dialled and upgraded as the agent does it, and closed before the first message. Nobody says hello, so
//! no connection of a running agent is displaced.

use std::time::{Duration, Instant};

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use super::report::Line;
use super::{Sink, backend, remedy};
use crate::config::Config;
use crate::net::tls;
use crate::thread::waker::Waiter;
use crate::websocket::dial::{authority, dial};
use crate::websocket::upgrade::{UpgradeError, upgrade};

const NAME: &str = "websocket";
/// The names of its lines.
pub(super) const LINES: [&str; 1] = [NAME];
/// The peer may take so long to hear the close frame.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) fn look(config: &Config, waiter: &Waiter<'_>, sink: &Sink) {
    sink.tell(line(config, waiter));
}

fn line(config: &Config, waiter: &Waiter<'_>) -> Line {
    let url = &config.backend_ws_url;
    let at = authority(url.host(), url.port());
    let proxy = config.proxy.for_host(url.host(), url.port());
    let meanwhile = "; meanwhile actions come by polling alone";
    let socket = match dial(url.host(), url.port(), proxy, waiter) {
        Ok(socket) => socket,
        Err(err) => {
            let found = format!("{at} cannot be reached: {err}");
            return Line::failed(NAME, found, backend::reaching(&err) + meanwhile);
        }
    };
    let tls = match url
        .is_secure()
        .then(|| tls::client_config(config.backend_ca.as_deref()))
    {
        None => None,
        Some(Ok(tls)) => Some(tls),
        Some(Err(why)) => return Line::failed(NAME, why, "put certificates in PEM there"),
    };
    let way = proxy.map_or("", |_| " through the proxy");
    let (key, _) = config.api_key.current();
    match upgrade(socket, url, tls.as_ref(), &key, waiter) {
        Ok(mut socket) => {
            let frame = CloseFrame {
                code: CloseCode::Normal,
                reason: "check".into(),
            };
            // It stood: that it cannot be ended in order changes nothing.
            let _ = socket.close(Some(frame));
            let _ = socket.flush();
            socket.get_mut().end(waiter, Instant::now() + FAREWELL);
            Line::ok(NAME, format!("{at} takes the upgrade{way}"))
        }
        Err(err) => {
            let todo = todo(&err, config.backend_ca.is_some(), proxy.is_some());
            Line::failed(NAME, format!("{at}: {err}"), todo + meanwhile)
        }
    }
}

/// What to do about an upgrade that did not come about.
fn todo(err: &UpgradeError, own_ca: bool, proxied: bool) -> String {
    let between = if proxied {
        "have the proxy of HTTPS_PROXY let WebSockets through, or name the host in NO_PROXY where there is a way without"
    } else {
        "have what stands before the backend (proxy, load balancer, ingress) let WebSockets through"
    };
    match err {
        UpgradeError::Tls(err) => remedy::tls(err, own_ca),
        UpgradeError::Status(401, _) => {
            "see api_key: the backend takes the same key for both; where that one is ok, something in between asks \
             for a key of its own"
                .to_owned()
        }
        UpgradeError::Status(403, _) => {
            format!("see cluster_id and api_key; where those are ok, the way is blocked: {between}")
        }
        UpgradeError::Status(404, _) => "look at the path in BACKEND_WS_URL".to_owned(),
        UpgradeError::Status(_, _) | UpgradeError::Broken(_) => between.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_where_it_is_blocked_is_named() {
        let status = |code| UpgradeError::Status(code, None);
        assert!(todo(&status(403), false, true).contains("HTTPS_PROXY"));
        assert!(todo(&status(200), false, false).contains("load balancer"));
        assert!(todo(&status(401), false, false).contains("api_key"));
        assert!(todo(&status(404), false, false).contains("BACKEND_WS_URL"));
    }
}
