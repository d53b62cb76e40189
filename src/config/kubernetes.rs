//! Where the API server is.

use std::net::Ipv6Addr;

use super::reader::Reader;
use crate::kube::credentials::in_cluster;
use crate::kube::kubeconfig::{self, Access};

/// KUBECONFIG where it is set, since somebody set it on purpose; else the pod's service account.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Access> {
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
