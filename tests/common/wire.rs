//! The network between one client and one server, which can be cut without either being told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A forwarding listener. What was sent into a cut wire is lost: its connections end when it is mended.
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    server: SocketAddr,
    is_cut: AtomicBool,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// A wire to the server at this address.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            server,
            is_cut: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                accepting.connect(&client);
            }
        });
        Self { address, state }
    }

    /// A copy of a kubeconfig that leads through this wire.
    pub fn kubeconfig(&self, original: &Path, folder: &Path) -> PathBuf {
        let text = std::fs::read_to_string(original).expect("a kubeconfig");
        let text = text.replace(&self.state.server.to_string(), &self.address.to_string());
        let path = folder.join("kubeconfig-over-the-wire");
        std::fs::write(&path, text).expect("the kubeconfig is written");
        path
    }

    /// From now on nothing comes through, and nobody is told.
    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
    }

    /// New connections come through again.
    pub fn mend(&self) {
        self.state.hang_up();
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.state.hang_up();
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn connect(self: &Arc<Self>, client: &TcpStream) {
        let Ok(server) = TcpStream::connect_timeout(&self.server, Duration::from_secs(5)) else {
            return;
        };
        let ends = [client, &server].map(|it| it.try_clone().expect("a descriptor"));
        self.open.lock().expect("no panic").extend(ends);
        let pair = |from: &TcpStream, to: &TcpStream| {
            let ends = (from.try_clone(), to.try_clone());
            (ends.0.expect("a descriptor"), ends.1.expect("a descriptor"))
        };
        for (from, to) in [pair(client, &server), pair(&server, client)] {
            let state = self.clone();
            thread::spawn(move || state.forward(from, to));
        }
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if self.is_cut.load(Ordering::SeqCst) {
                continue;
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }

    fn hang_up(&self) {
        for it in self.open.lock().expect("no panic").drain(..) {
            let _ = it.shutdown(Shutdown::Both);
        }
    }
}
