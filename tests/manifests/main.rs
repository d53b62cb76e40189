//! What is installed is what the code needs: permissions, settings, metrics and versions, held against each other.
//!
//! The files that are made from the table of permissions are written anew where UPDATE is set.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod render;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kubernetes_agent::VERSION;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|err| panic!("{name}: {err}"))
}

/// Fails where the file is not `expected`, or makes it so.
fn made(name: &str, expected: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path(name), expected).unwrap();
    }
    assert!(
        read(name) == expected,
        "{name} does not follow src/rbac.rs: UPDATE=1 cargo test --test manifests"
    );
}

#[test]
fn the_manifests_grant_what_the_table_says() {
    made("manifests/rbac.yaml", &render::manifest());
}

#[test]
fn the_chart_grants_what_the_table_says() {
    made("manifests/chart/templates/rbac.yaml", &render::template());
}

#[test]
fn the_readme_shows_the_table() {
    let readme = read("README.md");
    let begin = readme.find("| may | on | for | why |").expect("the table");
    let rows = &readme[begin..];
    let end = rows.find("\n\n").map_or(rows.len(), |it| it + 1);
    let expected = [&readme[..begin], &render::readme(), &rows[end..]].concat();
    made("README.md", &expected);
}

/// The first column of the README's table of settings.
fn settings() -> Vec<String> {
    let readme = read("README.md");
    let section = readme
        .split("\n## ")
        .find(|it| it.starts_with("Settings\n"));
    let section = section.expect("a section on settings");
    let rows = section.lines().filter(|it| it.starts_with("| "));
    let names = rows.flat_map(|it| {
        let first = it.trim_start_matches("| ").split(" |").next();
        first.unwrap_or_default().split(", ").map(str::to_owned)
    });
    names
        .filter(|it| it.chars().all(|it| it.is_ascii_uppercase() || it == '_'))
        .collect()
}

/// Not set in a pod: secrets come from files, and the API server is known there.
const NOT_IN_A_POD: [&str; 4] = ["API_KEY", "SECRET_KEY", "SECRET_KEY_PREVIOUS", "KUBECONFIG"];

#[test]
fn the_chart_has_a_value_for_every_setting() {
    let template = read("manifests/chart/templates/deployment.yaml");
    let named: BTreeSet<_> = template
        .lines()
        .filter_map(|it| it.trim().strip_prefix("- name: "))
        .collect();
    let settings = settings();
    assert!(settings.len() > 20, "{settings:?}");
    for setting in &settings {
        let set = named.contains(setting.as_str());
        assert_eq!(set, !NOT_IN_A_POD.contains(&setting.as_str()), "{setting}");
    }
    let upper = |it: &&str| it.chars().all(|it| it.is_ascii_uppercase() || it == '_');
    for name in named.into_iter().filter(upper) {
        assert!(settings.iter().any(|it| it == name), "{name} is no setting");
    }
}

#[test]
fn the_manifests_name_settings_that_exist_and_actions_that_exist() {
    let manifest = read("manifests/deployment.yaml");
    let settings = settings();
    for name in manifest
        .lines()
        .filter_map(|it| it.trim().strip_prefix("- name: "))
    {
        if name.chars().all(|it| it.is_ascii_uppercase() || it == '_') {
            assert!(settings.iter().any(|it| it == name), "{name} is no setting");
        }
    }
    let all = kubernetes_agent::actions::action::ActionKind::ALL.map(|it| it.as_str());
    assert!(manifest.contains(&format!("value: {}\n", all.join(","))));
    let values = read("manifests/chart/values.yaml");
    let list = all.join("\n  - ");
    assert!(values.contains(&format!("  allowed:\n  - {list}\n")));
    let schema = read("manifests/chart/values.schema.json");
    for name in all {
        assert!(schema.contains(&format!("\"{name}\"")), "{name}");
    }
}

/// The words of a text that begin as the agent's metrics do, without that beginning.
fn metrics(text: &str) -> BTreeSet<&str> {
    let parts = text.split("kubernetes_agent_").skip(1);
    parts
        .map(|it| {
            let end = it.find(|it: char| !it.is_ascii_alphanumeric() && it != '_');
            let name = &it[..end.unwrap_or(it.len())];
            name.strip_suffix("_bucket").unwrap_or(name)
        })
        .collect()
}

#[test]
fn the_dashboard_and_the_alerts_name_metrics_that_exist() {
    let files = fs::read_dir(path("src/metrics")).unwrap();
    let source: String = files
        .map(|it| fs::read_to_string(it.unwrap().path()).unwrap())
        .collect();
    for file in [
        "manifests/components/dashboard/kubernetes-agent.json",
        "manifests/components/alerts/prometheusrule.yaml",
    ] {
        let text = read(file);
        let found = metrics(&text);
        assert!(found.len() > 5, "{found:?}");
        for name in found {
            assert!(source.contains(&format!("\"{name}\"")), "{file}: {name}");
        }
    }
}

/// An alert on a series that is not there does not fire, though what it is about be so.
#[test]
fn the_alerts_name_series_that_are_there_from_the_start() {
    let alerts = read("manifests/components/alerts/prometheusrule.yaml");
    let fresh = kubernetes_agent::metrics::Metrics::new().unwrap().text();
    let exact = |it: &str| {
        let (name, rest) = it.split_once('{')?;
        let (selector, _) = rest.split_once('}')?;
        let is_exact = selector.contains("=\"")
            && name.bytes().all(|it| it == b'_' || it.is_ascii_lowercase());
        is_exact.then(|| (format!("kubernetes_agent_{name}{{"), selector.to_owned()))
    };
    let named: Vec<_> = alerts
        .split("kubernetes_agent_")
        .filter_map(exact)
        .collect();
    assert!(named.len() > 3, "{named:?}");
    for (name, selector) in named {
        let mut lines = fresh.lines();
        assert!(
            lines.any(|it| it.starts_with(&name) && it.contains(&selector)),
            "{name}{selector}}}"
        );
    }
}

#[test]
fn everything_is_of_one_version() {
    let image = format!("image: ml-optimizer/kubernetes-agent:{VERSION}\n");
    assert!(read("manifests/deployment.yaml").contains(&image));
    let chart = read("manifests/chart/Chart.yaml");
    assert!(chart.contains(&format!("\nversion: {VERSION}\n")));
    assert!(chart.contains(&format!("\nappVersion: \"{VERSION}\"\n")));
}
