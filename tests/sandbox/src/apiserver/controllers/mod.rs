//! What makes a cluster of objects: the scheduler, the kubelets and the controllers, in one thread.
//!
//! Whenever something changes, every controller looks at everything once and does its next step; this goes on until
//! nobody has a step to do. That is simple and quick up to some thousand pods, and not made for more.

mod budgets;
mod deployments;
mod garbage;
mod kubelet;
mod nodes;
mod replicas;
mod rollout;
mod scheduler;
mod world;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Api;
use world::{Memory, World};

/// Passes in a row without a pause: enough for anything to settle that ever does.
const MAX_PASSES: usize = 50;

/// Which controllers run, and how quickly pods come and go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each controller has a switch of its own"
)]
pub struct ControllerOptions {
    /// Pods get nodes.
    pub scheduler: bool,
    /// Pods start, and end, on nodes that are ready.
    pub kubelet: bool,
    /// Deployments, replica sets, stateful sets and daemon sets have their pods.
    pub workloads: bool,
    /// Disruption budgets are counted.
    pub budgets: bool,
    /// Cordoned nodes get their taint.
    pub nodes: bool,
    /// What lost its owner, or its namespace, goes.
    pub garbage: bool,
    /// How long a pod takes to be ready, in milliseconds.
    pub ready_after_ms: u64,
    /// How long a pod takes to end, in milliseconds, if its grace is not shorter.
    pub terminate_after_ms: u64,
}

impl Default for ControllerOptions {
    fn default() -> ControllerOptions {
        ControllerOptions {
            scheduler: true,
            kubelet: true,
            workloads: true,
            budgets: true,
            nodes: true,
            garbage: true,
            ready_after_ms: 50,
            terminate_after_ms: 50,
        }
    }
}

/// The running controllers. Dropping this stops them.
pub(super) struct Controllers {
    stopping: Arc<AtomicBool>,
    api: Arc<Api>,
    thread: Option<JoinHandle<()>>,
}

impl Controllers {
    /// Starts them.
    pub(super) fn start(api: &Arc<Api>, options: ControllerOptions) -> io::Result<Controllers> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(api), Arc::clone(&stopping));
        let thread = thread::Builder::new()
            .name("controllers".to_owned())
            .spawn(move || run(&shared, &options, &stopped))?;
        Ok(Controllers {
            stopping,
            api: Arc::clone(api),
            thread: Some(thread),
        })
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.api.store.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(api: &Api, options: &ControllerOptions, stopping: &AtomicBool) {
    let mut memory = Memory::default();
    while !stopping.load(Ordering::SeqCst) {
        let seen = settle(api, options, &mut memory);
        // Woken by the next change, the next pod that is due, or to look whether to stop.
        let due = memory.due.map_or(Duration::from_millis(100), |due| {
            due.saturating_duration_since(Instant::now())
        });
        api.store.wait_any(
            seen,
            due.clamp(Duration::from_millis(1), Duration::from_millis(100)),
        );
    }
}

/// Lets all controllers do their steps until there are none. Returns the version they have seen.
fn settle(api: &Api, options: &ControllerOptions, memory: &mut Memory) -> u64 {
    let mut seen = 0;
    for _ in 0..MAX_PASSES {
        let (before, after) = api.store.write(|state| {
            let before = state.revision;
            memory.due = None;
            let mut world = World::new(state, memory, options, &api.options);
            if options.garbage {
                garbage::collect(&mut world);
            }
            if options.workloads {
                deployments::reconcile(&mut world);
                replicas::reconcile(&mut world);
            }
            if options.scheduler {
                scheduler::schedule(&mut world);
            }
            if options.kubelet {
                kubelet::run(&mut world);
            }
            if options.nodes {
                nodes::taint(&mut world);
            }
            if options.workloads {
                replicas::count(&mut world);
                deployments::count(&mut world);
            }
            if options.budgets {
                budgets::count(&mut world);
            }
            (before, state.revision)
        });
        seen = after;
        if before == after {
            break;
        }
    }
    seen
}
