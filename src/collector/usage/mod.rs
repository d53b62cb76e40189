//! What the Metrics API says: PodMetrics and NodeMetrics of metrics.k8s.io/v1beta1.
//!
//! They come in protobuf where the server has it, as metrics-server does, or as JSON: read by hand where it is as
//! servers write it ([`scanned`]), by serde_json where it is not ([`object`]).

mod duration;
mod list;
mod object;
mod protobuf;
mod scanned;

use crate::cluster::amounts::Amounts;
use crate::cluster::text::Text;
use crate::kube::stream::parse;
use crate::timestamp::Stamp;

pub use list::{Measured, list};

/// A pod or node as the Metrics API knows it.
#[derive(Debug, PartialEq)]
pub struct Measurement<'a> {
    /// The pod's namespace; empty for a node.
    pub namespace: Text<'a>,
    /// Its name.
    pub name: Text<'a>,
    /// What it used; `None` while it was never measured.
    pub usage: Option<Usage<'a>>,
}

/// Usage in numbers.
#[derive(Debug, PartialEq)]
pub struct Usage<'a> {
    /// When it was measured.
    pub timestamp: Stamp,
    /// Over how many nanoseconds.
    pub window: Option<i64>,
    /// A pod's containers.
    pub containers: Vec<ContainerUsage<'a>>,
    /// A node's nanocores.
    pub cpu: Option<i64>,
    /// A node's bytes.
    pub memory: Option<i64>,
}

/// Usage of one container.
#[derive(Debug, PartialEq)]
pub struct ContainerUsage<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Nanocores.
    pub cpu: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
}

impl<'a> Usage<'a> {
    /// Of what JSON says; `None` where the time is none.
    fn of(
        timestamp: &str,
        window: Option<&str>,
        containers: Vec<ContainerUsage<'a>>,
        node: Amounts,
    ) -> Option<Self> {
        Some(Self {
            timestamp: Stamp::parse(timestamp)?,
            window: window.and_then(duration::nanos),
            containers,
            cpu: node.cpu,
            memory: node.memory,
        })
    }

    /// Whether it was measured after that second since 1970. Within the second in which a pod is made nothing of it is
    /// measured yet.
    pub fn is_since(&self, made: Option<i64>) -> bool {
        made.and_then(Stamp::from_unix)
            .is_none_or(|it| self.timestamp > it)
    }
}

impl<'a> ContainerUsage<'a> {
    fn of(name: Text<'a>, used: Amounts) -> Self {
        Self {
            name,
            cpu: used.cpu,
            memory: used.memory,
        }
    }
}

/// Hands the JSON object at the start of `window` to `each`; returns how many bytes it takes.
pub fn json(window: &[u8], each: impl FnOnce(&Measurement<'_>)) -> serde_json::Result<usize> {
    if let Some((measurement, taken)) = scanned::object(window) {
        each(&measurement);
        return Ok(taken);
    }
    parse(window, |source| {
        each(&object::read(source)?);
        Ok(())
    })
}
