//! Files in memory that forget what real ones may forget: when the machine dies, all that was not synced may be
//! there, or a part of it, or with a hole in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::fs::Fs;

/// A small generator of random numbers (`SplitMix64`), so that every failure can be repeated by its seed.
#[derive(Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % n
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// What goes wrong, counted in operations that change something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    Nothing,
    /// The machine or the process dies at this operation: before, in the middle of, or after it.
    DieAt(usize),
    /// So many operations fail from this one on.
    Fail {
        from: usize,
        count: usize,
        kind: io::ErrorKind,
    },
}

/// What ended the last life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Of the process: the kernel still writes what it has.
    Process,
    /// Of the machine: only what was synced is sure.
    Machine,
}

#[derive(Clone)]
pub(super) struct ModelFs(Rc<RefCell<World>>);

struct World {
    random: Random,
    plan: Plan,
    n_operations: usize,
    is_dead: bool,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    /// The names as the disk has them, and the changes that it does not have for certain.
    synced_names: BTreeMap<String, usize>,
    unsynced: Vec<NameChange>,
}

#[derive(Clone)]
enum NameChange {
    Add(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Default)]
struct File {
    content: Vec<u8>,
    /// How much of it the disk has.
    synced: usize,
    /// After a failed sync the kernel drops what it could not write, and later syncs lie.
    is_lying: bool,
}

enum Fate {
    Happens,
    /// It fails, having happened wholly or in part or not at all.
    Fails(io::Error),
}

impl ModelFs {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(World {
            random: Random(seed),
            plan: Plan::Nothing,
            n_operations: 0,
            is_dead: false,
            files: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            unsynced: Vec::new(),
        })))
    }

    /// Sets what goes wrong from here on, and counts from zero again.
    pub(super) fn plan(&self, plan: Plan) {
        let mut world = self.0.borrow_mut();
        world.plan = plan;
        world.n_operations = 0;
    }

    pub(super) fn n_operations(&self) -> usize {
        self.0.borrow().n_operations
    }

    pub(super) fn is_dead(&self) -> bool {
        self.0.borrow().is_dead
    }

    /// The end of one life and the beginning of the next, in which nothing goes wrong until planned.
    pub(super) fn die(&self, death: Death) {
        let mut world = self.0.borrow_mut();
        let world = &mut *world;
        world.is_dead = false;
        world.plan = Plan::Nothing;
        if death == Death::Process {
            return;
        }
        for file in &mut world.files {
            let unsynced = file.content.len() - file.synced;
            file.content
                .truncate(file.synced + world.random.below(unsynced + 1));
            let kept = file.content.len() - file.synced;
            if kept > 0 && world.random.below(3) == 0 {
                // A page in the middle was not written.
                let from = file.synced + world.random.below(kept);
                let to = from + 1 + world.random.below(file.content.len() - from);
                file.content[from..to].fill(0);
            }
            file.synced = file.content.len();
        }
        for change in std::mem::take(&mut world.unsynced) {
            if world.random.coin() {
                change.apply(&mut world.synced_names);
            }
        }
        world.names = world.synced_names.clone();
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.borrow().names.keys().cloned().collect()
    }

    /// Does something to the content of a file, as bit rot would.
    pub(super) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.0.borrow_mut();
        let number = world.names[name];
        let file = &mut world.files[number];
        change(&mut file.content);
        file.synced = file.content.len();
    }
}

impl World {
    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    /// Whether the next operation happens. In the middle of a failing one `do_it` may still be called.
    fn fate(&mut self) -> Fate {
        if self.is_dead {
            return Fate::Fails(io::Error::other("dead"));
        }
        let number = self.n_operations;
        self.n_operations += 1;
        match self.plan {
            Plan::DieAt(at) if number == at => {
                self.is_dead = true;
                Fate::Fails(io::Error::other("died"))
            }
            Plan::Fail { from, count, kind }
                if (from..from.saturating_add(count)).contains(&number) =>
            {
                Fate::Fails(kind.into())
            }
            _ => Fate::Happens,
        }
    }

    /// Lets an operation happen, or fail with or without having happened.
    fn attempt<T>(&mut self, operation: impl FnOnce(&mut Self) -> T) -> io::Result<T> {
        let was_dead = self.is_dead;
        match self.fate() {
            Fate::Happens => Ok(operation(self)),
            Fate::Fails(error) => {
                if !was_dead && self.random.coin() {
                    operation(self);
                }
                Err(error)
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .and_then(|name| name.to_str())
        .expect("a name")
        .to_owned()
}

impl Fs for ModelFs {
    type File = usize;
    type Reader = io::Cursor<Vec<u8>>;
    type Lock = ();

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Option<()>> {
        Ok(Some(()))
    }

    fn open(&self, path: &Path) -> io::Result<Option<Self::Reader>> {
        let world = self.0.borrow();
        let content = |number: &usize| io::Cursor::new(world.files[*number].content.clone());
        Ok(world.names.get(&name(path)).map(content))
    }

    fn create(&self, path: &Path) -> io::Result<usize> {
        self.0.borrow_mut().attempt(|world| {
            world.files.push(File::default());
            let number = world.files.len() - 1;
            world.change_name(NameChange::Add(name(path), number));
            number
        })
    }

    fn append(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let was_dead = world.is_dead;
        let (written, result) = match world.fate() {
            Fate::Happens => (bytes.len(), Ok(())),
            Fate::Fails(error) if was_dead => (0, Err(error)),
            Fate::Fails(error) => (world.random.below(bytes.len() + 1), Err(error)),
        };
        world.files[*file].content.extend(&bytes[..written]);
        result
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let number = *file;
        let sync = |world: &mut World| {
            let file = &mut world.files[number];
            if !file.is_lying {
                file.synced = file.content.len();
            }
        };
        let result = world.attempt(sync);
        if result.is_err() {
            world.files[number].is_lying = true;
        }
        result
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let change = NameChange::Rename(name(from), name(to));
        self.0
            .borrow_mut()
            .attempt(|world| world.change_name(change))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let change = NameChange::Remove(name(path));
        self.0
            .borrow_mut()
            .attempt(|world| world.change_name(change))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.0.borrow_mut().attempt(|world| {
            world.synced_names = world.names.clone();
            world.unsynced.clear();
        })
    }
}
