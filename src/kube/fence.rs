//! Whether a write may be sent to the API server at this moment.
//!
//! A [`super::Client`] that was given no fence sends no write at all, so that whoever wants to write has to say who
//! answers for it.

use std::time::Duration;

/// Answers for the writes of one client. Asked before each of them is sent, the repeated ones included.
pub trait Fence: Send + Sync {
    /// How long a write that is sent now may take at most, or `None` where none may be sent.
    fn admits(&self) -> Option<Duration>;
}

/// Answers for writes that need no leadership, such as those that win it.
pub struct Open;

impl Fence for Open {
    fn admits(&self) -> Option<Duration> {
        Some(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ureq::http::Method;

    use super::super::call::{Call, Deadlines};
    use super::super::kubeconfig::{Access, User};
    use super::super::{Client, Error, Target};
    use super::*;
    use crate::metrics::Metrics;
    use crate::thread::stop;

    struct Shut;

    impl Fence for Shut {
        fn admits(&self) -> Option<Duration> {
            None
        }
    }

    /// A client of a port where nobody listens: what is sent fails to connect.
    fn client() -> Client {
        let access = Access {
            server: "http://127.0.0.1:9".to_owned(),
            ca: None,
            insecure: false,
            user: User::Anonymous,
        };
        let (_guard, stop) = stop::pair();
        Client::new(access, stop, Arc::new(Metrics::new().unwrap()))
    }

    fn is_sent(client: &Client, method: Method, path: &str) -> bool {
        let target = Target::new(path);
        let call = Call {
            method,
            body: Some(("application/json", b"{}")),
            deadlines: Deadlines::OBJECT,
            ..Call::get(&target, "pods")
        };
        match client.open(&call).map(drop) {
            Err(Error::Fenced) => false,
            Err(Error::Connect(_)) => true,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_nobody_answers_for_is_not_sent() {
        let pod = "/api/v1/namespaces/a/pods/b";
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(!is_sent(&client(), method.clone(), pod), "{method}");
            let shut = client().writing(Arc::new(Shut));
            assert!(!is_sent(&shut, method.clone(), pod), "{method}");
            let open = client().writing(Arc::new(Open));
            assert!(is_sent(&open, method.clone(), pod), "{method}");
            let (_guard, stop) = stop::pair();
            assert!(!is_sent(&open.apart(stop), method.clone(), pod), "{method}");
        }
    }

    #[test]
    fn reading_and_asking_need_no_answer() {
        let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        assert!(is_sent(&client(), Method::POST, review));
        let shut = client().writing(Arc::new(Shut));
        assert!(is_sent(&shut, Method::GET, "/api/v1/pods"));
    }
}
