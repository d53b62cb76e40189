//! A change that was written: the wait until it has taken effect, and what may come in between.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::{Named, state, uid};
use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::Context;
use crate::actuator::context::writes::FIELD_MANAGER;
use crate::actuator::ended::Ended;
use crate::actuator::execute::guarded;
use crate::actuator::execute::rollout::{self, Rollout};
use crate::kube::objects::Deployment;

/// A change of a deployment that was written, and is now to take effect.
pub struct Written<'a> {
    /// Which.
    pub named: Named<'a>,
    /// As it was before the write.
    pub before: &'a Deployment,
    /// A sentence of what was written: "scaled deployment shop/web from 2 to 5".
    pub what: String,
    /// The same for `details`.
    pub change: Value,
    /// The pointer in `managedFields` to the field that was written.
    pub field: String,
}

impl Written<'_> {
    /// Waits until the change, which is there while `holds`, has taken effect: until the action's deadline.
    pub fn converge(
        &self,
        context: &Context<'_>,
        holds: impl Fn(&Deployment) -> bool,
    ) -> Result<Ended, Ended> {
        let before = rollout::stuck_since(self.before);
        let mut last: Option<(Deployment, Rollout)> = None;
        let found = guarded::until(context, context.deadline, || {
            let now = self.named.read(context, Some(uid(self.before)))?;
            if !holds(&now) {
                return Ok(Some(self.undone(&now)));
            }
            let rollout = rollout::of(&now, before.as_ref());
            let ended = match &rollout {
                Rollout::Complete => Some(Ended::succeeded(self.what.clone())),
                Rollout::Stuck(why) => Some(self.failed(
                    Some(Reason::TimedOut),
                    &format!("its rollout failed: {why}"),
                )),
                Rollout::Waiting(awaited) => {
                    if last.as_ref().is_none_or(|(_, it)| *it != rollout) {
                        progress(context, &now, awaited);
                    }
                    None
                }
            };
            let found = ended.map(|it| it.with("after", state(&now)));
            last = Some((now, rollout));
            Ok(found)
        });
        let seen = |ended: Ended| match &last {
            Some((now, _)) => ended.with("after", state(now)),
            None => ended,
        };
        let awaited = match &last {
            Some((_, Rollout::Waiting(awaited))) => awaited,
            _ => "its state was not seen",
        };
        match found {
            Ok(Some(ended)) => Ok(self.about(ended)),
            Ok(None) => {
                let message = format!(
                    "{}, but it has not come to its end in time: {awaited}",
                    self.what
                );
                let ended = Ended::new(Status::Partial, Some(Reason::TimedOut), message);
                Ok(self.about(seen(ended)))
            }
            Err(mut ended) => {
                ended.message = match ended.reason {
                    Some(Reason::Shutdown) => format!(
                        "{}; {} before it came to its end: {awaited}",
                        self.what, ended.message
                    ),
                    _ => format!("{}; then {}", self.what, ended.message),
                };
                Err(self.about(seen(ended.after_write())))
            }
        }
    }

    /// `ended` with what was written and what was there before.
    pub fn about(&self, ended: Ended) -> Ended {
        ended
            .with("uid", uid(self.before))
            .with("before", state(self.before))
            .with("written", self.change.clone())
    }

    fn undone(&self, now: &Deployment) -> Ended {
        let by = writer(&now.metadata, &self.field);
        let who = by.as_deref().unwrap_or("somebody");
        self.failed(None, &format!("{who} has changed it again"))
            .with("reverted_by", by)
            .with("after", state(now))
    }

    fn failed(&self, reason: Option<Reason>, why: &str) -> Ended {
        Ended::new(Status::Failed, reason, format!("{}, but {why}", self.what))
    }
}

/// Who last wrote a field, by the pointer to it in `managedFields`; none where that is not known or was us.
fn writer(metadata: &ObjectMeta, pointer: &str) -> Option<String> {
    let entries = metadata.managed_fields.iter().flatten();
    let owners = entries.filter(|it| {
        let fields = it.fields_v1.as_ref();
        fields.is_some_and(|it| it.0.pointer(pointer).is_some())
    });
    let names = owners.filter_map(|it| it.manager.as_deref());
    names
        .filter(|&it| it != FIELD_MANAGER)
        .map(str::to_owned)
        .next()
}

fn progress(context: &Context<'_>, now: &Deployment, awaited: &str) {
    let count = |it: i32| u64::try_from(it).unwrap_or_default();
    let status = now.status.as_ref();
    let available = status
        .and_then(|it| it.available_replicas)
        .unwrap_or_default();
    context
        .record
        .progress(awaited, count(available), count(rollout::wanted(now)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_wrote_a_field() {
        let entry = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields});
        let metadata: ObjectMeta = serde_json::from_value(json!({"managedFields": [
            entry("kubectl", json!({"f:spec": {"f:paused": {}}})),
            entry(FIELD_MANAGER, json!({"f:spec": {"f:replicas": {}}})),
            entry("hpa", json!({"f:spec": {"f:replicas": {}}})),
        ]}))
        .unwrap();
        assert_eq!(
            writer(&metadata, "/f:spec/f:replicas").as_deref(),
            Some("hpa")
        );
        assert_eq!(
            writer(&metadata, "/f:spec/f:paused").as_deref(),
            Some("kubectl")
        );
        assert_eq!(writer(&metadata, "/f:spec/f:strategy"), None);
    }
}
