//! Whom the agent takes for its backend: a private CA where it is told of one, and nobody whose certificate is wrong.
//! REST and WebSocket say the same of it.

use std::io::{Read, Write};
use std::net::TcpListener;

use sandbox::backend::{Backend, Options};
use sandbox::tls::{Acceptor, Authority};

use crate::common::agent::{Agent, Setup};
use crate::common::cluster::Cluster;
use crate::common::eventually;

fn backend(acceptor: Acceptor) -> Backend {
    let options = Options {
        tls: Some(acceptor),
        ..Options::default()
    };
    Backend::start(options).unwrap()
}

fn setup(cluster: &Cluster, backend: &Backend, trusted: &Authority) -> Setup {
    let setup = Setup::new(cluster.kubeconfig(), backend);
    let ca = setup.folder().join("ca.pem");
    std::fs::write(&ca, trusted.pem()).unwrap();
    setup.with("BACKEND_CA_FILE", &ca.display().to_string())
}

/// Both channels say why, and neither is used.
fn refused(agent: &mut Agent, why: &[&str]) {
    for from in ["Failed to register", "WebSocket connection lost"] {
        eventually(&format!("{from}, because of {why:?}"), || {
            let log = agent.log();
            let mut lines = log.lines().filter(|it| it.contains(from));
            lines.any(|line| why.iter().any(|it| line.contains(it)))
        });
    }
    assert_eq!(agent.get("/readyz").0, 503);
    agent.stop();
}

#[test]
fn a_private_ca_is_trusted_by_both_channels() {
    let cluster = Cluster::with(1, 2);
    let authority = Authority::new();
    let backend = backend(authority.acceptor(&["127.0.0.1"]));
    assert!(backend.ws_url().starts_with("wss://"));
    let setup = setup(&cluster, &backend, &authority);
    let mut agent = setup.start();
    eventually("connected", || backend.connected() == 1);
    eventually("registered", || backend.registrations().len() == 1);
    eventually("events over TLS", || !backend.frames_of("event").is_empty());
    assert!(agent.stop() < std::time::Duration::from_secs(5));
    let closed = backend.connections()[0].closed.clone().unwrap();
    assert_eq!(closed.code, Some(1000), "{closed:?}");
    backend.assert_no_violations();
}

#[test]
fn an_unknown_ca_is_refused() {
    let cluster = Cluster::with(1, 2);
    let (trusted, other) = (Authority::new(), Authority::new());
    let backend = backend(other.acceptor(&["127.0.0.1"]));
    let setup = setup(&cluster, &backend, &trusted);
    let mut agent = setup.start();
    refused(&mut agent, &["UnknownIssuer", "BadSignature"]);
}

#[test]
fn another_host_is_refused() {
    let cluster = Cluster::with(1, 2);
    let authority = Authority::new();
    let backend = backend(authority.acceptor(&["elsewhere.example"]));
    let setup = setup(&cluster, &backend, &authority);
    let mut agent = setup.start();
    refused(&mut agent, &["not valid for name"]);
}

#[test]
fn an_expired_certificate_is_refused() {
    let cluster = Cluster::with(1, 2);
    let authority = Authority::new();
    let backend = backend(authority.expired_acceptor(&["127.0.0.1"]));
    let setup = setup(&cluster, &backend, &authority);
    let mut agent = setup.start();
    refused(&mut agent, &["expired"]);
}

/// A server that knows nothing newer answers TLS 1.1, whatever it was offered.
#[test]
fn tls_1_1_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let mut hello = [0; 4096];
            let _ = client.read(&mut hello);
            let _ = client.write_all(&server_hello_1_1());
            let _ = client.read(&mut hello);
        }
    });
    let cluster = Cluster::with(1, 2);
    let authority = Authority::new();
    let other = backend(authority.acceptor(&["127.0.0.1"]));
    let setup = setup(&cluster, &other, &authority)
        .with("BACKEND_URL", &format!("https://{address}"))
        .with("BACKEND_WS_URL", &format!("wss://{address}/ws"));
    let mut agent = setup.start();
    refused(&mut agent, &["ServerDoesNotSupportTls12Or13"]);
}

/// A ServerHello of TLS 1.1 with TLS_RSA_WITH_AES_128_CBC_SHA and nothing after it (RFC 4346, section 7.4.1.3).
fn server_hello_1_1() -> Vec<u8> {
    let version = [3, 2];
    let mut hello = version.to_vec();
    hello.extend([7; 32]);
    hello.extend([0, 0x00, 0x2f, 0]);
    let mut message = vec![2, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(hello);
    let mut record = vec![
        22,
        version[0],
        version[1],
        0,
        u8::try_from(message.len()).unwrap(),
    ];
    record.extend(message);
    record
}
