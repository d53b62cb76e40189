//! What the API server's authorization has refused: whoever looks after the permissions is told, and where the server
//! does not say beforehand what one may do, this is all that is known of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::status::Status;

/// The verbs and resources that are refused, shared by all clients of the process.
#[derive(Debug)]
pub struct Refusals {
    refused: Mutex<BTreeSet<(&'static str, &'static str)>>,
    news: (Sender<()>, Receiver<()>),
}

impl Default for Refusals {
    fn default() -> Self {
        // One token is enough: whoever hears it looks at everything.
        Self {
            refused: Mutex::default(),
            news: bounded(1),
        }
    }
}

impl Refusals {
    /// Takes in the refusal of a request of this verb and resource, as they are labelled in /metrics. Admission answers
    /// 403 too; only what authorization says counts.
    pub fn refused(&self, verb: &'static str, resource: &'static str, status: &Status) {
        if is_of_authorization(status) && self.lock().insert((verb, resource)) {
            self.tell();
        }
    }

    /// Takes in that such a request was granted.
    pub fn granted(&self, verb: &'static str, resource: &'static str) {
        let mut refused = self.lock();
        if !refused.is_empty() && refused.remove(&(verb, resource)) {
            self.tell();
        }
    }

    /// Whether the last such request was refused.
    pub fn holds(&self, verb: &str, resource: &str) -> bool {
        self.lock()
            .iter()
            .any(|it| (it.0, it.1) == (verb, resource))
    }

    /// Fires when something was refused for the first time, or granted again.
    pub fn news(&self) -> &Receiver<()> {
        &self.news.1
    }

    fn tell(&self) {
        let _ = self.news.0.try_send(());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(&'static str, &'static str)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `pods is forbidden: User "..." cannot list resource "pods" in API group "" at the cluster scope`, as every
/// authorizer's refusal is worded since Kubernetes 1.12.
pub fn is_of_authorization(status: &Status) -> bool {
    status.code == 403
        && status.message.contains(" cannot ")
        && status.message.contains(" resource ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(message: &str) -> Status {
        let body = serde_json::json!({"kind": "Status", "message": message}).to_string();
        Status::from_answer(403, None, body.as_bytes())
    }

    #[test]
    fn what_is_refused_and_granted_is_news_once() {
        let refusals = Refusals::default();
        let authorization = status(
            "pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\" at the cluster scope",
        );
        refusals.granted("list", "pods");
        assert!(refusals.news().is_empty());
        refusals.refused("list", "pods", &authorization);
        assert!(refusals.news().try_recv().is_ok());
        refusals.refused("list", "pods", &authorization);
        assert!(refusals.news().is_empty());
        assert!(refusals.holds("list", "pods") && !refusals.holds("watch", "pods"));
        refusals.granted("list", "pods");
        assert!(refusals.news().try_recv().is_ok());
        assert!(!refusals.holds("list", "pods"));
    }

    #[test]
    fn a_refusal_by_admission_is_none_of_permissions() {
        let refusals = Refusals::default();
        let admission = status("pods \"web\" is forbidden: namespace shop is being terminated");
        refusals.refused("create", "pods", &admission);
        assert!(!refusals.holds("create", "pods"));
    }
}
