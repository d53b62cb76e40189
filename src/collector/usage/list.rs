//! One read of the Metrics API.

use super::{Measurement, json, protobuf};
use crate::kube::list::{Items, Options, list_items};
use crate::kube::protobuf::Malformed;
use crate::kube::{Client, Error, Resource};

/// A failure half-way leaves the rest without usage for one cycle; better than a cycle that takes minutes. The Metrics
/// API knows no pages: metrics-server answers all at once, whatever limit is asked for.
const OPTIONS: Options = Options {
    tries: 1,
    page: None,
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

/// Hands each measurement to `each` as it comes off the wire.
pub fn list(
    client: &Client,
    what: Measured,
    each: impl FnMut(&Measurement<'_>),
) -> Result<(), Error> {
    list_items(client, what.resource(), OPTIONS, Reader { what, each }).map(drop)
}

struct Reader<F> {
    what: Measured,
    each: F,
}

impl<F: FnMut(&Measurement<'_>)> Items for Reader<F> {
    const PROTOBUF: bool = true;

    fn json(&mut self, window: &[u8]) -> serde_json::Result<usize> {
        json(window, &mut self.each)
    }

    fn protobuf(&mut self, message: &[u8]) -> Result<(), Malformed> {
        (self.each)(&self.what.from_protobuf(message)?);
        Ok(())
    }
}
