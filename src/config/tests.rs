use std::num::NonZeroU32;

use super::reader::testing::Fake;
use super::*;
use crate::actions::action::ActionKind;
use crate::actions::image::repository::Registry;
use crate::actions::policy::Policy;

fn faults(environment: &Fake) -> Vec<String> {
    Config::read(environment)
        .map(drop)
        .unwrap_err()
        .into_iter()
        .map(|it| it.0)
        .collect()
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Config::read(&Fake::complete()).unwrap();
    assert_eq!(config.agent_id, "agent-0");
    assert_eq!(config.collection_interval, seconds(60));
    assert_eq!(config.action_poll_interval, seconds(10));
    assert_eq!(config.heartbeat_interval, seconds(30));
    assert_eq!((config.batch_size, config.http_port), (100, 8080));
    assert_eq!(
        (config.log_level, config.log_format),
        (LevelFilter::Info, Format::Text)
    );
    assert_eq!(config.kubernetes.server, "https://10.0.0.1:443");
}

#[test]
fn a_policy_is_what_its_variables_say_and_by_default_bounds_little() {
    let policy = |environment: &Fake| Config::read(environment).unwrap().policy.policy;
    assert_eq!(policy(&Fake::complete()), Policy::default());
    let environment = Fake::complete()
        .with("DRY_RUN", "true")
        .with("ALLOWED_ACTIONS", "set_image, drain_node")
        .with("PROTECTED_NAMESPACES", "none")
        .with("MIN_REPLICAS", "1")
        .with("MAX_REPLICAS", "20")
        .with("MAX_REPLICAS_CHANGE", "5")
        .with("ALLOWED_REGISTRIES", "registry.example:5000, ghcr.io/team")
        .with("REQUIRE_IMAGE_DIGEST", "true")
        .with("MAX_CONCURRENT_DRAINS", "2");
    let registries = ["registry.example:5000", "ghcr.io/team"];
    let expected = Policy {
        dry_run: true,
        allowed_actions: [ActionKind::SetImage, ActionKind::DrainNode].into(),
        protected_namespaces: [].into(),
        min_replicas: 1,
        max_replicas: 20,
        max_replicas_change: NonZeroU32::new(5),
        allowed_registries: Some(registries.map(|it| Registry::parse(it).unwrap()).into()),
        require_image_digest: true,
        max_concurrent_drains: NonZeroU32::new(2).unwrap(),
    };
    assert_eq!(policy(&environment), expected);
    // As a manifest has them that sets none.
    let unset = [
        "MAX_EVICTIONS_PER_MINUTE",
        "MAX_REPLICAS_CHANGE",
        "REQUIRE_IMAGE_DIGEST",
    ];
    let unset = unset
        .iter()
        .fold(Fake::complete(), |it, name| it.with(name, ""));
    assert_eq!(policy(&unset), Policy::default());
}

#[test]
fn an_empty_environment_names_all_that_is_missing_at_once() {
    let found = faults(&Fake::new(&[]));
    for name in [
        "BACKEND_URL",
        "BACKEND_WS_URL",
        "API_KEY",
        "SECRET_KEY",
        "CLUSTER_ID",
        "KUBECONFIG",
    ] {
        assert_eq!(
            found
                .iter()
                .filter(|it| it.starts_with(&format!("{name}:")))
                .count(),
            1,
            "{name}: {found:?}"
        );
    }
    assert_eq!(found.len(), 6);
}

#[test]
fn each_fault_names_the_variable_the_value_and_what_was_expected() {
    for (name, value, expected) in [
        (
            "COLLECTION_INTERVAL",
            "5m",
            "COLLECTION_INTERVAL: expected whole seconds from 1 to 86400, got \"5m\"",
        ),
        (
            "ACTION_POLL_INTERVAL",
            "0",
            "ACTION_POLL_INTERVAL: expected whole seconds from 1 to 86400, got \"0\"",
        ),
        (
            "BATCH_SIZE",
            "-1",
            "BATCH_SIZE: expected a whole number from 1 to 1000, got \"-1\"",
        ),
        ("HTTP_PORT", "65536", "HTTP_PORT: expected a port"),
        (
            "LOG_LEVEL",
            "loud",
            "LOG_LEVEL: expected error, warn, info, debug or trace, got \"loud\"",
        ),
        (
            "LOG_FORMAT",
            "xml",
            "LOG_FORMAT: expected text or json, got \"xml\"",
        ),
        ("BACKEND_URL", "backend.example", "BACKEND_URL: expected"),
        (
            "BACKEND_URL",
            "https://me:hidden@backend.example",
            "BACKEND_URL: expected",
        ),
        (
            "BACKEND_WS_URL",
            "https://backend.example",
            "BACKEND_WS_URL: expected",
        ),
        (
            "CLUSTER_ID",
            "prod eu",
            "CLUSTER_ID: expected 1 to 128 letters",
        ),
        ("AGENT_ID", "a/b", "AGENT_ID: expected 1 to 128 letters"),
        (
            "SECRET_KEY",
            "8-bytes!",
            "SECRET_KEY: expected at least 16 bytes, got 8",
        ),
        ("HTTPS_PROXY", "socks5://p:1", "HTTPS_PROXY: expected"),
        (
            "BACKEND_CA_FILE",
            "/no/such/file",
            "BACKEND_CA_FILE: failed to read \"/no/such/file\"",
        ),
        (
            "KUBERNETES_SERVICE_PORT",
            "https",
            "KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT: expected",
        ),
    ] {
        let found = faults(&Fake::complete().with(name, value));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
        assert!(
            !found[0].contains("hidden") && !found[0].contains("8-bytes!"),
            "{found:?}"
        );
    }
}

#[test]
fn each_fault_of_the_policy_does_so_too() {
    for (name, value, expected) in [
        (
            "ALLOWED_ACTIONS",
            "drain_node,reboot",
            "ALLOWED_ACTIONS: expected none, or some of evict_pod, cordon_node,",
        ),
        (
            "PROTECTED_NAMESPACES",
            "kube_system",
            "PROTECTED_NAMESPACES: expected none, or names of namespaces separated by commas, got \"kube_system\"",
        ),
        (
            "MAX_EVICTIONS_PER_MINUTE",
            "0",
            "MAX_EVICTIONS_PER_MINUTE: expected a whole number from 1 to 10000, not set for no bound, got \"0\"",
        ),
        (
            "MIN_REPLICAS",
            "-1",
            "MIN_REPLICAS: expected a whole number from 0 on, got \"-1\"",
        ),
        (
            "MAX_REPLICAS_CHANGE",
            "0",
            "MAX_REPLICAS_CHANGE: expected a whole number from 1 on, got \"0\"",
        ),
        (
            "ALLOWED_REGISTRIES",
            "ghcr.io,team/app",
            "ALLOWED_REGISTRIES: expected registries as host[:port][/path] separated by commas (docker.io is the one \
             of images without a host), got \"ghcr.io,team/app\"",
        ),
        (
            "ALLOWED_REGISTRIES",
            "none",
            "ALLOWED_REGISTRIES: expected registries as",
        ),
        (
            "REQUIRE_IMAGE_DIGEST",
            "maybe",
            "REQUIRE_IMAGE_DIGEST: expected true or false, got \"maybe\"",
        ),
    ] {
        let found = faults(&Fake::complete().with(name, value));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
    }
    let crossed = Fake::complete()
        .with("MIN_REPLICAS", "5")
        .with("MAX_REPLICAS", "4");
    assert_eq!(
        faults(&crossed),
        ["MIN_REPLICAS: expected at most MAX_REPLICAS, got 5 above 4"]
    );
}

/// Not set they are wide, and who wrote nothing may have wanted nothing.
#[test]
fn an_empty_bound_of_the_policy_is_a_fault() {
    for (name, expected) in [
        ("ALLOWED_ACTIONS", "none, or some of evict_pod,"),
        ("PROTECTED_NAMESPACES", "none, or names of namespaces"),
        ("ALLOWED_REGISTRIES", "registries as host"),
    ] {
        for (empty, shown) in [("", ""), (" \n", ""), (" , ", ",")] {
            let found = faults(&Fake::complete().with(name, empty));
            assert_eq!(found.len(), 1, "{found:?}");
            let beginning = format!("{name}: expected {expected}");
            assert!(found[0].starts_with(&beginning), "{found:?}");
            assert!(found[0].ends_with(&format!("got {shown:?}")), "{found:?}");
        }
    }
}

#[test]
fn secrets_may_come_from_files() {
    let environment = Fake::complete()
        .without("API_KEY")
        .without("SECRET_KEY")
        .with("API_KEY_FILE", "/creds/api-key")
        .with("SECRET_KEY_FILE", "/creds/secret-key")
        .file("/creds/api-key", "from-a-file\n")
        .file("/creds/secret-key", "short");
    let found = faults(&environment);
    assert_eq!(
        found,
        ["SECRET_KEY_FILE: expected at least 16 bytes, got 5 (in /creds/secret-key)"]
    );
}

#[test]
fn nothing_secret_is_in_debug() {
    let config =
        Config::read(&Fake::complete().with("HTTPS_PROXY", "http://me:hidden@proxy:3128")).unwrap();
    let text = format!("{config:?}");
    assert!(
        !text.contains("an-api-key") && !text.contains("0123456789") && !text.contains("hidden"),
        "{text}"
    );
}
