//! A kubeconfig file, read as kubectl reads it: the current context's cluster and user.
//!
//! <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::yaml;
use crate::secret::Secret;

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

fn parse(text: &str, path: &Path) -> Result<Config, Fault> {
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
struct Config {
    #[serde(deserialize_with = "null_is_default")]
    current_context: String,
    #[serde(deserialize_with = "null_is_default")]
    contexts: Vec<NamedContext>,
    #[serde(deserialize_with = "null_is_default")]
    clusters: Vec<NamedCluster>,
    #[serde(deserialize_with = "null_is_default")]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    user: UserEntry,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct UserEntry {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<Exec>,
    username: Option<String>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

/// kubectl writes `null` for an empty list.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Config {
    fn merge(&mut self, later: Self) {
        if self.current_context.is_empty() {
            self.current_context = later.current_context;
        }
        self.contexts.extend(later.contexts);
        self.clusters.extend(later.clusters);
        self.users.extend(later.users);
    }

    fn access(self) -> Result<Access, Fault> {
        if self.current_context.is_empty() {
            return Err(Fault(
                "current-context is not set; expected the name of a context".to_owned(),
            ));
        }
        let context = self
            .contexts
            .into_iter()
            .find(|it| it.name == self.current_context);
        let context = context
            .ok_or_else(|| missing("context", &self.current_context))?
            .context;
        let cluster = self
            .clusters
            .into_iter()
            .find(|it| it.name == context.cluster);
        let cluster = cluster
            .ok_or_else(|| missing("cluster", &context.cluster))?
            .cluster;
        let user = if context.user.is_empty() {
            UserEntry::default()
        } else {
            let user = self.users.into_iter().find(|it| it.name == context.user);
            user.ok_or_else(|| missing("user", &context.user))?.user
        };
        let server = cluster.server.trim_end_matches('/').to_owned();
        if !server.starts_with("https://") && !server.starts_with("http://") {
            return Err(Fault(format!(
                "server {server:?} is no URL; expected https://host:port"
            )));
        }
        if let Some(name) = cluster.tls_server_name {
            return Err(Fault(format!(
                "tls-server-name {name:?} is not supported; expected the server's own name"
            )));
        }
        let ca = pem(
            "certificate-authority-data",
            cluster.certificate_authority_data,
            cluster.certificate_authority,
        )?;
        Ok(Access {
            server,
            ca,
            insecure: cluster.insecure_skip_tls_verify,
            user: user.resolve()?,
        })
    }
}

impl UserEntry {
    /// In kubectl's order: a token wins over a token file, either over a certificate, and a plugin comes last.
    fn resolve(self) -> Result<User, Fault> {
        let certificate = pem(
            "client-certificate-data",
            self.client_certificate_data,
            self.client_certificate,
        )?;
        let key = pem("client-key-data", self.client_key_data, self.client_key)?;
        if let Some(file) = self.token_file {
            return Ok(User::TokenFile(file));
        }
        if let Some(token) = self.token.filter(|it| !it.is_empty()) {
            return Ok(User::Token(Secret::new(token)));
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => return Ok(User::Certificate { certificate, key }),
            (Some(_), None) => {
                return Err(Fault(
                    "client-key is missing beside client-certificate".to_owned(),
                ));
            }
            (None, Some(_)) => {
                return Err(Fault(
                    "client-certificate is missing beside client-key".to_owned(),
                ));
            }
            (None, None) => (),
        }
        if let Some(exec) = self.exec {
            return match exec.api_version.as_str() {
                "client.authentication.k8s.io/v1" | "client.authentication.k8s.io/v1beta1" => {
                    Ok(User::Exec(Box::new(exec)))
                }
                other => Err(Fault(format!(
                    "exec apiVersion {other:?} is not supported; expected client.authentication.k8s.io/v1 or v1beta1"
                ))),
            };
        }
        if self.auth_provider.is_some() {
            return Err(Fault(
                "auth-provider is not supported; expected an exec plugin".to_owned(),
            ));
        }
        if self.username.is_some() {
            return Err(Fault(
                "username and password are not supported (Kubernetes removed them in 1.19); expected a token, a certificate or an exec plugin".to_owned(),
            ));
        }
        Ok(User::Anonymous)
    }
}

fn missing(what: &str, name: &str) -> Fault {
    Fault(format!("the {what} {name:?} is not in the file"))
}

fn pem(field: &str, data: Option<String>, file: Option<PathBuf>) -> Result<Option<Pem>, Fault> {
    match data.filter(|it| !it.is_empty()) {
        Some(data) => {
            let text = STANDARD
                .decode(data.trim())
                .ok()
                .and_then(|it| String::from_utf8(it).ok());
            let text = text.ok_or_else(|| Fault(format!("{field} is not PEM text in base64")))?;
            Ok(Some(Pem::Data(Secret::new(text))))
        }
        None => Ok(file.map(Pem::File)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn access(user: &str) -> Result<Access, Fault> {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://h:6443/', certificate-authority: pki/ca.crt}}}}]\n\
             users: [{{name: u, user: {user}}}]\n"
        );
        parse(&text, Path::new("/home/me/.kube/config"))?.access()
    }

    #[test]
    fn relative_files_are_beside_the_kubeconfig() {
        let found = access("{tokenFile: ./token}").unwrap();
        assert_eq!(found.server, "https://h:6443");
        assert!(
            matches!(found.ca, Some(Pem::File(path)) if path == Path::new("/home/me/.kube/pki/ca.crt"))
        );
        assert!(
            matches!(found.user, User::TokenFile(path) if path == Path::new("/home/me/.kube/./token"))
        );
    }

    #[test]
    fn every_kind_of_user() {
        assert!(
            matches!(access("{token: abc}").unwrap().user, User::Token(it) if it.expose() == "abc")
        );
        assert!(matches!(access("null").unwrap().user, User::Anonymous));
        let certificate = "{client-certificate-data: LS0tCg==, client-key: key.pem}";
        assert!(matches!(
            access(certificate).unwrap().user,
            User::Certificate { .. }
        ));
        let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: ./get, args: null, env: [{name: A, value: b}]}}";
        let User::Exec(exec) = access(exec).unwrap().user else {
            panic!("no exec")
        };
        assert_eq!(exec.command, "/home/me/.kube/./get");
        assert_eq!(exec.env[0].name, "A");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (user, expected) in [
            ("{username: me, password: secret}", "username and password"),
            ("{auth-provider: {name: gcp}}", "auth-provider"),
            ("{client-certificate: c.pem}", "client-key is missing"),
            (
                "{client-certificate-data: '%%%', client-key: k}",
                "client-certificate-data is not PEM",
            ),
            (
                "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: c}}",
                "v1alpha1",
            ),
        ] {
            let fault = access(user).unwrap_err().0;
            assert!(fault.contains(expected), "{user}: {fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn the_first_file_wins_and_a_missing_one_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "a",
            "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n",
        );
        write(
            "b",
            "current-context: x\nclusters: [{name: k, cluster: {server: 'http://b'}}]\n",
        );
        let path = |name: &str| folder.path().join(name).display().to_string();
        let found = load(&format!("{}:{}:{}", path("none"), path("a"), path("b"))).unwrap();
        assert_eq!(found.server, "http://b");
        assert!(load(&path("none")).unwrap_err().0.contains("no file"));
    }

    #[test]
    fn a_file_that_is_no_yaml_is_not_quoted() {
        let fault = parse("users: [{token: tell-nobody", Path::new("f"))
            .map(drop)
            .unwrap_err()
            .0;
        assert!(!fault.contains("tell-nobody"), "{fault}");
        let fault = parse("users: tell-nobody", Path::new("f"))
            .map(drop)
            .unwrap_err()
            .0;
        assert_eq!(
            fault,
            "f is no kubeconfig: invalid type: string ..., expected a sequence"
        );
    }
}
