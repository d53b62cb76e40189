//! Usage in protobuf: k8s.io/metrics/pkg/apis/metrics/v1beta1, generated.proto.

use super::{ContainerUsage, Measurement, Usage};
use crate::cluster::amounts::Amounts;
use crate::cluster::text::Text;
use crate::kube::protobuf::{Malformed, fields};
use crate::timestamp::Stamp;

/// Fields of both kinds.
const METADATA: u32 = 1;
const TIMESTAMP: u32 = 2;
const WINDOW: u32 = 3;
/// The containers of PodMetrics, the usage of NodeMetrics.
const MEASURED: u32 = 4;

/// Reads PodMetrics.
pub(super) fn pod(message: &[u8]) -> Result<Measurement<'_>, Malformed> {
    // Two thirds of all pods have one or two.
    let mut containers = Vec::with_capacity(2);
    let (mut pod, measured) = head(message, |it| {
        containers.push(container(it)?);
        Ok(())
    })?;
    pod.usage = measured.map(|(timestamp, window)| Usage {
        timestamp,
        window,
        containers,
        cpu: None,
        memory: None,
    });
    Ok(pod)
}

/// Reads NodeMetrics.
pub(super) fn node(message: &[u8]) -> Result<Measurement<'_>, Malformed> {
    let mut used = Amounts::default();
    let (mut node, measured) = head(message, |it| used.take(it))?;
    node.usage = measured.map(|(timestamp, window)| Usage {
        timestamp,
        window,
        containers: Vec::new(),
        cpu: used.nanocores(),
        memory: used.bytes(),
    });
    Ok(node)
}

/// When it was measured, and over how many nanoseconds.
type Measured = (Stamp, Option<i64>);

/// What both kinds begin with; `each` gets what was measured.
fn head<'a>(
    message: &'a [u8],
    mut each: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(Measurement<'a>, Option<Measured>), Malformed> {
    let mut object = Measurement {
        namespace: Text::default(),
        name: Text::default(),
        usage: None,
    };
    let (mut at, mut window) = (None, None);
    fields(message, |number, value| {
        match number {
            METADATA => metadata(&mut object, value.message()?)?,
            TIMESTAMP => at = time(value.message()?)?,
            WINDOW => window = duration(value.message()?)?,
            MEASURED => each(value.message()?)?,
            _ => (),
        }
        Ok(())
    })?;
    Ok((object, at.map(|it| (it, window))))
}

/// meta/v1 ObjectMeta.
fn metadata<'a>(object: &mut Measurement<'a>, message: &'a [u8]) -> Result<(), Malformed> {
    const NAME: u32 = 1;
    const NAMESPACE: u32 = 3;
    fields(message, |number, value| {
        match number {
            NAME => object.name = Text::from_protobuf(value)?,
            NAMESPACE => object.namespace = Text::from_protobuf(value)?,
            _ => (),
        }
        Ok(())
    })
}

/// meta/v1 Time; one that was never set is empty.
fn time(message: &[u8]) -> Result<Option<Stamp>, Malformed> {
    const SECONDS: u32 = 1;
    let mut seconds = None;
    fields(message, |number, value| {
        if number == SECONDS {
            seconds = Some(value.number()?.cast_signed());
        }
        Ok(())
    })?;
    Ok(seconds.and_then(Stamp::from_unix))
}

/// meta/v1 Duration.
fn duration(message: &[u8]) -> Result<Option<i64>, Malformed> {
    const NANOSECONDS: u32 = 1;
    let mut nanoseconds = None;
    fields(message, |number, value| {
        if number == NANOSECONDS {
            nanoseconds = Some(value.number()?.cast_signed());
        }
        Ok(())
    })?;
    Ok(nanoseconds.filter(|it| *it >= 0))
}

/// ContainerMetrics.
fn container(message: &[u8]) -> Result<ContainerUsage<'_>, Malformed> {
    const NAME: u32 = 1;
    const USAGE: u32 = 2;
    let (mut name, mut used) = (Text::default(), Amounts::default());
    fields(message, |number, value| {
        match number {
            NAME => name = Text::from_protobuf(value)?,
            USAGE => used.take(value.message()?)?,
            _ => (),
        }
        Ok(())
    })?;
    Ok(ContainerUsage::of(name, &used))
}
