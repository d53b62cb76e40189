//! Credentials from an exec plugin, run as kubectl runs it.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::kubeconfig::{Access, Exec};
use crate::secret::Secret;
use crate::thread::stop::Stop;

/// A plugin may ask a person in a browser, but never the agent: a minute is plenty.
const DEADLINE: Duration = Duration::from_mins(1);
/// No credential is larger.
const MAX_OUTPUT: u64 = 1 << 20;

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
    let mut command = Command::new(&exec.command);
    command
        .args(&exec.args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    for it in &exec.env {
        command.env(&it.name, &it.value);
    }
    command.env("KUBERNETES_EXEC_INFO", info(exec, access)?);
    let mut child = command.spawn().map_err(|err| {
        let hint = exec.install_hint.as_deref().unwrap_or_default();
        format!("failed to run {}: {err} {hint}", exec.command)
            .trim_end()
            .to_owned()
    })?;
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        output.map(|it| it.take(MAX_OUTPUT).read_to_end(&mut text));
        text
    });
    let deadline = Instant::now() + DEADLINE;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Err(err) => break Err(format!("failed to wait for {}: {err}", exec.command)),
            Ok(None) if Instant::now() > deadline => {
                break Err(format!(
                    "{} did not end within {} s",
                    exec.command,
                    DEADLINE.as_secs()
                ));
            }
            Ok(None) => {
                if stop.wait(Duration::from_millis(20)) {
                    break Err("stopping".to_owned());
                }
            }
        }
    };
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = ended?;
    let text = reader.join().unwrap_or_default();
    if !status.success() {
        return Err(format!("{} ended with {status}", exec.command));
    }
    credential(&text).map_err(|why| format!("{} printed {why}", exec.command))
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
mod tests {
    use super::*;
    use crate::kube::kubeconfig::User;
    use crate::thread::stop;

    fn sh(script: &str) -> (Exec, Access) {
        let exec: Exec = serde_json::from_value(serde_json::json!({
            "command": "sh", "args": ["-c", script], "apiVersion": "client.authentication.k8s.io/v1",
            "env": [{"name": "GIVEN", "value": "yes"}], "provideClusterInfo": true, "installHint": "get sh",
        }))
        .unwrap();
        let access = Access {
            server: "https://h".to_owned(),
            ca: None,
            insecure: false,
            user: User::Anonymous,
        };
        (exec, access)
    }

    fn run_script(script: &str) -> Result<Credential, String> {
        let (exec, access) = sh(script);
        let (_guard, stop) = stop::pair();
        run(&exec, &access, &stop)
    }

    #[test]
    fn a_plugin_sees_its_variables_and_the_cluster() {
        let found = run_script(
            r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"server":"https://h"' || exit 3
               echo "{\"status\":{\"token\":\"t-$GIVEN\",\"expirationTimestamp\":\"2030-01-01T00:00:00Z\"}}""#,
        )
        .unwrap();
        assert_eq!(found.token.unwrap().expose(), "t-yes");
        assert_eq!(found.expires.unwrap().year(), 2030);
    }

    #[test]
    fn a_failing_plugin_is_named_and_its_output_is_not() {
        for (script, expected) in [
            ("echo secret; exit 7", "exit status: 7"),
            ("echo secret", "no ExecCredential"),
            ("echo '{\"status\":{}}'", "neither token nor certificate"),
            (
                "echo '{\"status\":{\"clientKeyData\":\"secret\"}}'",
                "without certificate",
            ),
        ] {
            let why = run_script(script).unwrap_err();
            assert!(why.contains(expected) && !why.contains("secret"), "{why}");
        }
        let (mut exec, access) = sh("");
        exec.command = "/no/such/plugin".to_owned();
        let (_guard, stop) = stop::pair();
        assert!(run(&exec, &access, &stop).unwrap_err().contains("get sh"));
    }

    #[test]
    fn a_plugin_that_hangs_ends_with_the_agent() {
        let (exec, access) = sh("exec sleep 1000");
        let (guard, stop) = stop::pair();
        drop(guard);
        assert_eq!(run(&exec, &access, &stop).unwrap_err(), "stopping");
    }
}
