//! What `/readyz` asks about.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Verdict, verdict};

/// What was found of each, by its name.
#[derive(Default)]
pub(super) struct Checks(BTreeMap<&'static str, Result<(), String>>);

impl Checks {
    /// Sets what is found of `check`. Returns the verdict of all if that has turned from good to bad or back.
    pub(super) fn set(
        &mut self,
        check: &'static str,
        outcome: Result<(), String>,
    ) -> Option<Verdict> {
        let before = self.verdict();
        self.0.insert(check, outcome);
        let after = self.verdict();
        (before.is_ok() != after.is_ok()).then_some(after)
    }

    /// Ready if nothing fails.
    pub(super) fn verdict(&self) -> Verdict {
        let outcomes = self.0.iter();
        verdict(outcomes.filter_map(|(name, it)| it.as_ref().err().map(|why| (*name, why.clone()))))
    }
}

/// The name of the check that [`readable`] decides.
pub const CLUSTER: &str = "cluster";

/// The API server counts as readable if it was this long ago.
const READABLE: Duration = Duration::from_mins(2);

/// Whether something read at `at` is recent enough to call the cluster readable.
pub fn readable(at: Option<Instant>, now: Instant) -> Result<(), String> {
    match at {
        None => Err("the cluster was not read yet".to_owned()),
        Some(at) => match now.saturating_duration_since(at) {
            age if age > READABLE => {
                Err(format!("the cluster was last read {} s ago", age.as_secs()))
            }
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_readable_for_two_minutes() {
        let now = Instant::now();
        assert!(readable(None, now).is_err());
        assert!(readable(Some(now), now + Duration::from_secs(119)).is_ok());
        assert!(readable(Some(now), now + Duration::from_secs(121)).is_err());
    }
}
