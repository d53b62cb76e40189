//! From what stands in the files to the current context's cluster and user.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::file::{Config, UserEntry};
use super::{Access, Fault, Pem, User};
use crate::secret::Secret;

impl Config {
    /// The current context's cluster and user.
    pub(super) fn access(self) -> Result<Access, Fault> {
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
