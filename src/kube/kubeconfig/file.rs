//! What stands in a kubeconfig file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Exec, Fault};
use crate::kube::yaml;

/// Reads one file's text; relative paths in it are made absolute, beside `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<Config, Fault> {
    let read = yaml::read(text).and_then(|it| {
        // An empty file is a kubeconfig without anything in it.
        let it: Option<Config> =
            serde_json::from_value(it).map_err(|err| unquoted(&err.to_string()))?;
        Ok(it.unwrap_or_default())
    });
    let mut config =
        read.map_err(|why| Fault(format!("{} is no kubeconfig: {why}", path.display())))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for it in &mut config.clusters {
        absolute(folder, &mut it.cluster.certificate_authority);
    }
    for it in &mut config.users {
        for file in [
            &mut it.user.client_certificate,
            &mut it.user.client_key,
            &mut it.user.token_file,
        ] {
            absolute(folder, file);
        }
        if let Some(exec) = &mut it.user.exec
            && exec.command.contains('/')
            && Path::new(&exec.command).is_relative()
        {
            exec.command = folder.join(&exec.command).to_string_lossy().into_owned();
        }
    }
    Ok(config)
}

/// serde quotes a text that stands where another type was expected, and that may be a token.
fn unquoted(text: &str) -> String {
    match (text.find('"'), text.rfind('"')) {
        (Some(from), Some(to)) if from < to => {
            format!("{}...{}", &text[..from], &text[to + 1..])
        }
        _ => text.to_owned(),
    }
}

fn absolute(folder: &Path, file: &mut Option<PathBuf>) {
    if let Some(file) = file {
        *file = folder.join(&*file);
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Config {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) current_context: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) contexts: Vec<NamedContext>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) clusters: Vec<NamedCluster>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) users: Vec<NamedUser>,
}

#[derive(Deserialize)]
pub(super) struct NamedContext {
    pub(super) name: String,
    pub(super) context: Context,
}

#[derive(Deserialize)]
pub(super) struct Context {
    pub(super) cluster: String,
    #[serde(default)]
    pub(super) user: String,
}

#[derive(Deserialize)]
pub(super) struct NamedCluster {
    pub(super) name: String,
    pub(super) cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub(super) server: String,
    pub(super) certificate_authority: Option<PathBuf>,
    pub(super) certificate_authority_data: Option<String>,
    #[serde(default)]
    pub(super) insecure_skip_tls_verify: bool,
    pub(super) tls_server_name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct NamedUser {
    pub(super) name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) user: UserEntry,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct UserEntry {
    pub(super) token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<PathBuf>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_certificate_data: Option<String>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) client_key_data: Option<String>,
    pub(super) exec: Option<Exec>,
    pub(super) username: Option<String>,
    pub(super) auth_provider: Option<serde::de::IgnoredAny>,
}

impl Config {
    /// Takes in what a later file of KUBECONFIG adds.
    pub(super) fn merge(&mut self, later: Self) {
        if self.current_context.is_empty() {
            self.current_context = later.current_context;
        }
        self.contexts.extend(later.contexts);
        self.clusters.extend(later.clusters);
        self.users.extend(later.users);
    }
}

/// kubectl writes `null` for an empty list.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
