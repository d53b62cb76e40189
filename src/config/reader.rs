//! Reads single settings, collecting what is wrong with them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::key_file::Key;
use crate::secret::Secret;

/// Where settings come from; the process' environment and files, or a test's.
pub trait Environment {
    /// The variable `name`.
    fn get(&self, name: &str) -> Option<String>;
    /// The text of the file at `path`.
    fn read(&self, path: &Path) -> io::Result<String>;
}

/// The environment of this process.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// What is wrong with one setting: its name, its value unless that is secret, and what was expected.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads settings and remembers the faults.
pub struct Reader<'a> {
    environment: &'a dyn Environment,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    /// Nothing read yet.
    pub fn new(environment: &'a dyn Environment) -> Self {
        Self {
            environment,
            faults: Vec::new(),
        }
    }

    /// Where it reads from.
    pub fn environment(&self) -> &'a dyn Environment {
        self.environment
    }

    /// All that was found wrong.
    pub fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Remembers a fault.
    pub fn fault(&mut self, text: String) {
        self.faults.push(Fault(text));
    }

    /// The variable's text; an empty one counts as not set, since a manifest cannot unset.
    pub fn value(&self, name: &str) -> Option<String> {
        self.environment
            .get(name)
            .map(|it| it.trim().to_owned())
            .filter(|it| !it.is_empty())
    }

    /// A setting that must be there. `parse` returns what was expected where it is not.
    pub fn required<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.value(name) {
            Some(text) => self.parsed(name, &text, parse),
            None => {
                self.fault(format!("{name}: not set; it is required"));
                None
            }
        }
    }

    /// A setting with a default.
    pub fn optional<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.value(name) {
            Some(text) => self.parsed(name, &text, parse),
            None => Some(default),
        }
    }

    /// A setting whose default is wide: a variable that is there says something, or it is a fault. Who leaves it
    /// empty may mean nothing at all by it.
    pub fn bound<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.environment.get(name) {
            Some(text) => self.parsed(name, text.trim(), parse),
            None => Some(default),
        }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                // What stands before an @ in a URL may be a password.
                let shown = if text.contains('@') {
                    "a text with credentials".to_owned()
                } else {
                    format!("{text:?}")
                };
                self.fault(format!("{name}: expected {expected}, got {shown}"));
                None
            }
        }
    }

    /// The text of a file that a setting names; the outer option tells a fault, the inner one whether it is set.
    pub fn file<T>(
        &mut self,
        name: &str,
        parse: impl Fn(String) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let Some(path) = self.value(name) else {
            return Some(None);
        };
        let text = match self.environment.read(path.as_ref()) {
            Ok(text) => text,
            Err(err) => {
                self.fault(format!("{name}: failed to read {path:?}: {err}"));
                return None;
            }
        };
        match parse(text) {
            Ok(value) => Some(Some(value)),
            Err(expected) => {
                self.fault(format!("{name}: expected {expected}, got {path:?}"));
                None
            }
        }
    }

    /// A secret that need not be there; the outer option tells a fault, the inner one whether it is set.
    pub fn optional_key(
        &mut self,
        name: &str,
        file: &str,
        check: fn(&Secret) -> Result<(), String>,
    ) -> Option<Option<Key>> {
        if self.value(name).is_none() && self.value(file).is_none() {
            return Some(None);
        }
        self.key(name, file, check).map(Some)
    }

    /// A secret, from the variable `name` or from the file that the variable `file` names. Neither it nor its
    /// length beyond what `check` says ever stands in a fault.
    pub fn key(
        &mut self,
        name: &str,
        file: &str,
        check: fn(&Secret) -> Result<(), String>,
    ) -> Option<Key> {
        let path = self.value(file).map(PathBuf::from);
        let (source, secret) = match (path, self.value(name)) {
            (Some(path), _) => match self.environment.read(&path) {
                Ok(text) => (Some(path), Secret::new(text)),
                Err(err) => {
                    self.fault(format!("{file}: failed to read {}: {err}", path.display()));
                    return None;
                }
            },
            (None, Some(text)) => (None, Secret::new(text)),
            (None, None) => {
                self.fault(format!("{name}: not set; it is required, or {file}"));
                return None;
            }
        };
        if let Err(expected) = check(&secret) {
            self.fault(match &source {
                Some(path) => format!("{file}: expected {expected} (in {})", path.display()),
                None => format!("{name}: expected {expected}"),
            });
            return None;
        }
        Some(Key::new(secret, source, check))
    }
}

/// An environment made by a test.
#[cfg(test)]
pub mod testing {
    use super::*;
    use std::collections::HashMap;

    /// Variables and files held in memory.
    #[derive(Default, Clone)]
    pub struct Fake {
        variables: HashMap<String, String>,
        files: HashMap<PathBuf, String>,
    }

    impl Fake {
        /// With these variables.
        pub fn new(variables: &[(&str, &str)]) -> Self {
            variables
                .iter()
                .fold(Self::default(), |it, (name, value)| it.with(name, value))
        }

        /// With everything that the agent must be told, and nothing that has a default but the name of the pod.
        pub fn complete() -> Self {
            Self::new(&[
                ("BACKEND_URL", "https://backend.example/base/"),
                ("BACKEND_WS_URL", "wss://backend.example/ws"),
                ("API_KEY", "an-api-key"),
                ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
                ("CLUSTER_ID", "prod-eu-1"),
                ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
                ("KUBERNETES_SERVICE_PORT", "443"),
                ("POD_NAME", "agent-0"),
            ])
        }

        /// With one more variable.
        #[must_use]
        pub fn with(mut self, name: &str, value: &str) -> Self {
            self.variables.insert(name.to_owned(), value.to_owned());
            self
        }

        /// Without a variable.
        #[must_use]
        pub fn without(mut self, name: &str) -> Self {
            self.variables.remove(name);
            self
        }

        /// With one more file.
        #[must_use]
        pub fn file(mut self, path: &str, text: &str) -> Self {
            self.files.insert(path.into(), text.to_owned());
            self
        }
    }

    impl Environment for Fake {
        fn get(&self, name: &str) -> Option<String> {
            self.variables.get(name).cloned()
        }

        fn read(&self, path: &Path) -> io::Result<String> {
            self.files
                .get(path)
                .cloned()
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }
}
