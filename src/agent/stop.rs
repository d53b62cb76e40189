//! In which order everything ends: what gathers, what acts, what delivers, and the leadership last, so that nobody
//! else begins before this replica is done.

use std::time::{Duration, Instant};

use log::{error, info, warn};

use super::failure::Failure;
use super::shared::Shared;
use super::standing::{Standing, Started};
use super::term::{self, Term};
use crate::logging::MAIN;

/// How long the components that gather may take to end before the agent goes on without them.
const GATHERING: Duration = Duration::from_millis(1500);
/// How long actions under way may take to come to a safe point.
const ACTING: Duration = Duration::from_secs(5);
/// How long they may take to end once their connections were broken.
const ABANDONED: Duration = Duration::from_millis(500);
/// How long what is gathered may take to be delivered.
const DELIVERY: Duration = Duration::from_millis(2200);
/// How long threads may take to notice that their connections were broken.
const STRAGGLERS: Duration = Duration::from_millis(300);
/// How long the Lease may take to be given back, from the moment that it is asked for.
const RELEASE: Duration = Duration::from_millis(1200);

/// Ends a term that is over while the process goes on. A thread that does not end would act beside those of the next
/// term, so that the process must.
pub(super) fn end(shared: &Shared, mut term: Term) -> Result<(), Failure> {
    rest(&mut term);
    term.talk.stop();
    shared.channel.wake();
    term.talk.join(DELIVERY);
    let late = break_off(&mut term, DELIVERY);
    term::announce(shared);
    if late.is_empty() {
        info!(target: MAIN, "Nothing acts here any more");
        Ok(())
    } else {
        Err(Failure::Stuck(late))
    }
}

/// Ends all groups in their order, delivers what it can, gives the Lease back, and deregisters.
pub(super) fn stop(shared: &Shared, standing: Started, mut term: Option<Term>) {
    let Started {
        groups:
            Standing {
                mut watch,
                mut deliver,
                mut elect,
                probes,
            },
        kube,
        registration,
        elector,
    } = standing;
    watch.stop();
    probes.wake();
    kube.close();
    if let Some(term) = &mut term {
        rest(term);
    }
    watch.join(GATHERING);
    deliver.stop();
    if let Some(term) = &mut term {
        term.talk.stop();
        shared.channel.wake();
    }
    deliver.join(DELIVERY);
    if let Some(term) = &mut term {
        term.talk.join(STRAGGLERS);
    }
    shared.backend.interrupt();
    let mut late = term.map_or(Vec::new(), |mut it| break_off(&mut it, STRAGGLERS));
    late.extend(watch.join(STRAGGLERS));
    late.extend(deliver.join(STRAGGLERS));
    if let Err(err) = shared.ledger.save() {
        error!(target: MAIN, "Failed to remember the delivered events: {err}");
    }
    // Both at once: each is one request, and nothing is left that either could disturb.
    elect.stop();
    let asked = Instant::now();
    if let Some(elector) = &elector {
        elector.wake();
    }
    registration.deregister();
    late.extend(elect.join(RELEASE.saturating_sub(asked.elapsed())));
    if !late.is_empty() {
        warn!(target: MAIN, "Stopping without waiting for {}", late.join(", "));
    }
    info!(target: MAIN, "Agent stopped");
}

/// Takes in nothing more, and waits until what is under way has come to a safe point.
fn rest(term: &mut Term) {
    term.gather.stop();
    term.act.stop();
    term.kube.close();
    term.gather.join(GATHERING);
    term.act.join(ACTING);
    // A write that still waits for its answer is given up, so that its action gets a result while it can be sent.
    term.acting_kube.close();
    term.act.join(ABANDONED);
}

/// Breaks what a term still waits for, and names the threads that go on all the same.
fn break_off(term: &mut Term, patience: Duration) -> Vec<&'static str> {
    term.backend.interrupt();
    let groups = [&mut term.gather, &mut term.act, &mut term.talk];
    groups
        .into_iter()
        .flat_map(|it| it.join(patience))
        .collect()
}
