//! Which member of an object is which field: the numbers of the generated.proto files beside Kubernetes' types.

/// A member of a message.
pub(in crate::apiserver) struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its number.
    pub number: u32,
    /// What it holds.
    pub kind: Kind,
}

/// What a field holds. `Maybe`: a pointer, left out where it is unset.
#[derive(Clone, Copy)]
pub(in crate::apiserver) enum Kind {
    Text,
    MaybeText,
    Number,
    MaybeNumber,
    Flag,
    MaybeFlag,
    Message(&'static [Field]),
    MaybeMessage(&'static [Field]),
    Messages(&'static [Field]),
    Texts,
    TextMap,
    /// A map of resource.Quantity.
    Quantities,
    /// JSON as it stands, such as FieldsV1.
    Json,
    /// meta/v1 Time, whole seconds as the real server writes it.
    Time,
    /// meta/v1 Duration.
    Duration,
}

use Kind::{
    Duration, Flag, Json, MaybeFlag, MaybeMessage, MaybeNumber, MaybeText, Message, Messages,
    Number, Quantities, Text, TextMap, Texts, Time,
};

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { name, number, kind }
}

pub(super) const TYPE_META: &[Field] = &[field(1, "apiVersion", Text), field(2, "kind", Text)];

pub(super) const LIST_META: &[Field] = &[
    field(1, "selfLink", Text),
    field(2, "resourceVersion", Text),
    field(3, "continue", Text),
    field(4, "remainingItemCount", MaybeNumber),
];

pub(super) const STATUS: &[Field] = &[
    field(1, "metadata", Message(LIST_META)),
    field(2, "status", Text),
    field(3, "message", Text),
    field(4, "reason", Text),
    field(5, "details", MaybeMessage(STATUS_DETAILS)),
    field(6, "code", Number),
];

const STATUS_DETAILS: &[Field] = &[
    field(1, "name", Text),
    field(2, "group", Text),
    field(3, "kind", Text),
    field(4, "causes", Messages(STATUS_CAUSE)),
    field(5, "retryAfterSeconds", Number),
    field(6, "uid", Text),
];

const STATUS_CAUSE: &[Field] = &[
    field(1, "reason", Text),
    field(2, "message", Text),
    field(3, "field", Text),
];

/// meta/v1 PartialObjectMetadata.
pub(super) const PARTIAL: &[Field] = &[field(1, "metadata", Message(OBJECT_META))];

const OBJECT_META: &[Field] = &[
    field(1, "name", Text),
    field(2, "generateName", Text),
    field(3, "namespace", Text),
    field(4, "selfLink", Text),
    field(5, "uid", Text),
    field(6, "resourceVersion", Text),
    field(7, "generation", Number),
    field(8, "creationTimestamp", Time),
    field(10, "deletionGracePeriodSeconds", MaybeNumber),
    field(11, "labels", TextMap),
    field(12, "annotations", TextMap),
    field(13, "ownerReferences", Messages(OWNER_REFERENCE)),
    field(14, "finalizers", Texts),
    field(17, "managedFields", Messages(MANAGED_FIELDS)),
];

const OWNER_REFERENCE: &[Field] = &[
    field(1, "kind", Text),
    field(3, "name", Text),
    field(4, "uid", Text),
    field(5, "apiVersion", Text),
    field(6, "controller", MaybeFlag),
    field(7, "blockOwnerDeletion", MaybeFlag),
];

const MANAGED_FIELDS: &[Field] = &[
    field(1, "manager", Text),
    field(2, "operation", Text),
    field(3, "apiVersion", Text),
    field(6, "fieldsType", Text),
    field(7, "fieldsV1", Json),
];

/// core/v1 Pod.
pub(super) const POD: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "spec", Message(POD_SPEC)),
    field(3, "status", Message(POD_STATUS)),
];

const POD_SPEC: &[Field] = &[
    field(1, "volumes", Messages(NAMED)),
    field(2, "containers", Messages(CONTAINER)),
    field(3, "restartPolicy", Text),
    field(4, "terminationGracePeriodSeconds", MaybeNumber),
    field(6, "dnsPolicy", Text),
    field(7, "nodeSelector", TextMap),
    field(8, "serviceAccountName", Text),
    field(9, "serviceAccount", Text),
    field(10, "nodeName", Text),
    field(11, "hostNetwork", Flag),
    field(15, "imagePullSecrets", Messages(NAMED)),
    field(19, "schedulerName", Text),
    field(20, "initContainers", Messages(CONTAINER)),
    field(24, "priorityClassName", Text),
    field(25, "priority", MaybeNumber),
    field(30, "enableServiceLinks", MaybeFlag),
    field(32, "overhead", Quantities),
    field(40, "resources", MaybeMessage(RESOURCES)),
];

const NAMED: &[Field] = &[field(1, "name", Text)];

const CONTAINER: &[Field] = &[
    field(1, "name", Text),
    field(2, "image", Text),
    field(3, "command", Texts),
    field(4, "args", Texts),
    field(5, "workingDir", Text),
    field(6, "ports", Messages(PORT)),
    field(7, "env", Messages(ENV)),
    field(8, "resources", Message(RESOURCES)),
    field(9, "volumeMounts", Messages(VOLUME_MOUNT)),
    field(13, "terminationMessagePath", Text),
    field(14, "imagePullPolicy", Text),
    field(20, "terminationMessagePolicy", Text),
    field(24, "restartPolicy", MaybeText),
];

const PORT: &[Field] = &[
    field(1, "name", Text),
    field(2, "hostPort", Number),
    field(3, "containerPort", Number),
    field(4, "protocol", Text),
    field(5, "hostIP", Text),
];

const ENV: &[Field] = &[field(1, "name", Text), field(2, "value", Text)];

const VOLUME_MOUNT: &[Field] = &[
    field(1, "name", Text),
    field(2, "readOnly", Flag),
    field(3, "mountPath", Text),
    field(4, "subPath", Text),
];

const RESOURCES: &[Field] = &[
    field(1, "limits", Quantities),
    field(2, "requests", Quantities),
];

const POD_STATUS: &[Field] = &[
    field(1, "phase", Text),
    field(2, "conditions", Messages(CONDITION)),
    field(3, "message", Text),
    field(4, "reason", Text),
    field(5, "hostIP", Text),
    field(6, "podIP", Text),
    field(8, "containerStatuses", Messages(CONTAINER_STATUS)),
    field(9, "qosClass", Text),
    field(10, "initContainerStatuses", Messages(CONTAINER_STATUS)),
];

const CONDITION: &[Field] = &[
    field(1, "type", Text),
    field(2, "status", Text),
    field(5, "reason", Text),
    field(6, "message", Text),
];

const CONTAINER_STATUS: &[Field] = &[
    field(1, "name", Text),
    field(2, "state", Message(CONTAINER_STATE)),
    field(3, "lastState", Message(CONTAINER_STATE)),
    field(4, "ready", Flag),
    field(5, "restartCount", Number),
    field(6, "image", Text),
    field(7, "imageID", Text),
    field(8, "containerID", Text),
    field(9, "started", MaybeFlag),
];

const CONTAINER_STATE: &[Field] = &[field(3, "terminated", MaybeMessage(TERMINATED))];

const TERMINATED: &[Field] = &[
    field(1, "exitCode", Number),
    field(2, "signal", Number),
    field(3, "reason", Text),
    field(4, "message", Text),
    field(7, "containerID", Text),
];

/// metrics/v1beta1 PodMetrics.
pub(super) const POD_METRICS: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "timestamp", Time),
    field(3, "window", Duration),
    field(4, "containers", Messages(CONTAINER_METRICS)),
];

/// metrics/v1beta1 NodeMetrics.
pub(super) const NODE_METRICS: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "timestamp", Time),
    field(3, "window", Duration),
    field(4, "usage", Quantities),
];

const CONTAINER_METRICS: &[Field] = &[field(1, "name", Text), field(2, "usage", Quantities)];
