//! The table of `src/rbac.rs` in the three forms that it is installed and read in.

use std::collections::BTreeSet;
use std::fmt::Write;

use kubernetes_agent::rbac::{Need, RULES, Role, Rule};

/// What the file is made from, as its first line says.
const HEAD: &str = "# Made from the table in src/rbac.rs: UPDATE=1 cargo test --test manifests\n";

const ROLES: [Role; 3] = [Role::Read, Role::Write, Role::Own];

/// Names and labels in one of the two forms.
struct Form {
    name: &'static str,
    namespace: &'static str,
    labels: &'static str,
    /// Whether the rules stand under conditions.
    chart: bool,
}

/// `manifests/rbac.yaml`: everything.
pub(crate) fn manifest() -> String {
    render(&Form {
        name: "ml-agent",
        namespace: "ml-optimizer",
        labels: "    app: ml-agent\n    app.kubernetes.io/name: kubernetes-agent\n",
        chart: false,
    })
}

/// The chart's template: what the enabled actions need.
pub(crate) fn template() -> String {
    render(&Form {
        name: "{{ .Values.name }}",
        namespace: "{{ .Release.Namespace }}",
        labels: "    {{- include \"kubernetes-agent.labels\" . | nindent 4 }}\n",
        chart: true,
    })
}

fn render(form: &Form) -> String {
    let mut text = HEAD.to_owned();
    for role in ROLES {
        let (open, close) = match role {
            Role::Read => ("", ""),
            Role::Write => (
                "{{- if include \"kubernetes-agent.writes\" . }}\n",
                "{{- end }}\n",
            ),
            Role::Own => (
                "{{- if include \"kubernetes-agent.elects\" . }}\n",
                "{{- end }}\n",
            ),
        };
        text.push_str(if form.chart { open } else { "" });
        text.push_str(&objects(role, form));
        text.push_str(if form.chart { close } else { "" });
    }
    text
}

/// A role and its binding.
fn objects(role: Role, form: &Form) -> String {
    let Form {
        name,
        namespace,
        labels,
        ..
    } = form;
    let (kind, suffix, own) = match role {
        Role::Read => ("ClusterRole", "", String::new()),
        Role::Write => ("ClusterRole", "-write", String::new()),
        Role::Own => ("Role", "", format!("  namespace: {namespace}\n")),
    };
    let head = |kind: &str| {
        format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}{suffix}\n{own}  labels:\n{labels}"
        )
    };
    let mut text = format!("{}rules:\n", head(kind));
    for rule in RULES.iter().filter(|it| it.role == role) {
        let condition = condition(rule).filter(|_| form.chart);
        if let Some(actions) = &condition {
            let _ = writeln!(
                text,
                "{{{{- if include \"kubernetes-agent.any\" (list . {actions}) }}}}"
            );
        }
        let _ = write!(
            text,
            "# {}\n- apiGroups: [\"{}\"]\n  resources: [{}]\n",
            rule.why,
            rule.group,
            quoted(rule.resources)
        );
        if rule.own_name {
            let _ = writeln!(text, "  resourceNames: [\"{name}\"]");
        }
        let _ = writeln!(text, "  verbs: [{}]", quoted(rule.verbs));
        if condition.is_some() {
            text.push_str("{{- end }}\n");
        }
    }
    let _ = write!(
        text,
        "{}roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: {name}{suffix}\nsubjects:\n- kind: ServiceAccount\n  name: {name}\n  namespace: {namespace}\n",
        head(&format!("{kind}Binding"))
    );
    text
}

/// The actions of which one must be allowed; none where the rule always stands.
fn condition(rule: &Rule) -> Option<String> {
    let names = actions(rule)?;
    Some(quoted(&names).replace(", ", " "))
}

fn actions(rule: &Rule) -> Option<Vec<&'static str>> {
    let name = |need: &Need| match need {
        Need::Action(kind) => Some(kind.as_str()),
        Need::Base | Need::LeaderElection => None,
    };
    rule.needs.iter().map(name).collect()
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|it| format!("\"{it}\"")).collect();
    quoted.join(", ")
}

fn need(need: Need) -> &'static str {
    match need {
        Need::Base => "observing",
        Need::Action(kind) => kind.as_str(),
        Need::LeaderElection => "leader election",
    }
}

/// The README's table.
pub(crate) fn readme() -> String {
    let mut text = "| may | on | for | why |\n|---|---|---|---|\n".to_owned();
    let all = kubernetes_agent::actions::action::ActionKind::ALL;
    for rule in &RULES {
        let on: BTreeSet<_> = rule
            .resources
            .iter()
            .map(|it| match rule.group {
                "" => format!("`{it}`"),
                group => format!("`{it}` ({group})"),
            })
            .collect();
        let on = on.into_iter().collect::<Vec<_>>().join(", ");
        let on = match (rule.role, rule.own_name) {
            (Role::Own, true) => format!("{on} of its own name, in its own namespace"),
            (Role::Own, false) => format!("{on} in its own namespace"),
            _ => on,
        };
        let needs = match actions(rule) {
            Some(names) if names.len() == all.len() => "every action".to_owned(),
            _ => rule
                .needs
                .iter()
                .map(|it| need(*it))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let _ = writeln!(
            text,
            "| {} | {on} | {needs} | {} |",
            rule.verbs.join(", "),
            rule.why
        );
    }
    text
}
