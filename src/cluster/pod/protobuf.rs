//! A pod read from protobuf: the same members as [`PodObject`] reads from JSON, by their numbers in
//! k8s.io/api/core/v1/generated.proto.
//!
//! Where JSON leaves out what is unset, protobuf has an empty string.

use super::object::{
    Condition, Container, ContainerStatus, LastState, PodObject, Resources, Spec, Status,
    Terminated,
};
use crate::cluster::meta::Meta;
use crate::cluster::text::Text;
use crate::kube::protobuf::{Malformed, fields};

impl<'a> PodObject<'a> {
    /// Reads core/v1 Pod.
    pub fn from_protobuf(message: &'a [u8]) -> Result<Self, Malformed> {
        const METADATA: u32 = 1;
        const SPEC: u32 = 2;
        const STATUS: u32 = 3;
        let mut pod = Self::default();
        fields(message, |number, value| {
            match number {
                METADATA => pod.metadata = Meta::from_protobuf(value.message()?)?,
                SPEC => pod.spec = spec(value.message()?)?,
                STATUS => pod.status = status(value.message()?)?,
                _ => (),
            }
            Ok(())
        })?;
        if pod.metadata.name.is_empty() {
            return Err(Malformed("a pod without a name"));
        }
        Ok(pod)
    }
}

/// core/v1 PodSpec.
fn spec(message: &[u8]) -> Result<Spec<'_>, Malformed> {
    const CONTAINERS: u32 = 2;
    const NODE_NAME: u32 = 10;
    const INIT_CONTAINERS: u32 = 20;
    const OVERHEAD: u32 = 32;
    const RESOURCES: u32 = 40;
    let mut spec = Spec::default();
    fields(message, |number, value| {
        match number {
            CONTAINERS => spec.containers.push(container(value.message()?)?),
            NODE_NAME => spec.node_name = Text::set_in_protobuf(value)?,
            INIT_CONTAINERS => spec.init_containers.push(container(value.message()?)?),
            OVERHEAD => spec.overhead.take(value.message()?)?,
            RESOURCES => spec.resources = resources(value.message()?)?,
            _ => (),
        }
        Ok(())
    })?;
    Ok(spec)
}

/// core/v1 Container.
fn container(message: &[u8]) -> Result<Container<'_>, Malformed> {
    const NAME: u32 = 1;
    const RESOURCES: u32 = 8;
    const RESTART_POLICY: u32 = 24;
    let mut container = Container::default();
    fields(message, |number, value| {
        match number {
            NAME => container.name = Text::from_protobuf(value)?,
            RESOURCES => container.resources = resources(value.message()?)?,
            RESTART_POLICY => container.restart_policy = Text::set_in_protobuf(value)?,
            _ => (),
        }
        Ok(())
    })?;
    Ok(container)
}

/// core/v1 ResourceRequirements.
fn resources(message: &[u8]) -> Result<Resources, Malformed> {
    const LIMITS: u32 = 1;
    const REQUESTS: u32 = 2;
    let mut resources = Resources::default();
    fields(message, |number, value| {
        match number {
            LIMITS => resources.limits.take(value.message()?)?,
            REQUESTS => resources.requests.take(value.message()?)?,
            _ => (),
        }
        Ok(())
    })?;
    Ok(resources)
}

/// core/v1 PodStatus.
fn status(message: &[u8]) -> Result<Status<'_>, Malformed> {
    const PHASE: u32 = 1;
    const CONDITIONS: u32 = 2;
    const CONTAINER_STATUSES: u32 = 8;
    const QOS_CLASS: u32 = 9;
    const INIT_CONTAINER_STATUSES: u32 = 10;
    let mut status = Status::default();
    fields(message, |number, value| {
        match number {
            PHASE => status.phase = Text::set_in_protobuf(value)?,
            CONDITIONS => status.conditions.push(condition(value.message()?)?),
            CONTAINER_STATUSES => {
                let it = container_status(value.message()?)?;
                status.container_statuses.push(it);
            }
            QOS_CLASS => status.qos_class = Text::set_in_protobuf(value)?,
            INIT_CONTAINER_STATUSES => {
                let it = container_status(value.message()?)?;
                status.init_container_statuses.push(it);
            }
            _ => (),
        }
        Ok(())
    })?;
    Ok(status)
}

/// core/v1 PodCondition.
fn condition(message: &[u8]) -> Result<Condition<'_>, Malformed> {
    const TYPE: u32 = 1;
    const STATUS: u32 = 2;
    let mut condition = Condition::default();
    fields(message, |number, value| {
        match number {
            TYPE => condition.kind = Text::from_protobuf(value)?,
            STATUS => condition.status = Text::from_protobuf(value)?,
            _ => (),
        }
        Ok(())
    })?;
    Ok(condition)
}

/// core/v1 ContainerStatus.
fn container_status(message: &[u8]) -> Result<ContainerStatus<'_>, Malformed> {
    const NAME: u32 = 1;
    const LAST_STATE: u32 = 3;
    const RESTART_COUNT: u32 = 5;
    let mut status = ContainerStatus::default();
    fields(message, |number, value| {
        match number {
            NAME => status.name = Text::from_protobuf(value)?,
            LAST_STATE => status.last_state = last_state(value.message()?)?,
            RESTART_COUNT => {
                status.restart_count = u32::try_from(value.number()?)
                    .map_err(|_| Malformed("a count of restarts out of range"))?;
            }
            _ => (),
        }
        Ok(())
    })?;
    Ok(status)
}

/// core/v1 ContainerState, of which only the end of a container is read.
fn last_state(message: &[u8]) -> Result<LastState<'_>, Malformed> {
    const TERMINATED: u32 = 3;
    const REASON: u32 = 3;
    let mut state = LastState::default();
    fields(message, |number, value| {
        if number == TERMINATED {
            let mut terminated = Terminated::default();
            fields(value.message()?, |number, value| {
                if number == REASON {
                    terminated.reason = Text::set_in_protobuf(value)?;
                }
                Ok(())
            })?;
            state.terminated = Some(terminated);
        }
        Ok(())
    })?;
    Ok(state)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::kube::protobuf::list;

    /// The same list of one pod, which has something in every member that is read, as Kubernetes 1.20.2 answered it in
    /// either form.
    const JSON: &str = include_str!("testdata/pods.json");
    const PROTOBUF: &[u8] = include_bytes!("testdata/pods.protobuf");

    #[test]
    fn a_servers_protobuf_says_what_its_json_says() {
        let json: Value = serde_json::from_str(JSON).unwrap();
        let text = json["items"][0].to_string();
        let expected: PodObject<'_> = serde_json::from_str(&text).unwrap();
        let mut read = 0;
        let meta = list(PROTOBUF, |message| {
            assert_eq!(PodObject::from_protobuf(message)?, expected);
            // Cut off anywhere, it is an error or a pod with less, and never a panic.
            for end in 0..message.len() {
                let _ = PodObject::from_protobuf(&message[..end]);
            }
            read += 1;
            Ok(())
        });
        let version = json["metadata"]["resourceVersion"].as_str();
        assert_eq!(Some(meta.unwrap().resource_version.as_str()), version);
        assert_eq!(read, 1);
        assert_eq!(expected.status.container_statuses[0].restart_count, 3);
    }

    #[test]
    fn members_that_came_later() {
        // A container { name: "m", restartPolicy: "Always" } and pod-level requests of cpu: "2".
        let container = b"\x0a\x01m\xc2\x01\x06Always";
        let container = super::container(container).unwrap();
        assert_eq!(container.restart_policy.as_deref(), Some("Always"));
        let spec = b"\xc2\x02\x0e\x12\x0c\x0a\x03cpu\x12\x05\x0a\x032.5";
        let spec = super::spec(spec).unwrap();
        assert_eq!(spec.resources.requests.cpu, Some(2_500_000_000));
    }

    #[test]
    fn a_pod_without_a_name_is_refused() {
        assert!(PodObject::from_protobuf(b"").is_err());
    }
}
