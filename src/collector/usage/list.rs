//! One read of the Metrics API.

use super::{Measurement, json, protobuf};
use crate::kube::call::Deadlines;
use crate::kube::list::{Items, Options, list_items};
use crate::kube::protobuf::Malformed;
use crate::kube::reflector::OFTEN;
use crate::kube::{Client, Error, Resource};

/// A failure half-way leaves the rest without usage for one cycle; better than a cycle that takes minutes. The Metrics
/// API knows no pages: metrics-server answers all at once, whatever limit is asked for.
const OPTIONS: Options = Options {
    tries: 1,
    page: None,
    deadlines: Deadlines::USAGE,
};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Pods, container by container.
    Pods,
    /// Nodes.
    Nodes,
}

impl Measured {
    /// The resource that tells of it.
    pub fn resource(self) -> Resource {
        match self {
            Self::Pods => Resource::POD_METRICS,
            Self::Nodes => Resource::NODE_METRICS,
        }
    }

    /// Reads PodMetrics or NodeMetrics in protobuf.
    pub fn from_protobuf(self, message: &[u8]) -> Result<Measurement<'_>, Malformed> {
        match self {
            Self::Pods => protobuf::pod(message),
            Self::Nodes => protobuf::node(message),
        }
    }
}

/// Hands each measurement to `each` as it comes off the wire, and calls `progress` before each wait and every
/// [`OFTEN`] measurements.
pub fn list(
    client: &Client,
    what: Measured,
    progress: impl Fn(),
    each: impl FnMut(&Measurement<'_>),
) -> Result<(), Error> {
    let reader = Reader {
        what,
        each,
        progress,
        count: 0,
    };
    list_items(client, what.resource(), OPTIONS, reader).map(drop)
}

struct Reader<F, P> {
    what: Measured,
    each: F,
    progress: P,
    count: u64,
}

impl<F, P: Fn()> Reader<F, P> {
    fn arrived(&mut self) {
        self.count += 1;
        if self.count.is_multiple_of(OFTEN) {
            (self.progress)();
        }
    }
}

impl<F: FnMut(&Measurement<'_>), P: Fn()> Items for Reader<F, P> {
    const PROTOBUF: bool = true;

    fn json(&mut self, window: &[u8]) -> serde_json::Result<usize> {
        let taken = json(window, &mut self.each)?;
        self.arrived();
        Ok(taken)
    }

    fn protobuf(&mut self, message: &[u8]) -> Result<(), Malformed> {
        (self.each)(&self.what.from_protobuf(message)?);
        self.arrived();
        Ok(())
    }

    fn waiting(&mut self) {
        (self.progress)();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_long_list_shows_its_progress_also_where_nothing_of_it_is_known() {
        let progress = Cell::new(0_u64);
        let mut reader = Reader {
            what: Measured::Pods,
            each: |_: &Measurement<'_>| (),
            progress: || progress.set(progress.get() + 1),
            count: 0,
        };
        reader.waiting();
        assert_eq!(progress.get(), 1, "before the wait");
        for _ in 0..3 * OFTEN {
            reader
                .json(br#"{"metadata":{"name":"p","namespace":"a"},"containers":[]},"#)
                .unwrap();
        }
        assert_eq!(progress.get(), 4);
    }
}
