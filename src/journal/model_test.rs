//! The journal against a model of it: random sequences of calls, a death or a failure at every single operation on
//! the files, and after each the question whether every promise was kept.
//!
//! The promises: what returned well and is marked \* in the protocol is there after the machine died; what
//! returned well is there after the process died; nothing is there that was not at least attempted; no id that was
//! taken is new again; the instance id stays; nothing panics and nothing is taken for damage.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use time::OffsetDateTime;

use super::model_fs::{Death, ModelFs, Plan, Random};
use super::testing::{NOW, body, id, order};
use super::*;

/// How far an order came, as the model sees it. The number in `Started` is that of the steps done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Absent,
    Received,
    Claimed,
    Started(usize),
    Done,
    Parked,
    Closed,
}

/// The life of one order: where it has been, and which of these points it cannot fall behind.
struct Life {
    points: Vec<Point>,
    /// The point that the memory of the journal is at, as an index into `points`.
    memory: usize,
    /// Not lost when the process dies.
    written: usize,
    /// Not lost when the machine dies.
    synced: usize,
    order: Verified,
}

impl Life {
    fn now(&self) -> Point {
        self.points[self.memory]
    }

    fn body(&self) -> ResultBody {
        body(&format!("{{\"result of\":\"{}\"}}", self.order.id()))
    }
}

struct Model {
    fs: ModelFs,
    journal: Option<Journal<ModelFs>>,
    random: Random,
    lives: BTreeMap<String, Life>,
    /// The versions of the settings that were tried, and the indices as in `Life`.
    versions: Vec<u64>,
    version_memory: usize,
    version_synced: usize,
    instance_id: Option<String>,
    is_instance_promised: bool,
    context: String,
}

fn step(number: usize) -> String {
    format!("{{\"step\":{number}}}")
}

impl Model {
    fn new(seed: u64, context: String) -> Self {
        Self {
            fs: ModelFs::new(seed ^ 0xf5),
            journal: None,
            random: Random(seed),
            lives: BTreeMap::new(),
            versions: vec![0],
            version_memory: 0,
            version_synced: 0,
            instance_id: None,
            is_instance_promised: false,
            context,
        }
    }

    /// Opens the journal and compares all it recovers with what was promised to this kind of death.
    fn open(&mut self, after: Death) {
        let opened = Journal::open(Path::new("/state"), self.fs.clone(), NOW);
        let (journal, recovered) = match opened {
            Ok(opened) => opened,
            Err(JournalError::Unusable(_)) => return,
            Err(error) => panic!("{}: {error}", self.context),
        };
        let context = &self.context;
        assert!(
            !matches!(recovered.beginning, Beginning::Damaged { .. }),
            "{context}"
        );

        let mut found: BTreeMap<String, Point> = BTreeMap::new();
        for unfinished in recovered.unfinished {
            let name = unfinished.envelope.id().to_string();
            assert_eq!(
                &unfinished.envelope,
                self.lives[&name].order.envelope(),
                "{context}"
            );
            let point = match unfinished.stage {
                Stage::Received => Point::Received,
                Stage::Claimed => Point::Claimed,
                Stage::Started { steps, .. } => {
                    let expected: Vec<_> = (0..steps.len()).map(step).collect();
                    assert_eq!(steps, expected, "{context}");
                    Point::Started(steps.len())
                }
            };
            found.insert(name, point);
        }
        let unsent = journal.unsent().map(|it| (it, Point::Done));
        let parked = journal.in_parking().map(|it| (it, Point::Parked));
        for ((id, body), point) in unsent.chain(parked) {
            assert_eq!(*body, self.lives[id.as_str()].body(), "{context}");
            assert_eq!(found.insert(id.to_string(), point), None, "{context}");
        }

        let has_fault = journal.fault().is_some();
        for (name, life) in &mut self.lives {
            let least = if after == Death::Machine {
                life.synced
            } else {
                life.written
            };
            let point = found.remove(name).unwrap_or(Point::Absent);
            let is_it = |at: &Point| *at == point || (point, *at) == (Point::Absent, Point::Closed);
            let n = (least..life.points.len()).find(|n| is_it(&life.points[*n]));
            let Some(n) = n else {
                panic!(
                    "{context}: {name} is {point:?}, promised was {:?} of {:?}",
                    least, life.points
                )
            };
            let seen = journal.seen(&life.order);
            let must_be_known = point != Point::Absent || least > 0;
            assert!(
                !must_be_known || seen == Seen::Duplicate,
                "{context}: {name} is not known"
            );
            // Absent can mean that it never came, or that it is over; the memory of ids tells.
            let n = if point == Point::Absent && seen == Seen::Duplicate {
                let over = life.points.iter().rposition(|at| *at == Point::Closed);
                over.unwrap_or_else(|| panic!("{context}: {name} is known and not there"))
            } else {
                n
            };
            life.points.truncate(n + 1);
            life.memory = n;
            life.written = n;
            life.synced = if has_fault { life.synced.min(n) } else { n };
        }
        assert!(found.is_empty(), "{context}: invented {found:?}");

        let (version, _) = journal.config();
        let n = self.versions.iter().rposition(|tried| *tried == version);
        let n = n.unwrap_or_else(|| panic!("{context}: version {version} was never tried"));
        assert!(n >= self.version_synced, "{context}: version {version}");
        self.versions.truncate(n + 1);
        self.version_memory = n;
        self.version_synced = if has_fault {
            self.version_synced.min(n)
        } else {
            n
        };

        if self.is_instance_promised {
            assert_eq!(
                self.instance_id.as_deref(),
                Some(journal.instance_id()),
                "{context}"
            );
        }
        self.instance_id = Some(journal.instance_id().to_owned());
        self.is_instance_promised |= !has_fault;
        self.journal = Some(journal);
    }

    /// The end of a life, and the next one.
    fn die(&mut self, death: Death) {
        self.journal = None;
        self.fs.die(death);
        self.open(death);
        assert!(
            self.journal.is_some(),
            "{}: not open though nothing fails",
            self.context
        );
    }

    /// One random call that makes sense.
    fn call(&mut self) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let open: Vec<String> = self
            .lives
            .iter()
            .filter(|(_, life)| !matches!(life.now(), Point::Absent | Point::Closed))
            .map(|(name, _)| name.clone())
            .collect();
        let choice = self.random.below(12);
        match choice {
            0 => {
                let was_at_fault = journal.fault().is_some();
                if journal.maintain(NOW).is_ok() && was_at_fault {
                    self.all_is_synced();
                }
            }
            1 => {
                let version = self.versions[self.version_memory] + 1;
                self.versions.truncate(self.version_memory + 1);
                self.versions.push(version);
                let settings = format!("{{\"batch_size\":{version}}}");
                match journal.set_config(version, &settings) {
                    Ok(()) => {
                        self.version_memory += 1;
                        self.version_synced = self.version_memory;
                        assert_eq!(journal.config(), (version, Some(settings.as_str())));
                        self.what_is_written_is_synced();
                    }
                    Err(JournalError::NotWritten(_)) => (),
                    Err(error) => panic!("{}: {error}", self.context),
                }
            }
            2..=4 => self.take_one(),
            _ if open.is_empty() => self.take_one(),
            _ => {
                let name = open[self.random.below(open.len())].clone();
                self.advance(&name);
            }
        }
    }

    fn take_one(&mut self) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let name = format!("act_{}", self.lives.len());
        let order = order(&name, "worker-7");
        assert_eq!(journal.seen(&order), Seen::New);
        let result = journal.received(&order);
        let is_taken = result.is_ok();
        assert!(
            matches!(result, Ok(()) | Err(JournalError::NotWritten(_))),
            "{}",
            self.context
        );
        assert_eq!(
            journal.seen(&order),
            if is_taken { Seen::Duplicate } else { Seen::New }
        );
        let n = usize::from(is_taken);
        let points = vec![Point::Absent, Point::Received];
        self.lives.insert(
            name,
            Life {
                points,
                memory: n,
                written: n,
                synced: 0,
                order,
            },
        );
    }

    fn advance(&mut self, name: &str) {
        let (Some(journal), Some(life)) = (&mut self.journal, self.lives.get_mut(name)) else {
            return;
        };
        let id = id(name);
        let coin = self.random.below(3);
        let (next, is_synced, result) = match life.now() {
            Point::Received if coin == 0 => (Point::Closed, false, journal.dropped(&id)),
            Point::Received => (Point::Claimed, true, journal.claimed(&id)),
            Point::Claimed if coin == 0 => (Point::Done, true, journal.done(&id, &life.body())),
            Point::Claimed => (
                Point::Started(0),
                true,
                journal.started(&id, OffsetDateTime::UNIX_EPOCH),
            ),
            Point::Started(n) if coin > 0 => {
                (Point::Started(n + 1), true, journal.step(&id, &step(n)))
            }
            Point::Started(_) => (Point::Done, true, journal.done(&id, &life.body())),
            Point::Done if coin == 0 => (Point::Parked, false, journal.parked(&id)),
            Point::Done | Point::Parked => (Point::Closed, false, journal.reported(&id)),
            Point::Absent | Point::Closed => return,
        };
        life.points.truncate(life.memory + 1);
        life.points.push(next);
        life.memory += 1;
        match result {
            Ok(()) => {
                life.written = life.memory;
                if is_synced {
                    self.what_is_written_is_synced();
                }
            }
            Err(JournalError::NotWritten(_)) => (),
            Err(error) => panic!("{}: {error}", self.context),
        }
    }

    /// One file: what was written before a synced line is synced with it.
    fn what_is_written_is_synced(&mut self) {
        for life in self.lives.values_mut() {
            life.synced = life.written;
        }
    }

    /// After a repair the disk has what the memory has.
    fn all_is_synced(&mut self) {
        for life in self.lives.values_mut() {
            life.points.truncate(life.memory + 1);
            life.written = life.memory;
            life.synced = life.memory;
        }
        self.versions.truncate(self.version_memory + 1);
        self.version_synced = self.version_memory;
        self.is_instance_promised = true;
    }

    /// Calls until the plan strikes, or so many.
    fn run(&mut self, n_calls: usize) {
        for _ in 0..n_calls {
            if self.fs.is_dead() {
                return;
            }
            self.call();
        }
    }
}

const N_CALLS: usize = 60;
const N_SEEDS: u64 = 20;

/// How many operations on files a run without any failure takes.
fn n_operations(seed: u64) -> usize {
    let mut model = Model::new(seed, format!("seed {seed}"));
    model.open(Death::Process);
    model.run(N_CALLS);
    let n_operations = model.fs.n_operations();
    model.die(Death::Machine);
    n_operations
}

#[test]
fn a_death_at_every_operation() {
    for seed in 0..N_SEEDS {
        for at in 0..n_operations(seed) {
            for death in [Death::Process, Death::Machine] {
                let context = format!("seed {seed}, {death:?} dies at {at}");
                let mut model = Model::new(seed, context);
                model.fs.plan(Plan::DieAt(at));
                model.open(Death::Process);
                model.run(N_CALLS);
                assert!(model.fs.is_dead(), "{}: it did not", model.context);
                model.die(death);
                // The next life works as well as the first, and so does the one after it.
                model.run(N_CALLS / 2);
                model.die(Death::Machine);
            }
        }
    }
}

#[test]
fn a_death_while_recovering_from_a_death() {
    for seed in 100..100 + N_SEEDS {
        for at in 0..12 {
            let context = format!("seed {seed}, the machine dies again at {at}");
            let mut model = Model::new(seed, context);
            model.open(Death::Process);
            model.run(N_CALLS);
            model.journal = None;
            model.fs.die(Death::Machine);
            model.fs.plan(Plan::DieAt(at));
            model.open(Death::Machine);
            model.run(5);
            model.die(Death::Machine);
            model.run(N_CALLS / 2);
            model.die(Death::Process);
        }
    }
}

#[test]
fn a_failure_at_every_operation() {
    let kinds = [
        io::ErrorKind::StorageFull,
        io::ErrorKind::ReadOnlyFilesystem,
        io::ErrorKind::Other,
    ];
    for seed in 200..208 {
        for from in 0..n_operations(seed) {
            for (count, death) in [
                (1, Death::Machine),
                (4, Death::Process),
                (9, Death::Machine),
                (usize::MAX, Death::Machine),
            ] {
                let kind = kinds[from % kinds.len()];
                let context = format!("seed {seed}, {count} times {kind:?} from {from}");
                let mut model = Model::new(seed, context);
                model.fs.plan(Plan::Fail { from, count, kind });
                model.open(Death::Process);
                model.run(N_CALLS);
                if count > 1 {
                    // While it lasts, the journal says so, takes nothing, and keeps what it knows.
                    if let Some(journal) = &model.journal
                        && let Some(fault) = journal.fault()
                    {
                        assert_eq!(fault.kind(), kind, "{}", model.context);
                        let refused = journal.may_claim();
                        assert!(matches!(refused, Err(JournalError::NotWritten(_))));
                    }
                }
                model.die(death);
                model.run(N_CALLS / 2);
                model.die(Death::Machine);
            }
        }
    }
}

#[test]
fn a_repair_saves_what_the_memory_had() {
    for seed in 300..300 + N_SEEDS {
        for from in 0..n_operations(seed) {
            let mut model = Model::new(seed, format!("seed {seed}, failures from {from}"));
            model.open(Death::Process);
            let kind = io::ErrorKind::StorageFull;
            model.fs.plan(Plan::Fail {
                from,
                count: usize::MAX,
                kind,
            });
            model.run(N_CALLS);
            model.fs.plan(Plan::Nothing);
            let journal = model.journal.as_mut().expect("open");
            journal.maintain(NOW).expect("nothing fails any more");
            assert_eq!(journal.fault(), None);
            journal.may_claim().expect("repaired");
            if from < N_CALLS / 2 {
                model.all_is_synced();
            }
            model.run(3);
            model.die(Death::Machine);
        }
    }
}
