//! What to do about failures that several areas meet.

use std::io;

use rustls::{CertificateError, Error};

/// About a TLS handshake with the backend that failed; `own_ca` says whether BACKEND_CA_FILE is set.
pub(super) fn tls(err: &io::Error, own_ca: bool) -> String {
    let inner = err.get_ref().and_then(|it| it.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(why)) = inner else {
        return "look whether a server that speaks TLS 1.2 or 1.3 listens at that port, and whether something in \
                between breaks the connection"
            .to_owned();
    };
    let text = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the backend's certificate is past its time: have it renewed, and look at this node's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the backend's certificate is not valid yet: look at this node's clock"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is another host's: look at the host in the URL, or have one made for it"
        }
        _ if own_ca => {
            "the CA in BACKEND_CA_FILE did not sign this backend's certificate: put the right one there (the chart's \
             value backend.caConfigMap), or that of the proxy which opens the traffic, and restart the agent, which \
             reads it at the start alone (kubectl rollout restart)"
        }
        _ => {
            "no public CA signed this backend's certificate: name its own CA in BACKEND_CA_FILE (the chart's value \
             backend.caConfigMap) and restart the agent, which reads it at the start alone (kubectl rollout restart)"
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_decides() {
        let text = |why, own_ca| tls(&io::Error::other(Error::InvalidCertificate(why)), own_ca);
        assert!(text(CertificateError::UnknownIssuer, true).contains("in BACKEND_CA_FILE"));
        assert!(text(CertificateError::UnknownIssuer, false).contains("no public CA"));
        for own_ca in [false, true] {
            assert!(text(CertificateError::UnknownIssuer, own_ca).contains("restart the agent"));
        }
        assert!(text(CertificateError::BadSignature, true).contains("in BACKEND_CA_FILE"));
        assert!(text(CertificateError::Expired, true).contains("renewed"));
        assert!(text(CertificateError::NotValidForName, true).contains("another host"));
        assert!(tls(&io::ErrorKind::UnexpectedEof.into(), true).contains("TLS 1.2"));
    }
}
