//! Credentials from an exec plugin, run as kubectl runs it.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>

mod process;

use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use process::{Failure, Limits};

use super::kubeconfig::{Access, Exec};
use crate::secret::Secret;
use crate::thread::stop::Stop;

/// A plugin may ask a person in a browser, but never the agent: a minute is plenty. No credential is larger.
const LIMITS: Limits = Limits {
    time: Duration::from_mins(1),
    output: 1 << 20,
};
/// Bytes of what a plugin complains that an error quotes.
const MAX_COMPLAINT: usize = 300;
/// A word that is longer may be a secret.
const LONG_WORD: usize = 40;

/// What a plugin printed.
#[derive(Debug, Clone)]
pub struct Credential {
    /// A bearer token.
    pub token: Option<Secret>,
    /// A client certificate and its key, PEM.
    pub certificate: Option<(Secret, Secret)>,
    /// When to ask again at the latest.
    pub expires: Option<OffsetDateTime>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    kind: &'a str,
    api_version: &'a str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster<'a>>,
    interactive: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster<'a> {
    server: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs the plugin and reads its answer; the error says why in words without the answer.
pub fn run(exec: &Exec, access: &Access, stop: &Stop) -> Result<Credential, String> {
    run_within(exec, access, LIMITS, stop)
}

fn run_within(
    exec: &Exec,
    access: &Access,
    limits: Limits,
    stop: &Stop,
) -> Result<Credential, String> {
    let mut command = Command::new(&exec.command);
    command.args(&exec.args);
    for it in &exec.env {
        command.env(&it.name, &it.value);
    }
    command.env("KUBERNETES_EXEC_INFO", info(exec, access)?);
    let ended = process::run(&mut command, limits, stop).map_err(|err| match err {
        Failure::Start(err) => {
            let hint = exec.install_hint.as_deref().unwrap_or_default();
            format!("failed to run {}: {err} {hint}", exec.command)
                .trim_end()
                .to_owned()
        }
        Failure::Stopped => err.to_string(),
        _ => format!("{} {err}", exec.command),
    })?;
    if !ended.status.success() {
        let said = complaint(&ended.errors, exec);
        return Err(format!(
            "{} ended with {}{said}",
            exec.command, ended.status
        ));
    }
    credential(&ended.out).map_err(|why| format!("{} printed {why}", exec.command))
}

/// What a plugin that failed says about it, for an error: the end, where tools say what went wrong. What it was given
/// by a variable is left out, and so is every long word, as a token is one.
fn complaint(errors: &[u8], exec: &Exec) -> String {
    const LEFT_OUT: &str = "...";
    let mut text = String::from_utf8_lossy(errors).into_owned();
    for it in exec.env.iter().filter(|it| !it.value.is_empty()) {
        text = text.replace(&it.value, LEFT_OUT);
    }
    let words: Vec<_> = text
        .split_whitespace()
        .map(|it| if it.len() > LONG_WORD { LEFT_OUT } else { it })
        .collect();
    let words = words.join(" ");
    let end = words.ceil_char_boundary(words.len().saturating_sub(MAX_COMPLAINT));
    match &words[end..] {
        "" => String::new(),
        end => format!(": {end}"),
    }
}

fn info(exec: &Exec, access: &Access) -> Result<String, String> {
    let ca = match &access.ca {
        Some(pem) if exec.provide_cluster_info => Some(pem.read().map_err(|err| err.to_string())?),
        _ => None,
    };
    let cluster = exec.provide_cluster_info.then(|| Cluster {
        server: &access.server,
        certificate_authority_data: ca.map(|it| {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(it.expose())
        }),
        insecure_skip_tls_verify: access.insecure,
    });
    let request = Request {
        kind: "ExecCredential",
        api_version: &exec.api_version,
        spec: Spec {
            cluster,
            interactive: false,
        },
    };
    serde_json::to_string(&request).map_err(|err| err.to_string())
}

fn credential(text: &[u8]) -> Result<Credential, &'static str> {
    let answer: Answer = serde_json::from_slice(text).map_err(|_| "no ExecCredential object")?;
    let status = answer.status.ok_or("an ExecCredential without status")?;
    let certificate = match (status.client_certificate_data, status.client_key_data) {
        (Some(certificate), Some(key)) => Some((Secret::new(certificate), Secret::new(key))),
        (None, None) => None,
        _ => return Err("a certificate without key, or a key without certificate"),
    };
    let token = status.token.filter(|it| !it.is_empty()).map(Secret::new);
    if token.is_none() && certificate.is_none() {
        return Err("neither token nor certificate");
    }
    let expires = match status.expiration_timestamp {
        Some(text) => Some(
            OffsetDateTime::parse(&text, &Rfc3339)
                .map_err(|_| "an expirationTimestamp that is no RFC 3339")?,
        ),
        None => None,
    };
    Ok(Credential {
        token,
        certificate,
        expires,
    })
}

#[cfg(test)]
mod tests;
