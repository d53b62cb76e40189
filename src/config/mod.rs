//! The settings, read from the environment once, checked all together and turned into ready types.
//!
//! [`reader`] gets one setting and keeps what is wrong with it; [`value`] and its neighbours say what a setting may be.

mod identifier;
pub mod key_file;
mod kubernetes;
mod leader_election;
pub mod policy;
pub mod reader;
pub mod url;
mod value;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;

use crate::kube::kubeconfig::Access;
use crate::leader;
use crate::logging::Format;
use crate::net::proxy::ProxySettings;
use identifier::{default_agent_id, identifier};
use key_file::Key;
use policy::PolicySettings;
use reader::Reader;
pub use reader::{Environment, Fault, ProcessEnvironment};
use url::{BackendUrl, WebSocketUrl};
use value::{batch_size, certificates, interval, log_format, log_level, port, seconds};

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
        let http_port = reader.optional("HTTP_PORT", 8080, port);
        let log_level = reader.optional("LOG_LEVEL", LevelFilter::Info, log_level);
        let log_format = reader.optional("LOG_FORMAT", Format::Text, log_format);
        let state_dir = reader.optional("STATE_DIR", PathBuf::from(STATE_DIR), |it| {
            Ok(PathBuf::from(it))
        });
        let backend_ca = reader.file("BACKEND_CA_FILE", certificates);
        let proxy = ProxySettings::read(reader);
        let policy = PolicySettings::read(reader);
        let own_pod = reader.value("POD_NAMESPACE").zip(reader.value("POD_NAME"));
        let leader_election = leader_election::read(reader);
        let kubernetes = kubernetes::read(reader);
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

#[cfg(test)]
mod tests;
