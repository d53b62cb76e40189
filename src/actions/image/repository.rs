//! Where an image is pulled from, and which registries that may be.

use std::borrow::Cow;
use std::fmt;

use super::{ImageReference, is_host_and_port, is_meant_as_host, is_path_part, split};

/// The registry of images that name none, and the folder there of those that name no folder either.
const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_FOLDER: &str = "library";
/// Another name that the default registry has.
const DEFAULT_HOST_OF_OLD: &str = "index.docker.io";

impl ImageReference {
    /// Where the image is pulled from.
    pub fn repository(&self) -> Repository<'_> {
        let (name, ..) = split(self.as_str());
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if is_meant_as_host(host) => (host, path),
            _ => (DEFAULT_HOST, name),
        };
        let host = canonical_host(host);
        let path = if host == DEFAULT_HOST && !path.contains('/') {
            format!("{DEFAULT_FOLDER}/{path}").into()
        } else {
            path.into()
        };
        Repository { host, path }
    }

    /// Whether it can mean one image only, now and later: a tag can be moved, a digest cannot.
    pub fn is_pinned(&self) -> bool {
        let (.., digest) = split(self.as_str());
        digest.is_some_and(|it| it.starts_with("sha256:"))
    }
}

/// Where an image is, with what the container runtimes fill in where the reference is short: `nginx` is
/// `docker.io/library/nginx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository<'a> {
    /// The registry and its port, in lower case: a host's name has none.
    pub host: String,
    /// What follows, without tag and digest.
    pub path: Cow<'a, str>,
}

impl fmt::Display for Repository<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host == DEFAULT_HOST_OF_OLD {
        DEFAULT_HOST.to_owned()
    } else {
        host
    }
}

/// A registry, or a folder of one with all that is below: `host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registry {
    host: String,
    path: Box<str>,
}

impl Registry {
    /// Reads one. A word that no reference would read as a host is none: whoever writes `team` may mean a folder of
    /// the default registry, which is `docker.io/team`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text, None),
        };
        let is_legal = is_meant_as_host(host)
            && is_host_and_port(host)
            && path.is_none_or(|it| it.split('/').all(is_path_part));
        is_legal.then(|| Self {
            host: canonical_host(host),
            path: path.unwrap_or_default().into(),
        })
    }

    /// Whether it has that repository.
    pub fn has(&self, repository: &Repository<'_>) -> bool {
        let below = repository.path.strip_prefix(&*self.path);
        self.host == repository.host
            && (self.path.is_empty()
                || below.is_some_and(|it| it.is_empty() || it.starts_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::members::Text as _;

    fn reference(text: &str) -> ImageReference {
        ImageReference::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn a_short_reference_is_of_the_default_registry() {
        for (text, expected) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx"),
            ("team/app", "docker.io/team/app"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("docker.io/team/app:1", "docker.io/team/app"),
            ("index.docker.io/nginx", "docker.io/library/nginx"),
            ("Docker.IO/nginx", "docker.io/library/nginx"),
            ("localhost/app", "localhost/app"),
            ("registry:5000/app:1", "registry:5000/app"),
            ("Registry/app", "registry/app"),
            ("ghcr.io/a/b/c", "ghcr.io/a/b/c"),
            ("[fd00::A]:5000/app", "[fd00::a]:5000/app"),
        ] {
            assert_eq!(reference(text).repository().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_registry_has_what_is_below_it_segment_by_segment() {
        for (registry, image, expected) in [
            ("registry.example", "registry.example/app:1", true),
            ("registry.example", "registry.example/team/app", true),
            ("registry.example", "REGISTRY.example/app", true),
            ("REGISTRY.example", "registry.example/app", true),
            ("registry.example", "registry.example:5000/app", false),
            ("registry.example:5000", "registry.example/app", false),
            ("registry.example:5000", "registry.example:5000/app:1", true),
            ("registry.example", "registry.example.evil.io/app", false),
            ("registry.example", "evil.io/registry.example/app", false),
            ("registry.example", "a.registry.example/app", false),
            ("registry.example/team", "registry.example/team/app", true),
            ("registry.example/team", "registry.example/team/a/b", true),
            ("registry.example/team", "registry.example/team:1", true),
            (
                "registry.example/team",
                "registry.example/team-x/app",
                false,
            ),
            ("registry.example/team", "registry.example/teamx", false),
            (
                "registry.example/team",
                "registry.example/a/team/app",
                false,
            ),
            ("registry.example/team/a", "registry.example/team", false),
            ("docker.io", "nginx", true),
            ("docker.io", "team/app", true),
            ("index.docker.io", "nginx", true),
            ("docker.io/library", "nginx:1", true),
            ("docker.io/library", "docker.io/nginx", true),
            ("docker.io/library", "library/nginx", true),
            ("docker.io/library", "team/app", false),
            ("docker.io/team", "team/app", true),
            ("localhost", "localhost/app", true),
            ("localhost", "app", false),
        ] {
            let it = Registry::parse(registry).unwrap_or_else(|| panic!("{registry}"));
            let has = it.has(&reference(image).repository());
            assert_eq!(has, expected, "{registry} {image}");
        }
    }

    #[test]
    fn what_is_no_registry() {
        for text in [
            "",
            "none",
            "team",
            "team/app",
            "registry.example/",
            "registry.example//a",
            "registry.example/Team",
            "registry.example/team:1",
            "registry.example:port",
            "https://registry.example",
            "*.registry.example",
            "registry.example/*",
            "-x.example",
            ".",
        ] {
            assert_eq!(Registry::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_digest_pins_and_a_tag_does_not() {
        let digest = "0123456789abcdef".repeat(4);
        for (text, expected) in [
            (format!("nginx@sha256:{digest}"), true),
            (format!("a.example:5000/b:v1@sha256:{digest}"), true),
            (format!("nginx:{digest}"), false),
            ("nginx:sha256".to_owned(), false),
            ("nginx".to_owned(), false),
            (format!("nginx@md5:{digest}"), false),
        ] {
            assert_eq!(reference(&text).is_pinned(), expected, "{text}");
        }
    }
}
