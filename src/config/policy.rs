//! The settings of the local policy, which nothing remote can widen.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::reader::Reader;
use super::value::switch;
use crate::actions::action::ActionKind;
use crate::actions::image::repository::Registry;
use crate::actions::members::Text;
use crate::actions::names::Namespace;
use crate::actions::policy::Policy;

/// The policy and the bound of evictions a minute.
#[derive(Debug)]
pub struct PolicySettings {
    /// DRY_RUN, ALLOWED_ACTIONS, PROTECTED_NAMESPACES, MIN_REPLICAS, MAX_REPLICAS, MAX_REPLICAS_CHANGE,
    /// ALLOWED_REGISTRIES, REQUIRE_IMAGE_DIGEST, MAX_CONCURRENT_DRAINS.
    pub policy: Policy,
    /// MAX_EVICTIONS_PER_MINUTE; none for no bound.
    pub evictions_per_minute: Option<NonZeroU32>,
}

impl PolicySettings {
    /// Reads them; `None` where one is wrong.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let default = Policy::default();
        let dry_run = reader.optional("DRY_RUN", default.dry_run, switch);
        let allowed_actions = reader.bound("ALLOWED_ACTIONS", default.allowed_actions, actions);
        let protected = reader.bound(
            "PROTECTED_NAMESPACES",
            default.protected_namespaces,
            namespaces,
        );
        let evictions = reader.optional("MAX_EVICTIONS_PER_MINUTE", None, |it| match it.parse() {
            // 0 is none at all to one reader and no bound to another.
            Ok(n @ 1..=10_000) => Ok(NonZeroU32::new(n)),
            _ => Err("a whole number from 1 to 10000, not set for no bound".to_owned()),
        });
        let drains = reader.optional(
            "MAX_CONCURRENT_DRAINS",
            default.max_concurrent_drains,
            |it| {
                let n = it.parse::<NonZeroU32>().ok().filter(|it| it.get() <= 4);
                n.ok_or_else(|| "a whole number from 1 to 4".to_owned())
            },
        );
        let min_replicas = reader.optional("MIN_REPLICAS", default.min_replicas, replicas);
        let max_replicas = reader.optional("MAX_REPLICAS", default.max_replicas, replicas);
        let replicas_change = reader.optional("MAX_REPLICAS_CHANGE", None, |it| {
            let n = it.parse::<NonZeroU32>().map(Some);
            n.map_err(|_| "a whole number from 1 on".to_owned())
        });
        let registries = reader.bound("ALLOWED_REGISTRIES", default.allowed_registries, |it| {
            registries(it).map(Some)
        });
        let require_digest =
            reader.optional("REQUIRE_IMAGE_DIGEST", default.require_image_digest, switch);
        if let (Some(min), Some(max)) = (min_replicas, max_replicas)
            && min > max
        {
            reader.fault(format!(
                "MIN_REPLICAS: expected at most MAX_REPLICAS, got {min} above {max}"
            ));
            return None;
        }
        Some(Self {
            policy: Policy {
                dry_run: dry_run?,
                allowed_actions: allowed_actions?,
                protected_namespaces: protected?,
                min_replicas: min_replicas?,
                max_replicas: max_replicas?,
                max_replicas_change: replicas_change?,
                allowed_registries: registries?,
                require_image_digest: require_digest?,
                max_concurrent_drains: drains?,
            },
            evictions_per_minute: evictions?,
        })
    }
}

fn replicas(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "a whole number from 0 on".to_owned())
}

/// Names separated by commas or blanks; `none` for no action at all, since an empty text may mean either end.
fn actions(text: &str) -> Result<BTreeSet<ActionKind>, String> {
    if text == "none" {
        return Ok(BTreeSet::new());
    }
    let parsed: Option<BTreeSet<_>> = words(text).map(ActionKind::parse).collect();
    parsed.filter(|it| !it.is_empty()).ok_or_else(|| {
        let names: Vec<_> = ActionKind::ALL.iter().map(|it| it.as_str()).collect();
        format!("none, or some of {} separated by commas", names.join(", "))
    })
}

fn namespaces(text: &str) -> Result<BTreeSet<String>, String> {
    if text == "none" {
        return Ok(BTreeSet::new());
    }
    let parsed: Option<BTreeSet<_>> = words(text)
        .map(|it| Namespace::parse(it).map(|_| it.to_owned()))
        .collect();
    let some = parsed.filter(|it| !it.is_empty());
    some.ok_or_else(|| "none, or names of namespaces separated by commas".to_owned())
}

/// There is no `none`: whoever wants no image set takes `set_image` out of ALLOWED_ACTIONS.
fn registries(text: &str) -> Result<BTreeSet<Registry>, String> {
    let parsed: Option<BTreeSet<_>> = words(text).map(Registry::parse).collect();
    parsed.filter(|it| !it.is_empty()).ok_or_else(|| {
        "registries as host[:port][/path] separated by commas (docker.io is the one of images without a host)"
            .to_owned()
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|it| !it.is_empty())
}
