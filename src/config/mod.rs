//! The settings, read from the environment once, checked all together and turned into ready types.

pub mod key_file;
mod leader_election;
pub mod policy;
pub mod reader;
pub mod url;

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;

use crate::kube::credentials::in_cluster;
use crate::kube::kubeconfig::{self, Access};
use crate::leader;
use crate::logging::Format;
use crate::net::proxy::ProxySettings;
use key_file::Key;
use policy::PolicySettings;
use reader::Reader;
pub use reader::{Environment, Fault, ProcessEnvironment};
use url::{BackendUrl, WebSocketUrl};

/// Everything the agent is told from outside.
#[derive(Debug)]
pub struct Config {
    /// BACKEND_URL.
    pub backend_url: BackendUrl,
    /// BACKEND_WS_URL.
    pub backend_ws_url: WebSocketUrl,
    /// API_KEY or API_KEY_FILE.
    pub api_key: Arc<Key>,
    /// SECRET_KEY or SECRET_KEY_FILE.
    pub secret_key: Arc<Key>,
    /// SECRET_KEY_PREVIOUS or SECRET_KEY_PREVIOUS_FILE, still accepted while the backend changes over.
    pub previous_secret_key: Option<Arc<Key>>,
    /// CLUSTER_ID.
    pub cluster_id: String,
    /// AGENT_ID, or the name of the pod or host.
    pub agent_id: String,
    /// COLLECTION_INTERVAL.
    pub collection_interval: Duration,
    /// ACTION_POLL_INTERVAL.
    pub action_poll_interval: Duration,
    /// HEARTBEAT_INTERVAL.
    pub heartbeat_interval: Duration,
    /// BATCH_SIZE.
    pub batch_size: usize,
    /// HTTP_PORT; 0 for any free one.
    pub http_port: u16,
    /// LOG_LEVEL.
    pub log_level: LevelFilter,
    /// LOG_FORMAT.
    pub log_format: Format,
    /// STATE_DIR.
    pub state_dir: PathBuf,
    /// The certificates of BACKEND_CA_FILE, PEM, which take the place of the public roots.
    pub backend_ca: Option<String>,
    /// HTTPS_PROXY and NO_PROXY.
    pub proxy: ProxySettings,
    /// What actions may do here.
    pub policy: PolicySettings,
    /// POD_NAMESPACE and POD_NAME: the agent's own pod.
    pub own_pod: Option<(String, String)>,
    /// LEADER_ELECTION and what begins so; none where this agent is the only one.
    pub leader_election: Option<leader::Settings>,
    /// Where the API server is.
    pub kubernetes: Access,
}

/// The default of STATE_DIR.
const STATE_DIR: &str = "/var/lib/kubernetes-agent";

impl Config {
    /// Reads all settings, or names every fault in them.
    pub fn read(environment: &dyn Environment) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(environment);
        let config = Self::build(&mut reader);
        let faults = reader.into_faults();
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }

    /// `None` where a fault was found. Everything is read before the first `?`, so that no fault hides another.
    fn build(reader: &mut Reader<'_>) -> Option<Self> {
        let backend_url = reader.required("BACKEND_URL", BackendUrl::parse);
        let backend_ws_url = reader.required("BACKEND_WS_URL", WebSocketUrl::parse);
        let api_key = reader.key("API_KEY", "API_KEY_FILE", key_file::api_key);
        let secret_key = reader.key("SECRET_KEY", "SECRET_KEY_FILE", key_file::secret_key);
        let previous_secret_key = reader.optional_key(
            "SECRET_KEY_PREVIOUS",
            "SECRET_KEY_PREVIOUS_FILE",
            key_file::secret_key,
        );
        let cluster_id = reader.required("CLUSTER_ID", identifier);
        let host = default_agent_id(reader);
        let agent_id = reader.optional("AGENT_ID", host, identifier);
        let collection_interval = reader.optional("COLLECTION_INTERVAL", seconds(60), interval);
        let action_poll_interval = reader.optional("ACTION_POLL_INTERVAL", seconds(10), interval);
        let heartbeat_interval = reader.optional("HEARTBEAT_INTERVAL", seconds(30), interval);
        let batch_size = reader.optional("BATCH_SIZE", 100, batch_size);
        let http_port = reader.optional("HTTP_PORT", 8080, |it| {
            it.parse()
                .map_err(|_| "a port from 0 (any free one) to 65535".to_owned())
        });
        let log_level = reader.optional("LOG_LEVEL", LevelFilter::Info, log_level);
        let log_format = reader.optional("LOG_FORMAT", Format::Text, |it| match it {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err("text or json".to_owned()),
        });
        let state_dir = reader.optional("STATE_DIR", PathBuf::from(STATE_DIR), |it| {
            Ok(PathBuf::from(it))
        });
        let backend_ca = reader.file("BACKEND_CA_FILE", |text| {
            let found = text.contains("-----BEGIN CERTIFICATE-----");
            if found {
                Ok(text)
            } else {
                Err("a file with at least one certificate in PEM".to_owned())
            }
        });
        let proxy = ProxySettings::read(reader);
        let policy = PolicySettings::read(reader);
        let own_pod = reader.value("POD_NAMESPACE").zip(reader.value("POD_NAME"));
        let leader_election = leader_election::read(reader);
        let kubernetes = kubernetes(reader);
        Some(Self {
            backend_url: backend_url?,
            backend_ws_url: backend_ws_url?,
            api_key: Arc::new(api_key?),
            secret_key: Arc::new(secret_key?),
            previous_secret_key: previous_secret_key?.map(Arc::new),
            cluster_id: cluster_id?,
            agent_id: agent_id?,
            collection_interval: collection_interval?,
            action_poll_interval: action_poll_interval?,
            heartbeat_interval: heartbeat_interval?,
            batch_size: batch_size?,
            http_port: http_port?,
            log_level: log_level?,
            log_format: log_format?,
            state_dir: state_dir?,
            backend_ca: backend_ca?,
            proxy: proxy?,
            policy: policy?,
            own_pod,
            leader_election: leader_election?,
            kubernetes: kubernetes?,
        })
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// `^[A-Za-z0-9._-]{1,128}$` (protocol, conventions): it stands in paths and headers.
fn identifier(text: &str) -> Result<String, String> {
    let legal = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-');
    if (1..=128).contains(&text.len()) && text.bytes().all(legal) {
        Ok(text.to_owned())
    } else {
        Err("1 to 128 letters, digits, dots, underscores or hyphens".to_owned())
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(n @ 1..=86_400) => Ok(seconds(n)),
        _ => Err("whole seconds from 1 to 86400".to_owned()),
    }
}

fn batch_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1000) => Ok(n),
        _ => Err("a whole number from 1 to 1000".to_owned()),
    }
}

fn log_level(text: &str) -> Result<LevelFilter, String> {
    match text.to_ascii_lowercase().as_str() {
        "error" => Ok(LevelFilter::Error),
        "warn" | "warning" => Ok(LevelFilter::Warn),
        "info" => Ok(LevelFilter::Info),
        "debug" => Ok(LevelFilter::Debug),
        "trace" => Ok(LevelFilter::Trace),
        _ => Err("error, warn, info, debug or trace".to_owned()),
    }
}

/// The pod's name: what the manifest sets, else the host's name, which a pod's is.
fn default_agent_id(reader: &Reader<'_>) -> String {
    let named = ["POD_NAME", "HOSTNAME"]
        .into_iter()
        .find_map(|it| reader.value(it));
    let name = named.or_else(|| {
        reader
            .environment()
            .read("/proc/sys/kernel/hostname".as_ref())
            .ok()
    });
    let name: String = name
        .unwrap_or_default()
        .trim()
        .chars()
        .map(|it| {
            if it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-') {
                it
            } else {
                '-'
            }
        })
        .take(128)
        .collect();
    if name.is_empty() {
        "kubernetes-agent".to_owned()
    } else {
        name
    }
}

/// KUBECONFIG where it is set, since somebody set it on purpose; else the pod's service account.
fn kubernetes(reader: &mut Reader<'_>) -> Option<Access> {
    if let Some(files) = reader.value("KUBECONFIG") {
        return match kubeconfig::load(&files) {
            Ok(access) => Some(access),
            Err(fault) => {
                reader.fault(format!("KUBECONFIG: {fault}"));
                None
            }
        };
    }
    let host = reader.value("KUBERNETES_SERVICE_HOST");
    let port = reader.value("KUBERNETES_SERVICE_PORT");
    match (host, port) {
        (Some(host), Some(port)) if port.parse::<u16>().is_ok() => {
            let bare = host.trim_matches(['[', ']']);
            let host = bare
                .parse::<Ipv6Addr>()
                .map_or_else(|_| host.clone(), |it| it.to_string());
            Some(in_cluster(&host, &port))
        }
        (None, None) => {
            reader.fault(
                "KUBECONFIG: not set, and this is no pod of a cluster (no KUBERNETES_SERVICE_HOST); expected the path of a kubeconfig"
                    .to_owned(),
            );
            None
        }
        (host, port) => {
            reader.fault(format!(
                "KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT: expected a host and a port, got {host:?} and {port:?}"
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reader::testing::Fake;
    use super::*;

    fn complete() -> Fake {
        Fake::new(&[
            ("BACKEND_URL", "https://backend.example/base/"),
            ("BACKEND_WS_URL", "wss://backend.example/ws"),
            ("API_KEY", "an-api-key"),
            ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
            ("CLUSTER_ID", "prod-eu-1"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("KUBERNETES_SERVICE_PORT", "443"),
            ("POD_NAME", "agent-0"),
        ])
    }

    fn faults(environment: &Fake) -> Vec<String> {
        Config::read(environment)
            .map(drop)
            .unwrap_err()
            .into_iter()
            .map(|it| it.0)
            .collect()
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let config = Config::read(&complete()).unwrap();
        assert_eq!(config.agent_id, "agent-0");
        assert_eq!(config.collection_interval, seconds(60));
        assert_eq!(config.action_poll_interval, seconds(10));
        assert_eq!(config.heartbeat_interval, seconds(30));
        assert_eq!((config.batch_size, config.http_port), (100, 8080));
        assert_eq!(
            (config.log_level, config.log_format),
            (LevelFilter::Info, Format::Text)
        );
        assert_eq!(config.kubernetes.server, "https://10.0.0.1:443");
    }

    #[test]
    fn an_empty_environment_names_all_that_is_missing_at_once() {
        let found = faults(&Fake::new(&[]));
        for name in [
            "BACKEND_URL",
            "BACKEND_WS_URL",
            "API_KEY",
            "SECRET_KEY",
            "CLUSTER_ID",
            "KUBECONFIG",
        ] {
            assert_eq!(
                found
                    .iter()
                    .filter(|it| it.starts_with(&format!("{name}:")))
                    .count(),
                1,
                "{name}: {found:?}"
            );
        }
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn each_fault_names_the_variable_the_value_and_what_was_expected() {
        for (name, value, expected) in [
            (
                "COLLECTION_INTERVAL",
                "5m",
                "COLLECTION_INTERVAL: expected whole seconds from 1 to 86400, got \"5m\"",
            ),
            (
                "ACTION_POLL_INTERVAL",
                "0",
                "ACTION_POLL_INTERVAL: expected whole seconds from 1 to 86400, got \"0\"",
            ),
            (
                "BATCH_SIZE",
                "-1",
                "BATCH_SIZE: expected a whole number from 1 to 1000, got \"-1\"",
            ),
            ("HTTP_PORT", "65536", "HTTP_PORT: expected a port"),
            (
                "LOG_LEVEL",
                "loud",
                "LOG_LEVEL: expected error, warn, info, debug or trace, got \"loud\"",
            ),
            (
                "LOG_FORMAT",
                "xml",
                "LOG_FORMAT: expected text or json, got \"xml\"",
            ),
            ("BACKEND_URL", "backend.example", "BACKEND_URL: expected"),
            (
                "BACKEND_URL",
                "https://me:hidden@backend.example",
                "BACKEND_URL: expected",
            ),
            (
                "BACKEND_WS_URL",
                "https://backend.example",
                "BACKEND_WS_URL: expected",
            ),
            (
                "CLUSTER_ID",
                "prod eu",
                "CLUSTER_ID: expected 1 to 128 letters",
            ),
            ("AGENT_ID", "a/b", "AGENT_ID: expected 1 to 128 letters"),
            (
                "SECRET_KEY",
                "8-bytes!",
                "SECRET_KEY: expected at least 16 bytes, got 8",
            ),
            ("HTTPS_PROXY", "socks5://p:1", "HTTPS_PROXY: expected"),
            (
                "BACKEND_CA_FILE",
                "/no/such/file",
                "BACKEND_CA_FILE: failed to read \"/no/such/file\"",
            ),
            (
                "KUBERNETES_SERVICE_PORT",
                "https",
                "KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT: expected",
            ),
        ] {
            let found = faults(&complete().with(name, value));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(expected), "{found:?}");
            assert!(
                !found[0].contains("hidden") && !found[0].contains("8-bytes!"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn secrets_may_come_from_files() {
        let environment = complete()
            .without("API_KEY")
            .without("SECRET_KEY")
            .with("API_KEY_FILE", "/creds/api-key")
            .with("SECRET_KEY_FILE", "/creds/secret-key")
            .file("/creds/api-key", "from-a-file\n")
            .file("/creds/secret-key", "short");
        let found = faults(&environment);
        assert_eq!(
            found,
            ["SECRET_KEY_FILE: expected at least 16 bytes, got 5 (in /creds/secret-key)"]
        );
    }

    #[test]
    fn nothing_secret_is_in_debug() {
        let config =
            Config::read(&complete().with("HTTPS_PROXY", "http://me:hidden@proxy:3128")).unwrap();
        let text = format!("{config:?}");
        assert!(
            !text.contains("an-api-key")
                && !text.contains("0123456789")
                && !text.contains("hidden"),
            "{text}"
        );
    }
}
