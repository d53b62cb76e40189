//! The cluster under a test.

use std::path::{Path, PathBuf};

use sandbox::apiserver::{ApiServer, Options, Population};
use tempfile::TempDir;

/// A simulated cluster.
pub struct Cluster {
    /// The server, for what only the simulation can do.
    pub server: ApiServer,
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// With so many nodes and pods.
    pub fn with(nodes: usize, pods: usize) -> Self {
        Self::of(Options::default(), nodes, pods)
    }

    /// The same of a server that is started so.
    pub fn of(options: Options, nodes: usize, pods: usize) -> Self {
        let server = ApiServer::start(options).expect("the simulated API server starts");
        server.populate(nodes, pods, &Population::default());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kubeconfig = server.kubeconfig(folder.path()).expect("a kubeconfig");
        Self {
            server,
            folder,
            kubeconfig,
        }
    }

    /// Its kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}
