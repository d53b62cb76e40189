//! What a drain sees on its way: pods that come to the node, and changes of the node itself.

use std::time::Instant;

use serde_json::json;

use super::Drain;
use super::plan::{Group, Lot, Rules, refusal_details};
use crate::actuator::execute::mover::Other;
use crate::actuator::execute::moves::Moves;
use crate::actuator::execute::moves::one::Fate;
use crate::actuator::execute::ownership::is_unschedulable;
use crate::actuator::execute::pods::Pod;

impl Drain<'_, '_> {
    /// What is seen on the way: a pod that came to the node, or a change of the node itself.
    pub(super) fn other(&mut self, moves: &mut Moves, other: Other) -> Option<String> {
        match other {
            Other::Pod(pod) => {
                self.newcomer(*pod, moves);
                None
            }
            Other::Node(None) => Some("the node was deleted meanwhile".to_owned()),
            Other::Node(Some(node)) if node.metadata.uid != self.node.metadata.uid => {
                Some("the node was replaced meanwhile".to_owned())
            }
            Other::Node(Some(node)) if !is_unschedulable(&node) => {
                Some("somebody uncordoned the node meanwhile".to_owned())
            }
            Other::Node(Some(_)) => None,
        }
    }

    /// A pod that was on its way to the node when it was cordoned is evicted too, also where the scheduler put it in
    /// the place of an evicted one before it heard of the cordon. One that its controller puts there whatever the
    /// scheduler says is not: it would come again and again.
    fn newcomer(&mut self, pod: Pod, moves: &mut Moves) {
        if self.kept.iter().any(|it| it["uid"] == *pod.uid) {
            return;
        }
        let lot = self.daemons.lot(&pod, Rules::from(self.it));
        let controller = pod.controller.clone();
        let back = controller.filter(|it| moves.has_moved_one_of(it));
        match lot {
            Ok(Lot::Skip(why)) => self.keep(&pod, why),
            Ok(Lot::Evict | Lot::Wait) => {
                let group = Group::of(&pod, self.daemons.is_own(&pod));
                let now = Instant::now();
                match back {
                    None => moves.add(pod, group, now),
                    Some(it) if moves.may_move_again(&it) => moves.add_again(pod, group, now),
                    Some(_) => moves.add_settled(pod, Fate::Returned),
                }
            }
            Ok(Lot::Refuse(refusals)) => {
                let details = refusal_details(&refusals);
                moves.add_settled(pod, Fate::Refused(details));
            }
            Err(ended) => {
                let details = json!({"outcome": "failed", "message": ended.message});
                moves.add_settled(pod, Fate::Refused(details));
            }
        }
    }
}
