//! A CONNECT proxy with credentials between the agent and its backend, for REST and WebSocket alike; NO_PROXY; and
//! never towards the API server. The real ones are tried by `tests/cluster/proxy`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sandbox::backend::{Backend, Options};
use sandbox::tls::Authority;

use crate::common::agent::Setup;
use crate::common::cluster::Cluster;
use crate::common::eventually;

/// A proxy that tunnels for who knows the password, and writes down what it was asked.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Proxy {
    /// `Basic` of these is expected.
    fn start(credentials: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), seen) = (client, seen.clone()) else {
                    return;
                };
                thread::spawn(move || serve(client, credentials, &seen));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<(String, bool)> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut client: TcpStream,
    credentials: &str,
    asked: &Mutex<Vec<(String, bool)>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let expected = format!("proxy-authorization: basic {credentials}\r\n").to_lowercase();
    let is_known = head.starts_with("CONNECT ") && head.to_lowercase().contains(&expected);
    asked.lock().unwrap().push((target.clone(), is_known));
    if !is_known {
        return client
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
    }
    let server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server) = (client, server);
    let _ = io::copy(&mut from_client, &mut to_server);
    to_server.shutdown(Shutdown::Both)
}

/// `me:p@ss` in base64.
const CREDENTIALS: &str = "bWU6cEBzcw==";

fn world(tls: bool) -> (Cluster, Backend, Setup) {
    let authority = Authority::new();
    let options = Options {
        tls: tls.then(|| authority.acceptor(&["127.0.0.1"])),
        ..Options::default()
    };
    let (cluster, backend) = (Cluster::with(1, 2), Backend::start(options).unwrap());
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let ca = setup.folder().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let setup = setup.with("BACKEND_CA_FILE", &ca.display().to_string());
    (cluster, backend, setup)
}

#[test]
fn both_channels_go_through_the_proxy_and_the_cluster_does_not() {
    for tls in [true, false] {
        let (_cluster, backend, setup) = world(tls);
        let proxy = Proxy::start(CREDENTIALS);
        let url = format!("http://me:p%40ss@{}", proxy.address);
        let setup = setup.with("HTTPS_PROXY", &url);
        let mut agent = setup.start();
        eventually("connected", || backend.connected() == 1);
        eventually("metrics", || !backend.batches().is_empty());
        let asked = proxy.asked();
        let address = backend.server().addr().to_string();
        assert!(asked.len() >= 2, "{asked:?}");
        assert!(
            asked.iter().all(|it| *it == (address.clone(), true)),
            "{asked:?}"
        );
        assert!(!agent.log().contains("p@ss") && !agent.log().contains(CREDENTIALS));
        agent.stop();
        backend.assert_no_violations();
    }
}

#[test]
fn wrong_credentials_are_told_apart() {
    let (_cluster, backend, setup) = world(true);
    let proxy = Proxy::start(CREDENTIALS);
    let url = format!("http://me:wrong@{}", proxy.address);
    let setup = setup.with("HTTPS_PROXY", &url);
    let mut agent = setup.start();
    agent.logged("the proxy gives no tunnel: 407: it wants other credentials in HTTPS_PROXY");
    agent.logged("Failed to register");
    assert!(!agent.log().contains("wrong"));
    assert!(backend.requests().is_empty());
    agent.stop();
}

#[test]
fn no_proxy_holds_for_both_channels() {
    for exception in ["127.0.0.0/8", "127.0.0.1", "*", "example.com, 127.0.0.1"] {
        let (_cluster, backend, setup) = world(true);
        let proxy = Proxy::start(CREDENTIALS);
        let setup = setup
            .with(
                "HTTPS_PROXY",
                &format!("http://me:p%40ss@{}", proxy.address),
            )
            .with("NO_PROXY", exception);
        let mut agent = setup.start();
        eventually("connected", || backend.connected() == 1);
        eventually("registered", || backend.registrations().len() == 1);
        assert_eq!(proxy.asked(), [], "{exception}");
        agent.stop();
    }
}

/// Must show 5. Runs where KUBERNETES_AGENT_TEST_PROXY is the URL of a proxy that `tests/cluster/proxy` started;
/// passes without doing anything elsewhere.
#[test]
fn a_real_proxy_is_gone_through_by_both_channels() {
    let Ok(url) = std::env::var("KUBERNETES_AGENT_TEST_PROXY") else {
        return;
    };
    let (_cluster, backend, setup) = world(true);
    let setup = setup.with("HTTPS_PROXY", &url);
    let mut agent = setup.start();
    eventually("connected", || backend.connected() == 1);
    eventually("metrics", || !backend.batches().is_empty());
    agent.stop();
    backend.assert_no_violations();
    let (before, after) = url.rsplit_once('@').unwrap();
    let setup = setup.with("HTTPS_PROXY", &format!("{before}x@{after}"));
    let mut agent = setup.start();
    agent.logged(": it wants other credentials in HTTPS_PROXY");
    agent.logged("Failed to register");
    agent.stop();
}
