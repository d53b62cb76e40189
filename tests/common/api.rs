//! The Kubernetes API as any client sees it: JSON over HTTP, as an administrator. It shares no code with the agent,
//! so that what it says of the cluster is a second opinion.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::{Method, Request};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::SOON;

/// A client of one server.
pub struct Api {
    agent: ureq::Agent,
    server: String,
    token: String,
}

impl Api {
    /// Of the server at this URL, whose certificate the CA has signed if there is one.
    pub fn new(server: &str, ca: Option<&str>, token: &str) -> Self {
        let mut tls = TlsConfig::builder();
        if let Some(pem) = ca {
            let certificates: Vec<_> = parse_pem(pem.as_bytes())
                .filter_map(|it| match it {
                    Ok(PemItem::Certificate(it)) => Some(it),
                    _ => None,
                })
                .collect();
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        let agent = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .proxy(None)
            .http_status_as_error(false)
            .user_agent("test")
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .new_agent();
        Self {
            agent,
            server: server.to_owned(),
            token: token.to_owned(),
        }
    }

    /// One request: the status and the object of the answer, or nothing if there was none.
    pub fn try_request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let kind = match *method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", kind);
        let sent = match body {
            Some(body) => self.agent.run(request.body(body.to_string()).ok()?),
            None => self.agent.run(request.body(()).ok()?),
        };
        let mut answer = sent.ok()?;
        let code = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(64 << 20);
        Some((code, serde_json::from_reader(body.reader()).ok()?))
    }

    /// One request that must go well in the end; what may pass by itself, such as a server that restarts, is waited
    /// for. Creating what is there already gives that, and deleting what is gone is fine.
    fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let answer = self.try_request(method, path, body);
            match &answer {
                Some((200..=299, _)) => return answer.map(|(_, it)| it).unwrap_or_default(),
                Some((409, _)) if *method == Method::POST => {
                    let name = body.and_then(|it| it["metadata"]["name"].as_str());
                    return self.get(&format!("{path}/{}", name.expect("a name")));
                }
                Some((404, _)) if *method == Method::DELETE => return Value::Null,
                Some((400..=499, refusal))
                    if !refusal["message"].to_string().contains("try again") =>
                {
                    panic!("{method} {path}: {refusal}")
                }
                _ => assert!(Instant::now() < deadline, "{method} {path}: {answer:?}"),
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// An object.
    pub fn get(&self, path: &str) -> Value {
        self.request(&Method::GET, path, None)
    }

    /// The objects of a collection.
    pub fn list(&self, path: &str) -> Vec<Value> {
        match self.get(path)["items"].take() {
            Value::Array(items) => items,
            other => panic!("{path}: no list but {other}"),
        }
    }

    /// What is answered to who asks for protobuf.
    pub fn protobuf(&self, path: &str) -> Vec<u8> {
        let request = Request::builder()
            .uri(format!("{}{path}", self.server))
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "application/vnd.kubernetes.protobuf")
            .body(())
            .expect("a request");
        let answer = self.agent.run(request).expect("an answer");
        answer.into_body().read_to_vec().expect("a body")
    }

    /// The events of a watch, as they come, until the server ends it.
    pub fn watch(&self, path: &str) -> impl Iterator<Item = Value> + Send + use<> {
        let request = Request::builder()
            .uri(format!("{}{path}", self.server))
            .header("authorization", format!("Bearer {}", self.token))
            .body(())
            .expect("a request");
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(None)
            .build();
        let body = self.agent.run(request).expect("a watch").into_body();
        let reader = body.into_with_config().limit(u64::MAX).reader();
        serde_json::Deserializer::from_reader(reader)
            .into_iter()
            .map_while(Result::ok)
    }

    /// Creates an object in a collection, or gives the one that is there.
    pub fn create(&self, path: &str, object: &Value) -> Value {
        self.request(&Method::POST, path, Some(object))
    }

    /// Changes an object by a merge patch.
    pub fn patch(&self, path: &str, change: &Value) -> Value {
        self.request(&Method::PATCH, path, Some(change))
    }

    /// Deletes an object at once.
    pub fn delete(&self, path: &str) {
        let options = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
        self.request(&Method::DELETE, path, Some(&options));
    }
}
