//! The settings of leader election.

use std::time::Duration;

use super::reader::Reader;
use super::value::{seconds, switch};
use crate::actions::members::Text;
use crate::actions::names::{Namespace, ObjectName};
use crate::kube::credentials::NAMESPACE_FILE;
use crate::leader::{Settings, Timing};

/// The default of LEADER_ELECTION_LEASE.
const LEASE: &str = "kubernetes-agent";

/// Reads them: the outer option tells a fault, the inner one whether there is an election. There is one in a pod
/// unless it is switched off; elsewhere an agent is alone unless it is switched on.
#[expect(
    clippy::option_option,
    reason = "a fault that was told is not the wish for no election"
)]
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<Settings>> {
    let is_pod = reader.value("KUBECONFIG").is_none();
    let namespace = reader.value("POD_NAMESPACE").or_else(|| {
        let own = reader.environment().read(NAMESPACE_FILE.as_ref());
        own.ok().filter(|_| is_pod).map(|it| it.trim().to_owned())
    });
    let default = is_pod && namespace.is_some();
    let wanted = reader.optional("LEADER_ELECTION", default, switch);
    let lease = reader.optional("LEADER_ELECTION_LEASE", LEASE.to_owned(), |it| {
        let name = ObjectName::parse(it).map(|_| it.to_owned());
        name.ok_or_else(|| "the name of a Lease".to_owned())
    });
    let timing = timing(reader);
    if !wanted? {
        return Some(None);
    }
    let Some(namespace) = namespace.filter(|it| Namespace::parse(it).is_some()) else {
        reader.fault("LEADER_ELECTION: expected POD_NAMESPACE beside it, a namespace".to_owned());
        return None;
    };
    Some(Some(Settings {
        namespace,
        lease: lease?,
        timing: timing?,
    }))
}

fn timing(reader: &mut Reader<'_>) -> Option<Timing> {
    let mut of = |name, default| reader.optional(name, seconds(default), duration);
    let lease_duration = of("LEADER_ELECTION_LEASE_DURATION", 15);
    let renew_deadline = of("LEADER_ELECTION_RENEW_DEADLINE", 10);
    let retry_period = of("LEADER_ELECTION_RETRY_PERIOD", 2);
    let timing = Timing {
        lease_duration: lease_duration?,
        renew_deadline: renew_deadline?,
        retry_period: retry_period?,
    };
    let Timing {
        lease_duration,
        renew_deadline,
        retry_period,
    } = timing;
    let mut below = |name, smaller: Duration, other, larger: Duration| {
        if smaller >= larger {
            let (smaller, larger) = (smaller.as_secs(), larger.as_secs());
            reader.fault(format!(
                "{name}: expected less than {other}, got {smaller} and {larger}"
            ));
        }
        smaller < larger
    };
    let (deadline, retry) = (
        "LEADER_ELECTION_RENEW_DEADLINE",
        "LEADER_ELECTION_RETRY_PERIOD",
    );
    let fits = below(
        deadline,
        renew_deadline,
        "LEADER_ELECTION_LEASE_DURATION",
        lease_duration,
    ) & below(retry, retry_period, deadline, renew_deadline);
    fits.then_some(timing)
}

fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(n @ 1..=3600) => Ok(seconds(n)),
        _ => Err("whole seconds from 1 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::testing::Fake;
    use super::*;

    fn settings(environment: &Fake) -> Result<Option<Settings>, Vec<String>> {
        let mut reader = Reader::new(environment);
        let read = read(&mut reader);
        let faults = reader.into_faults();
        read.ok_or_else(|| faults.into_iter().map(|it| it.0).collect())
    }

    #[test]
    fn there_is_an_election_in_a_pod_and_none_elsewhere() {
        let pod = Fake::new(&[]).file(NAMESPACE_FILE, "ml-optimizer\n");
        let found = settings(&pod).unwrap().unwrap();
        assert_eq!(
            (found.namespace.as_str(), found.lease.as_str()),
            ("ml-optimizer", "kubernetes-agent")
        );
        let timing = [
            found.timing.lease_duration,
            found.timing.renew_deadline,
            found.timing.retry_period,
        ];
        assert_eq!(timing, [seconds(15), seconds(10), seconds(2)]);
        let named = pod.clone().with("POD_NAMESPACE", "other");
        assert_eq!(settings(&named).unwrap().unwrap().namespace, "other");
        assert_eq!(settings(&pod.with("LEADER_ELECTION", "false")), Ok(None));

        let outside = Fake::new(&[("KUBECONFIG", "x"), ("POD_NAMESPACE", "a")]);
        assert_eq!(settings(&outside), Ok(None));
        let wanted = outside.with("LEADER_ELECTION", "true");
        assert!(settings(&wanted).unwrap().is_some());
    }

    #[test]
    fn what_cannot_work_is_named() {
        let pod = Fake::new(&[("POD_NAMESPACE", "a")]);
        for (variables, fault) in [
            (
                [("LEADER_ELECTION_RENEW_DEADLINE", "15")],
                "LEADER_ELECTION_RENEW_DEADLINE: expected less than LEADER_ELECTION_LEASE_DURATION, got 15 and 15",
            ),
            (
                [("LEADER_ELECTION_RETRY_PERIOD", "10")],
                "LEADER_ELECTION_RETRY_PERIOD: expected less than LEADER_ELECTION_RENEW_DEADLINE, got 10 and 10",
            ),
            (
                [("LEADER_ELECTION_LEASE_DURATION", "15s")],
                "LEADER_ELECTION_LEASE_DURATION: expected whole seconds from 1 to 3600, got \"15s\"",
            ),
            (
                [("LEADER_ELECTION", "maybe")],
                "LEADER_ELECTION: expected true or false, got \"maybe\"",
            ),
            (
                [("LEADER_ELECTION_LEASE", "My Lease")],
                "LEADER_ELECTION_LEASE: expected the name of a Lease, got \"My Lease\"",
            ),
        ] {
            let faulty = variables
                .iter()
                .fold(pod.clone(), |it, (name, value)| it.with(name, value));
            assert_eq!(settings(&faulty), Err(vec![fault.to_owned()]));
        }
        let nowhere = Fake::new(&[("KUBECONFIG", "x"), ("LEADER_ELECTION", "true")]);
        assert_eq!(
            settings(&nowhere),
            Err(vec![
                "LEADER_ELECTION: expected POD_NAMESPACE beside it, a namespace".to_owned()
            ])
        );
    }
}
