//! What the journal knows. It changes by records alone, the same ones at work and when a file is read.

use std::borrow::Cow;
use std::collections::HashMap;

use super::record::{FORMAT, Record};
use crate::actions::envelope::RawEnvelope;
use crate::actions::id::EnvelopeId;
use crate::actions::known::Known;
use crate::actions::outcome::ResultBody;

/// As many parked results are kept; the oldest goes first.
pub(super) const MAX_PARKED: usize = 100;
/// As many bytes of them are kept.
pub(super) const MAX_PARKED_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct State {
    pub(super) instance_id: String,
    pub(super) config: Option<Config>,
    /// Every id that was taken, as long as it could come again.
    pub(super) known: Known,
    /// The orders with which something is left to do; each of them is known too.
    pub(super) orders: HashMap<EnvelopeId, Order>,
    next_number: u64,
}

#[derive(Debug)]
pub(super) struct Config {
    pub(super) version: u64,
    pub(super) settings: Box<str>,
}

#[derive(Debug)]
pub(super) struct Order {
    /// Grows with each order taken.
    pub(super) number: u64,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    Received(Box<Taken>),
    Claimed(Box<Taken>),
    Started {
        taken: Box<Taken>,
        at: i64,
        steps: Vec<Box<str>>,
    },
    Done(ResultBody),
    Parked(ResultBody),
}

/// What is kept of an order until its result takes its place.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) envelope: RawEnvelope,
    pub(super) expires_at: i64,
}

/// A record that makes no sense in the present state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder;

impl State {
    pub(super) fn new(instance_id: String) -> Self {
        Self {
            instance_id,
            config: None,
            known: Known::default(),
            orders: HashMap::new(),
            next_number: 0,
        }
    }

    /// Changes what one record says. An error changes nothing.
    pub(super) fn apply(&mut self, record: Record<'_>) -> Result<(), OutOfOrder> {
        match record {
            Record::Journal { .. } | Record::Sealed {} => return Err(OutOfOrder),
            Record::Config { version, settings } => {
                let settings = settings.into_owned().into();
                self.config = Some(Config { version, settings });
            }
            Record::Known {
                id,
                sha256,
                expires_at,
            } => {
                self.known.restore(id.into_owned(), sha256, expires_at);
            }
            Record::Received {
                envelope,
                expires_at,
            } => {
                let id = envelope.id().clone();
                if self.orders.contains_key(&id) {
                    return Err(OutOfOrder);
                }
                let envelope = envelope.into_owned();
                self.known
                    .restore(id.clone(), envelope.payload_hash(), expires_at);
                self.add(
                    id,
                    Stage::Received(Box::new(Taken {
                        envelope,
                        expires_at,
                    })),
                );
            }
            Record::Claimed { id } => self.advance(&id, |stage| match stage {
                Stage::Received(taken) | Stage::Claimed(taken) => Ok(Stage::Claimed(taken)),
                other => Err(other),
            })?,
            Record::Started { id, at } => self.advance(&id, |stage| match stage {
                Stage::Claimed(taken) => Ok(Stage::Started {
                    taken,
                    at,
                    steps: Vec::new(),
                }),
                other => Err(other),
            })?,
            Record::Step { id, step } => self.advance(&id, |stage| match stage {
                Stage::Started {
                    taken,
                    at,
                    mut steps,
                } => {
                    steps.push(step.into_owned().into());
                    Ok(Stage::Started { taken, at, steps })
                }
                other => Err(other),
            })?,
            Record::Done { id, body } => self.advance(&id, |stage| match stage {
                Stage::Claimed(_) | Stage::Started { .. } => Ok(Stage::Done(body.into_owned())),
                other => Err(other),
            })?,
            Record::Parked { id } => {
                self.advance(&id, |stage| match stage {
                    Stage::Done(body) => Ok(Stage::Parked(body)),
                    other => Err(other),
                })?;
                self.drop_oldest_parked();
            }
            Record::Closed { id } => {
                // What was begun has a result to be sent, always.
                if matches!(self.stage(&id), None | Some(Stage::Started { .. })) {
                    return Err(OutOfOrder);
                }
                self.orders.remove(&*id);
            }
            Record::Kept {
                id,
                body,
                is_parked,
            } => {
                if self.orders.contains_key(&*id) {
                    return Err(OutOfOrder);
                }
                let stage = if is_parked {
                    Stage::Parked
                } else {
                    Stage::Done
                };
                self.add(id.into_owned(), stage(body.into_owned()));
            }
        }
        Ok(())
    }

    pub(super) fn stage(&self, id: &EnvelopeId) -> Option<&Stage> {
        self.orders.get(id).map(|order| &order.stage)
    }

    /// The orders, oldest first.
    pub(super) fn in_order(&self) -> Vec<(&EnvelopeId, &Stage)> {
        let mut orders: Vec<_> = self.orders.iter().collect();
        orders.sort_by_key(|(_, order)| order.number);
        orders
            .into_iter()
            .map(|(id, order)| (id, &order.stage))
            .collect()
    }

    /// All of it as records, for a new file: applied to nothing they make the same state.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let instance_id = Cow::Borrowed(self.instance_id.as_str());
        let first = Record::Journal {
            format: FORMAT,
            instance_id,
        };
        let config = self
            .config
            .as_ref()
            .map(|Config { version, settings }| Record::Config {
                version: *version,
                settings: Cow::Borrowed(settings),
            });
        let known = self
            .known
            .iter()
            .map(|(id, sha256, expires_at)| Record::Known {
                id: Cow::Borrowed(id),
                sha256,
                expires_at,
            });
        let orders = self
            .in_order()
            .into_iter()
            .flat_map(|(id, stage)| records_of(id, stage));
        [first].into_iter().chain(config).chain(known).chain(orders)
    }

    fn add(&mut self, id: EnvelopeId, stage: Stage) {
        let number = self.next_number;
        self.next_number += 1;
        self.orders.insert(id, Order { number, stage });
    }

    /// Replaces the stage of an order; `next` gives the old one back if it does not lead there.
    fn advance(
        &mut self,
        id: &EnvelopeId,
        next: impl FnOnce(Stage) -> Result<Stage, Stage>,
    ) -> Result<(), OutOfOrder> {
        let (id, Order { number, stage }) = self.orders.remove_entry(id).ok_or(OutOfOrder)?;
        let (stage, result) = match next(stage) {
            Ok(stage) => (stage, Ok(())),
            Err(stage) => (stage, Err(OutOfOrder)),
        };
        self.orders.insert(id, Order { number, stage });
        result
    }

    fn drop_oldest_parked(&mut self) {
        let parked = self
            .in_order()
            .into_iter()
            .filter_map(|(id, stage)| match stage {
                Stage::Parked(body) => Some((id.clone(), body.as_str().len())),
                _ => None,
            });
        let parked: Vec<_> = parked.collect();
        let mut count = parked.len();
        let mut bytes: usize = parked.iter().map(|(_, bytes)| bytes).sum();
        for (id, size) in parked {
            if count <= MAX_PARKED && bytes <= MAX_PARKED_BYTES {
                break;
            }
            self.orders.remove(&id);
            count -= 1;
            bytes -= size;
        }
    }
}

fn records_of<'a>(id: &'a EnvelopeId, stage: &'a Stage) -> Vec<Record<'a>> {
    let received = |taken: &'a Taken| Record::Received {
        envelope: Cow::Borrowed(&taken.envelope),
        expires_at: taken.expires_at,
    };
    let claimed = || Record::Claimed {
        id: Cow::Borrowed(id),
    };
    let kept = |body, is_parked| {
        let body = Cow::Borrowed(body);
        vec![Record::Kept {
            id: Cow::Borrowed(id),
            body,
            is_parked,
        }]
    };
    match stage {
        Stage::Received(taken) => vec![received(taken)],
        Stage::Claimed(taken) => vec![received(taken), claimed()],
        Stage::Started { taken, at, steps } => {
            let started = Record::Started {
                id: Cow::Borrowed(id),
                at: *at,
            };
            let steps = steps.iter().map(|step| Record::Step {
                id: Cow::Borrowed(id),
                step: Cow::Borrowed(step),
            });
            [received(taken), claimed(), started]
                .into_iter()
                .chain(steps)
                .collect()
        }
        Stage::Done(body) => kept(body, false),
        Stage::Parked(body) => kept(body, true),
    }
}

#[cfg(test)]
mod tests;
