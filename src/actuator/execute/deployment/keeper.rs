//! Who keeps an object as it is held elsewhere, in a repository, a release or another object: a change of ours may
//! not last.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::managers::has_written;

const ARGO_CD: &str = "Argo CD";
const FLUX: &str = "Flux";
const HELM: &str = "Helm";

/// Beginnings of labels and annotations of tools that restore by themselves. Argo CD's default is to mark its objects
/// by `app.kubernetes.io/instance`, which others set too; it is known by what it wrote then.
const MARKS: [(&str, &str); 3] = [
    ("argocd.argoproj.io/", ARGO_CD),
    ("kustomize.toolkit.fluxcd.io/", FLUX),
    ("helm.toolkit.fluxcd.io/", FLUX),
];

/// The same tools by the names that they write under.
const MANAGERS: [(&str, &str); 4] = [
    ("argocd-controller", ARGO_CD),
    ("argocd-application-controller", ARGO_CD),
    ("kustomize-controller", FLUX),
    ("helm-controller", FLUX),
];

/// Where Helm writes down which release an object is of.
const RELEASE: &str = "meta.helm.sh/release-name";
/// Where whatever manages an object may write its name (Kubernetes documentation, "Recommended Labels").
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// For so long a change that has taken effect is looked at where somebody restores by himself: Argo CD heals 5 s after
/// it last did, other controllers at once.
const SETTLES: Duration = Duration::from_secs(10);

/// Who keeps an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    /// The tool, or the object that controls it.
    pub name: String,
    /// Whether it restores without being asked.
    restores: bool,
}

impl Keeper {
    /// The keeper of an object, if it has one. What restores it soonest is named, where several do.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let active = |name: String| Self {
            name,
            restores: true,
        };
        let mut owners = metadata.owner_references.iter().flatten();
        if let Some(owner) = owners.find(|it| it.controller == Some(true)) {
            return Some(active(format!("{} {}", owner.kind, owner.name)));
        }
        let maps = [&metadata.labels, &metadata.annotations];
        let keys = || maps.into_iter().flatten().flat_map(|it| it.keys());
        let is_marked = |(mark, _): &&(&str, &str)| keys().any(|it| it.starts_with(mark));
        let wrote = |(manager, _): &&(&str, &str)| has_written(metadata, manager);
        let found = MARKS.iter().find(is_marked);
        if let Some((_, tool)) = found.or_else(|| MANAGERS.iter().find(wrote)) {
            return Some(active((*tool).to_owned()));
        }
        let labels = metadata.labels.as_ref();
        let managed_by = labels.and_then(|it| it.get(MANAGED_BY));
        if keys().any(|it| it == RELEASE) || managed_by.is_some_and(|it| it == HELM) {
            return Some(Self {
                name: HELM.to_owned(),
                restores: false,
            });
        }
        managed_by
            .filter(|it| !it.is_empty())
            .map(|it| active(it.clone()))
    }

    /// What the sender should know before `what` of the object, such as its replicas, is changed.
    pub fn warning(&self, what: &str) -> String {
        let Self { name, restores } = self;
        if *restores {
            format!("{name} keeps this object and may restore its {what}")
        } else {
            format!("{name} keeps this object: its next upgrade may restore its {what}")
        }
    }

    /// How long a change is looked at after it has taken effect.
    pub fn settles(&self) -> Duration {
        if self.restores {
            SETTLES
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn keeper(metadata: &Value) -> Option<Keeper> {
        Keeper::of(&serde_json::from_value(metadata.clone()).unwrap())
    }

    #[test]
    fn who_keeps_an_object_is_known_by_marks_writes_and_owners() {
        let label = |key: &str, value: &str| json!({"labels": {key: value}});
        let annotation = |key: &str, value: &str| json!({"annotations": {key: value}});
        let wrote =
            |manager: &str| json!({"managedFields": [{"manager": manager, "operation": "Apply"}]});
        let owner = |controller: bool| {
            let owner = json!({"apiVersion": "example.com/v1", "kind": "Shop", "name": "eu", "uid": "u", "controller": controller});
            json!({"ownerReferences": [owner]})
        };
        let cases = [
            (json!({}), None),
            (label("app", "web"), None),
            (label("app.kubernetes.io/instance", "web"), None),
            (
                label("argocd.argoproj.io/instance", "shop"),
                Some("Argo CD"),
            ),
            (
                annotation("argocd.argoproj.io/tracking-id", "x"),
                Some("Argo CD"),
            ),
            (
                annotation("argocd.argoproj.io/sync-wave", "1"),
                Some("Argo CD"),
            ),
            (label("kustomize.toolkit.fluxcd.io/name", "x"), Some("Flux")),
            (label("helm.toolkit.fluxcd.io/namespace", "x"), Some("Flux")),
            (annotation("meta.helm.sh/release-name", "x"), Some("Helm")),
            (label(MANAGED_BY, "Helm"), Some("Helm")),
            (label(MANAGED_BY, "shop-operator"), Some("shop-operator")),
            (label(MANAGED_BY, ""), None),
            (wrote("argocd-controller"), Some("Argo CD")),
            (wrote("kustomize-controller"), Some("Flux")),
            (wrote("kubectl"), None),
            (owner(true), Some("Shop eu")),
            (owner(false), None),
        ];
        for (metadata, expected) in cases {
            let found = keeper(&metadata);
            let name = found.as_ref().map(|it| it.name.as_str());
            assert_eq!(name, expected, "{metadata}");
            // Helm acts when somebody calls it; the others do by themselves.
            let settles = found.map(|it| it.settles() > Duration::ZERO);
            assert_eq!(settles, expected.map(|it| it != HELM), "{metadata}");
        }
    }

    #[test]
    fn of_several_the_one_that_restores_by_itself_is_named() {
        // A chart that Argo CD renders has Helm's label, and nothing of Argo CD's but what it wrote.
        let metadata = json!({
            "labels": {MANAGED_BY: "Helm"},
            "managedFields": [{"manager": "argocd-controller", "operation": "Apply"}],
        });
        let keeper = keeper(&metadata).unwrap();
        assert_eq!(
            keeper.warning("image"),
            "Argo CD keeps this object and may restore its image"
        );
    }
}
