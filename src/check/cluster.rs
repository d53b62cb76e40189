//! The API server: reachable, trusted, of a version that is served, its clock, what the agent may do there, and the
//! Metrics API.

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::report::Line;
use super::{Sink, clock, permissions};
use crate::collector::usage::{self, Measured};
use crate::config::Config;
use crate::kube::{Client, Error, Resource};

const SERVER: &str = "api_server";
const CLOCK: &str = "clock_api_server";
const METRICS: &str = "metrics_api";

/// The names of its lines.
pub(super) const LINES: [&str; 4] = [SERVER, CLOCK, permissions::ALL, METRICS];

/// The oldest version that the agent promises to serve, `1.MINOR`.
const OLDEST_MINOR: u32 = 20;
/// A Metrics Server measures every 15 to 60 s.
const STALE: Duration = Duration::from_mins(5);

pub(super) fn look(config: &Config, kube: &Client, sink: &Sink) {
    let version = kube.version();
    let is_reached = version.is_ok();
    sink.tell(server(kube.server(), version));
    if !is_reached {
        return sink.skip(&LINES, "the API server does not answer");
    }
    sink.tell(clock::judge(
        CLOCK,
        "the API server",
        kube.clock_offset_ms(),
    ));
    let denied = permissions::look(config, kube, sink);
    sink.tell(metrics(kube, &denied));
}

fn server(url: &str, version: Result<String, Error>) -> Line {
    let err = match version {
        Ok(version) => return judge(url, &version),
        Err(err) => err,
    };
    let todo = match &err {
        Error::Connect(_) | Error::Timeout(_) | Error::Cut(_) => {
            "look whether the API server runs and whether the network policy lets the agent out to it \
             (networkPolicy.apiServer.ports and cidrs); outside the cluster, at the server in the kubeconfig"
        }
        Error::Tls(_) => {
            "the CA of the service account or the kubeconfig (certificate-authority) did not sign the API server's \
             certificate, or something in between opens the traffic"
        }
        Error::Credentials(_) => "look at the token, certificate or plugin that the text names",
        Error::Status(status) if status.code == 401 => {
            "the token is not accepted: look at the service account and its projected token, or the kubeconfig's user"
        }
        Error::Status(status) if status.code == 403 => {
            "every account may read /version by default: bind the cluster role system:public-info-viewer again"
        }
        Error::Status(_) | Error::Decode(_) | Error::Stopped | Error::Fenced => {
            "look at the API server, and whether it is one that answers at that address"
        }
    };
    Line::failed(SERVER, format!("{url}: {err}"), todo)
}

fn judge(url: &str, version: &str) -> Line {
    let found = format!("{version} at {url}");
    match minor(version) {
        Some(minor) if minor < OLDEST_MINOR => Line::warning(
            SERVER,
            found,
            format!("upgrade Kubernetes: the agent is tried from 1.{OLDEST_MINOR} on"),
        ),
        _ => Line::ok(SERVER, found),
    }
}

/// Of `v1.20.2`, also with what distributions append.
fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("v1.")?;
    let end = rest.find(|it: char| !it.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

fn metrics(kube: &Client, denied: &BTreeSet<String>) -> Line {
    if denied.contains(Resource::NODE_METRICS.label()) {
        return Line::skipped(METRICS, "the agent may not read it, see the permission");
    }
    let mut newest = None;
    let mut count = 0;
    let listed = usage::list(
        kube,
        Measured::Nodes,
        || (),
        |measurement| {
            count += 1;
            let at = measurement.usage.as_ref().map(|it| it.timestamp);
            newest = newest.max(at);
        },
    );
    let newest = newest.and_then(|it| OffsetDateTime::parse(it.as_str(), &Rfc3339).ok());
    match listed {
        Ok(()) => fresh(newest, OffsetDateTime::now_utc(), count),
        Err(err) if err.is_not_found() => Line::failed(
            METRICS,
            "the Metrics API (metrics.k8s.io) is not installed",
            "install metrics-server; until then samples have no usage, everything else is sent",
        ),
        Err(err) => Line::failed(
            METRICS,
            format!("the Metrics API does not answer: {err}"),
            "look at the pods of metrics-server in kube-system and at the APIService v1beta1.metrics.k8s.io; until \
             then samples have no usage, everything else is sent",
        ),
    }
}

fn fresh(newest: Option<OffsetDateTime>, now: OffsetDateTime, nodes: u32) -> Line {
    let todo = "look at the log of metrics-server: it must reach the kubelets (port 10250)";
    let Some(newest) = newest else {
        return Line::warning(METRICS, "it has measured no node yet", todo);
    };
    // A clock that is behind is another line's concern.
    let age = (now - newest).max(time::Duration::ZERO);
    let found = format!(
        "it knows {nodes} nodes, the newest measurement is {} s old",
        age.whole_seconds()
    );
    if age > STALE {
        Line::warning(METRICS, found, todo)
    } else {
        Line::ok(METRICS, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Outcome;
    use time::macros::datetime;

    #[test]
    fn versions_of_distributions_are_read() {
        for (version, expected) in [
            ("v1.20.2", Some(20)),
            ("v1.31.0+k3s1", Some(31)),
            ("v1.29-eks-1", Some(29)),
            ("v1.9", Some(9)),
            ("v2.0.0", None),
            ("", None),
        ] {
            assert_eq!(minor(version), expected, "{version}");
        }
        assert_eq!(judge("u", "v1.19.16").outcome, Outcome::Warning);
        assert_eq!(judge("u", "v1.20.0").outcome, Outcome::Ok);
        assert_eq!(judge("u", "v1.37.0").outcome, Outcome::Ok);
    }

    #[test]
    fn usage_is_fresh_or_stale() {
        let now = datetime!(2026-01-01 00:10:00 UTC);
        let outcome = |newest| fresh(newest, now, 3).outcome;
        assert_eq!(outcome(None), Outcome::Warning);
        assert_eq!(outcome(Some(now + STALE)), Outcome::Ok);
        assert_eq!(outcome(Some(now - STALE)), Outcome::Ok);
        let old = now - STALE - Duration::from_secs(1);
        assert_eq!(outcome(Some(old)), Outcome::Warning);
    }
}
