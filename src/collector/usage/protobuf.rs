//! Usage in protobuf: k8s.io/metrics/pkg/apis/metrics/v1beta1, generated.proto.

use super::{ContainerUsage, Measurement, Usage};
use crate::cluster::amounts::Amounts;
use crate::cluster::text::Text;
use crate::kube::protobuf::{Malformed, fields, span};
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
        cpu: used.cpu,
        memory: used.memory,
    });
    Ok(node)
}

/// When it was measured, and over how many nanoseconds.
type Span = (Stamp, Option<i64>);

/// What both kinds begin with; `each` gets what was measured.
fn head<'a>(
    message: &'a [u8],
    mut each: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(Measurement<'a>, Option<Span>), Malformed> {
    let mut object = Measurement {
        namespace: Text::default(),
        name: Text::default(),
        usage: None,
    };
    let (mut at, mut window) = (None, None);
    fields(message, |field, value| {
        match field {
            METADATA => metadata(&mut object, value.message()?)?,
            TIMESTAMP => at = span(value.message()?)?.and_then(Stamp::from_unix),
            WINDOW => window = span(value.message()?)?.filter(|it| *it >= 0),
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
    Ok(ContainerUsage::of(name, used))
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::kube::protobuf::written::field;

    /// A pod of k8s.io/metrics as the library of metrics-server writes it, word for word.
    const POD: &[u8] =
        b"\n\xb9\x02\n(accounts-controller-47s-kvm684vqk5-kf5wq\x12\0\x1a\x0daccounts-jobs\"\0*\x002\x008\0B\
            \x08\x08\x90\xc8\x93\xd8\x06\x10\0Z5\n\x1aapp.kubernetes.io/instance\x12\x17accounts-controller-\
            47sZ-\n\x16app.kubernetes.io/name\x12\x13accounts-controllerZ$\n\x19app.kubernetes.io/version\
            \x12\x073.23.15Z+\n\x0dhelm.sh/chart\x12\x1aaccounts-controller-8.9.15Z\x1f\n\x11pod-template-ha\
            sh\x12\nkvm684vqk5Z\x0e\n\x04team\x12\x06tundraz\0\x12\x08\x08\x8d\x93\x90\xd8\x06\x10\0\x1a\x06\
            \x08\x80\xd8\x8e\xe1o\"@\n\x13accounts-controller\x12\x13\n\x03cpu\x12\x0c\n\n232356740n\x12\x14\
            \n\x06memory\x12\n\n\x08747632Ki\"2\n\x05envoy\x12\x13\n\x03cpu\x12\x0c\n\n435305760n\x12\x14\n\
            \x06memory\x12\n\n\x08817208Ki";
    /// The same in JSON.
    const POD_JSON: &str = r#"{"metadata":{"name":"accounts-controller-47s-kvm684vqk5-kf5wq","namespace":"accounts-jobs","creationTimestamp":"2026-11-24T01:10:40Z","labels":{"app.kubernetes.io/instance":"accounts-controller-47s","app.kubernetes.io/name":"accounts-controller","app.kubernetes.io/version":"3.23.15","helm.sh/chart":"accounts-controller-8.9.15","pod-template-hash":"kvm684vqk5","team":"tundra"}},"timestamp":"2026-11-23T09:38:21Z","window":"30s","containers":[{"name":"accounts-controller","usage":{"cpu":"232356740n","memory":"747632Ki"}},{"name":"envoy","usage":{"cpu":"435305760n","memory":"817208Ki"}}]}"#;

    #[test]
    fn both_forms_say_the_same() {
        let mut same = false;
        json(POD_JSON.as_bytes(), |it| same = *it == pod(POD).unwrap()).unwrap();
        assert!(same, "{:?}", pod(POD));
    }

    #[test]
    fn what_breaks_off_is_no_measurement() {
        let whole = pod(POD).unwrap();
        for end in 0..POD.len() {
            // Between two fields it is a shorter message.
            let cut = pod(&POD[..end]);
            assert!(cut.is_err() || cut.is_ok_and(|it| it != whole), "{end}");
        }
    }

    #[test]
    fn a_nodes_usage_stands_in_the_node() {
        let amount = |name: &[u8], text: &[u8]| {
            field(4, &[field(1, name), field(2, &field(1, text))].concat())
        };
        let message = [
            field(1, &field(1, b"n")),
            field(2, b"\x08\x8d\x93\x90\xd8\x06\x10\0"),
            field(3, b"\x08\x01"),
            amount(b"cpu", b"250m"),
            amount(b"memory", b"1Ki"),
        ]
        .concat();
        let read = node(&message).unwrap();
        assert_eq!((&*read.namespace, &*read.name), ("", "n"));
        let usage = read.usage.unwrap();
        assert_eq!(usage.timestamp.as_str(), "2026-11-23T09:38:21.000Z");
        assert_eq!(
            (usage.window, usage.cpu, usage.memory),
            (Some(1), Some(250_000_000), Some(1024))
        );
    }

    #[test]
    fn an_object_never_measured_has_no_usage() {
        let unset = [
            field(1, &field(1, b"p")),
            field(2, b""),
            field(3, b"\x08\0"),
        ]
        .concat();
        for read in [pod(&unset).unwrap(), node(&unset).unwrap()] {
            assert_eq!((&*read.name, read.usage), ("p", None));
        }
        // A time beyond all calendars is none either.
        let never = field(2, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
        assert_eq!(pod(&never).unwrap().usage, None);
    }
}
