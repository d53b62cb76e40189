//! What a request to the API server is authenticated with, kept fresh.
//!
//! A bound service account token lives for an hour and the kubelet renews its file at 80 %. Re-reading it each
//! minute is what client-go does; a 401 asks for it at once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::exec;
use super::kubeconfig::{Access, Pem, User};
use super::status::Error;
use crate::secret::Secret;
use crate::thread::stop::Stop;

/// How long what was read is used before it is read again.
const FRESH: Duration = Duration::from_mins(1);
/// A credential of an exec plugin is renewed this long before it expires.
const EARLY: time::Duration = time::Duration::seconds(30);
/// But not again for so long where that failed, or brought one that expires as soon: a plugin is no call to make
/// before each request.
const AGAIN: Duration = Duration::from_secs(10);

/// The service account's files in a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The file that names the pod's namespace.
pub const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The API server as a pod sees it, from the two variables that the kubelet sets.
///
/// An IPv6 address is put in brackets.
pub fn in_cluster(host: &str, port: &str) -> Access {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let folder = Path::new(SERVICE_ACCOUNT);
    Access {
        server: format!("https://{host}:{port}"),
        ca: Some(Pem::File(folder.join("ca.crt"))),
        insecure: false,
        user: User::TokenFile(folder.join("token")),
    }
}

/// The credentials in use.
#[derive(Debug)]
pub struct Credentials {
    /// For the Authorization header.
    pub bearer: Option<Secret>,
    /// Certificates, as read.
    pub tls: Material,
    read: Instant,
    expires: Option<OffsetDateTime>,
    from_plugin: bool,
}

/// The PEM texts behind a TLS configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    ca: Option<Secret>,
    client: Option<(Secret, Secret)>,
    insecure: bool,
}

impl Credentials {
    /// Reads everything that `access` names.
    pub fn read(access: &Access, stop: &Stop) -> Result<Self, Error> {
        let text = |pem: &Pem| {
            pem.read()
                .map_err(|err| Error::Credentials(err.to_string()))
        };
        let mut bearer = None;
        let mut client = None;
        let mut expires = None;
        match &access.user {
            User::Anonymous => (),
            User::Token(token) => bearer = Some(token.clone()),
            User::TokenFile(path) => bearer = Some(text(&Pem::File(path.clone()))?),
            User::Certificate { certificate, key } => {
                client = Some((text(certificate)?, text(key)?));
            }
            User::Exec(plugin) => {
                let found = exec::run(plugin, access, stop).map_err(Error::Credentials)?;
                (bearer, client, expires) = (found.token, found.certificate, found.expires);
            }
        }
        Ok(Self {
            bearer,
            tls: Material {
                ca: access.ca.as_ref().map(text).transpose()?,
                client,
                insecure: access.insecure,
            },
            read: Instant::now(),
            expires,
            from_plugin: matches!(access.user, User::Exec(_)),
        })
    }

    /// Whether they should be read again before the next request.
    ///
    /// A plugin's credential without an expiry is kept until the server refuses it, as kubectl does.
    pub fn are_stale(&self) -> bool {
        match self.expires {
            Some(expires) => {
                OffsetDateTime::now_utc() + EARLY >= expires && self.read.elapsed() >= AGAIN
            }
            None => !self.from_plugin && self.read.elapsed() >= FRESH,
        }
    }

    /// Whether they were read after this.
    pub fn are_newer_than(&self, asked: Instant) -> bool {
        self.read > asked
    }

    /// Keeps using them for a while: reading anew failed, and the server has not refused them yet.
    pub fn keep(&mut self) {
        self.read = Instant::now();
    }
}

impl Material {
    /// As ureq takes it. Without a CA in the configuration, the public roots hold.
    pub fn config(&self) -> Result<TlsConfig, Error> {
        let mut tls = TlsConfig::builder().disable_verification(self.insecure);
        if let Some(ca) = &self.ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(
                ca,
                "certificate-authority",
            )?));
        }
        if let Some((certificate, key)) = &self.client {
            let chain = certificates(certificate, "client-certificate")?;
            let key = PrivateKey::from_pem(key.expose().as_bytes()).map_err(|_| {
                Error::Credentials("client-key holds no private key in PEM".to_owned())
            })?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        Ok(tls.build())
    }

    /// Tells whether a new configuration is needed, without keeping a second copy of the key.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.ca.as_ref().map(Secret::expose).hash(&mut hasher);
        self.client
            .as_ref()
            .map(|(certificate, key)| (certificate.expose(), key.expose()))
            .hash(&mut hasher);
        hasher.finish()
    }
}

/// All certificates of a PEM text.
fn certificates(text: &Secret, what: &str) -> Result<Vec<Certificate<'static>>, Error> {
    let found: Vec<_> = parse_pem(text.expose().as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(Error::Credentials(format!(
            "{what} holds no certificate in PEM"
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread::stop;

    #[test]
    fn an_ipv6_api_server_stands_in_brackets() {
        assert_eq!(in_cluster("fd00::1", "443").server, "https://[fd00::1]:443");
        assert_eq!(in_cluster("10.0.0.1", "443").server, "https://10.0.0.1:443");
    }

    #[test]
    fn a_missing_token_file_is_named() {
        let (_guard, stop) = stop::pair();
        let access = Access {
            server: "https://h".to_owned(),
            ca: None,
            insecure: false,
            user: User::TokenFile("/no/such/token".into()),
        };
        let err = Credentials::read(&access, &stop).unwrap_err();
        assert!(err.to_string().contains("/no/such/token"), "{err}");
    }

    #[test]
    fn a_plugin_is_not_asked_before_each_request_where_its_credential_is_about_to_expire() {
        let now = Instant::now();
        let read = |ago| Credentials {
            bearer: None,
            tls: Material {
                ca: None,
                client: None,
                insecure: false,
            },
            read: now.checked_sub(ago).unwrap_or(now),
            expires: Some(OffsetDateTime::now_utc() - Duration::from_secs(1)),
            from_plugin: true,
        };
        let mut credentials = read(AGAIN);
        assert!(credentials.are_stale());
        credentials.keep();
        assert!(!credentials.are_stale());
        assert!(!read(Duration::ZERO).are_stale());
    }

    #[test]
    fn material_without_certificates_is_refused_by_name() {
        let material = Material {
            ca: Some(Secret::new("nothing")),
            client: None,
            insecure: false,
        };
        assert!(
            material
                .config()
                .unwrap_err()
                .to_string()
                .contains("certificate-authority")
        );
    }

    #[test]
    fn debug_shows_no_credential() {
        let credentials = Credentials {
            bearer: Some(Secret::new("a-bearer-token")),
            tls: Material {
                ca: None,
                client: Some((Secret::new("a-certificate"), Secret::new("a-private-key"))),
                insecure: false,
            },
            read: Instant::now(),
            expires: None,
            from_plugin: false,
        };
        let text = format!("{credentials:?}");
        // Words, not figures: the moment of reading stands there in nanoseconds and may hold any digits.
        for secret in ["a-bearer-token", "a-certificate", "a-private-key"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
