//! The result of an order: into the journal, from where it is reported, and to whoever watches.

use log::{error, info};
use time::OffsetDateTime;

use super::Worker;
use crate::actions::action::ActionKind;
use crate::actions::id::{EnvelopeId, PayloadHash};
use crate::actions::outcome::{Outcome, Reason, Reporter, Status};
use crate::actions::verify::{ActionOrder, Verified};
use crate::actuator::ended::Ended;
use crate::backend::protocol::Identity;
use crate::logging::ACTUATOR;
use crate::websocket::frames::Outgoing;

impl Worker {
    /// Gives the order the result that its action ended so, begun at `began` if it was begun.
    pub(super) fn finish(
        &self,
        verified: &Verified,
        order: &ActionOrder,
        mut ended: Ended,
        began: Option<OffsetDateTime>,
    ) {
        if ended.reason == Some(Reason::Shutdown) && self.fence.admits().is_none() {
            ended.reason = Some(Reason::LeadershipLost);
            ended.message.push_str("; it does not lead any more");
        }
        let outcome = ended.outcome(began, OffsetDateTime::now_utc());
        self.settle(verified, order, &outcome);
    }

    /// Writes the result down and sends it on its way. A result that cannot be written is sent all the same.
    pub(super) fn settle(&self, verified: &Verified, order: &ActionOrder, outcome: &Outcome) {
        let id = verified.id();
        let kind = order.kind.map_or("unknown", ActionKind::as_str);
        let reason = outcome.reason.map_or("", Reason::as_str);
        info!(
            target: ACTUATOR,
            "Action {id} {}{}{reason}: {}",
            outcome.status.as_str(),
            if reason.is_empty() { "" } else { ", " },
            outcome.message
        );
        self.metrics
            .actions
            .with_label_values(&[kind, outcome.status.as_str()])
            .inc();
        if outcome.status == Status::Rejected {
            self.metrics.refusals.with_label_values(&[reason]).inc();
        }
        self.store(id, verified.payload_hash(), outcome);
        self.channel.send(&Outgoing::Result {
            id: id.as_str(),
            status: outcome.status.as_str(),
            reason: outcome.reason.map(Reason::as_str),
            message: &outcome.message,
        });
        let is_dry_run = order.dry_run || self.policy.dry_run || self.live.is_dry_run();
        if !is_dry_run && let Ok(action) = &order.action {
            self.events.record(action, id, outcome);
        }
    }

    /// Gives an order its result in the journal.
    pub(super) fn store(&self, id: &EnvelopeId, hash: PayloadHash, outcome: &Outcome) {
        let Identity {
            agent_id,
            instance_id,
            ..
        } = &self.identity;
        let body = outcome.body(
            &Reporter {
                agent_id,
                instance_id,
            },
            hash,
        );
        if let Err(err) = self.inbox.journal().done(id, &body) {
            error!(target: ACTUATOR, "The result of action {id} could not be made durable: {err}");
        }
        let _ = self.results.try_send(());
    }
}
