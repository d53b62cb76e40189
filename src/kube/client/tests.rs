use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use super::*;
use crate::kube::fence::Open;
use crate::kube::kubeconfig::User;
use crate::thread::stop;

/// Reads a request without a body; its first line, or `None` where the client hung up.
fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut lines = reader.lines().map_while(Result::ok);
    let first = lines.next()?;
    lines.find(String::is_empty)?;
    Some(first)
}

/// A server that answers one request of its first connection, hears the next one and closes, and answers all of the
/// second connection. Returns what it heard once a client of it has hung up.
fn closing(listener: TcpListener) -> JoinHandle<Vec<String>> {
    let answer = |mut socket: &TcpStream| {
        let body = r#"{"gitVersion":"v1.33.0"}"#;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        socket.write_all((head + body).as_bytes()).unwrap();
    };
    thread::spawn(move || {
        let mut heard = Vec::new();
        let mut first = BufReader::new(listener.accept().unwrap().0);
        heard.extend(request(&mut first));
        answer(first.get_ref());
        heard.extend(request(&mut first));
        drop(first);
        let mut second = BufReader::new(listener.accept().unwrap().0);
        while let Some(line) = request(&mut second) {
            heard.push(line);
            answer(second.get_ref());
        }
        heard
    })
}

#[test]
fn what_finds_its_connection_closed_is_asked_again_and_never_written_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_guard, stop) = stop::pair();
    let access = Access {
        server: format!("http://{}", listener.local_addr().unwrap()),
        ca: None,
        insecure: false,
        user: User::Anonymous,
    };
    for writes in [false, true] {
        let server = closing(listener.try_clone().unwrap());
        let metrics = Arc::new(Metrics::new().unwrap());
        let client = Client::new(access.clone(), stop.clone(), metrics).writing(Arc::new(Open));
        client.version().unwrap();
        let target = Target::new("/api/v1/nodes/n");
        let call = Call {
            method: if writes {
                http::Method::DELETE
            } else {
                http::Method::GET
            },
            ..Call::get(&target, "nodes")
        };
        let outcome = client.send::<serde_json::Value>(&call);
        if writes {
            assert!(matches!(outcome, Err(Error::Cut(_))));
        } else {
            outcome.unwrap();
        }
        // Over the second connection, also after the write.
        client.version().unwrap();
        client.close();
        let heard = server.join().unwrap();
        let asked = heard.iter().filter(|it| it.contains("/nodes/n"));
        assert_eq!(asked.count(), if writes { 1 } else { 2 }, "{heard:?}");
    }
}

#[test]
fn those_who_wait_for_a_plugin_that_fails_do_not_ask_it_again() {
    const MANY: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let script = format!("echo >> {}; sleep 0.3; exit 1", runs.display());
    let exec = serde_json::json!({"command": "sh", "args": ["-c", script],
        "apiVersion": "client.authentication.k8s.io/v1"});
    let (_guard, stop) = stop::pair();
    let access = Access {
        server: "http://127.0.0.1:9".to_owned(),
        ca: None,
        insecure: false,
        user: User::Exec(serde_json::from_value(exec).unwrap()),
    };
    let client = Client::new(access, stop, Arc::new(Metrics::new().unwrap()));
    thread::scope(|scope| {
        for _ in 0..MANY {
            scope.spawn(|| assert!(matches!(client.version(), Err(Error::Credentials(_)))));
        }
    });
    let runs = std::fs::read_to_string(runs).unwrap().lines().count();
    assert!(runs < MANY, "{runs}");
}
