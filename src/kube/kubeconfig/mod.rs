//! A kubeconfig file, read as kubectl reads it: the current context's cluster and user.
//!
//! <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>

mod file;
mod resolve;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::secret::Secret;
use file::{Config, null_is_default, parse};

/// Where the API server is and how to authenticate to it.
#[derive(Debug, Clone)]
pub struct Access {
    /// `https://host:port`, without a slash at the end.
    pub server: String,
    /// The roots that the server's certificate is checked against; `None` for the public ones.
    pub ca: Option<Pem>,
    /// The kubeconfig says not to check the server's certificate.
    pub insecure: bool,
    /// Who we are.
    pub user: User,
}

/// PEM text given in place or by the file that holds it.
#[derive(Debug, Clone)]
pub enum Pem {
    /// The text itself.
    Data(Secret),
    /// A file, read again when it changes.
    File(PathBuf),
}

/// How to authenticate.
#[derive(Debug, Clone)]
pub enum User {
    /// Not at all.
    Anonymous,
    /// A bearer token.
    Token(Secret),
    /// A bearer token in a file, read again each minute and after a 401.
    TokenFile(PathBuf),
    /// A client certificate and its key.
    Certificate {
        /// The certificate chain.
        certificate: Pem,
        /// Its private key.
        key: Pem,
    },
    /// A program that prints credentials.
    Exec(Box<Exec>),
}

/// An exec plugin: `client.authentication.k8s.io`, v1 or v1beta1.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// The program; relative to the kubeconfig where it holds a slash, searched in PATH otherwise.
    pub command: String,
    /// Its arguments.
    #[serde(default, deserialize_with = "null_is_default")]
    pub args: Vec<String>,
    /// Variables set for it besides our own.
    #[serde(default, deserialize_with = "null_is_default")]
    pub env: Vec<ExecVariable>,
    /// The version of the ExecCredential that it speaks.
    pub api_version: String,
    /// What to say when the program is missing.
    #[serde(default)]
    pub install_hint: Option<String>,
    /// Whether it wants to know the cluster.
    #[serde(default)]
    pub provide_cluster_info: bool,
}

/// One variable of an exec plugin's environment.
#[derive(Debug, Clone, Deserialize)]
pub struct ExecVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// Why a kubeconfig cannot be used; the text names the file, the field and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// Reads the files of a KUBECONFIG variable (separated by colons, missing ones skipped, the first to name
/// something wins) and resolves the current context.
pub fn load(variable: &str) -> Result<Access, Fault> {
    let mut merged = Config::default();
    let mut found = false;
    for path in variable
        .split(':')
        .filter(|it| !it.is_empty())
        .map(Path::new)
    {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => continue,
            Err(err) => return Err(Fault(format!("failed to read {}: {err}", path.display()))),
        };
        found = true;
        merged.merge(parse(&text, path)?);
    }
    if !found {
        return Err(Fault(format!("no file at {variable:?}")));
    }
    merged.access()
}

impl Pem {
    /// The PEM text.
    pub fn read(&self) -> Result<Secret, Fault> {
        match self {
            Self::Data(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read_to_string(path)
                .map(Secret::new)
                .map_err(|err| Fault(format!("failed to read {}: {err}", path.display()))),
        }
    }
}
