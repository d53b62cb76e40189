//! Image references, by the grammar that every container runtime reads them with (distribution/reference).

pub mod repository;

use std::fmt;

use serde::Serialize;

use super::members::Text;
use super::names::text_type;

text_type!(
    /// The reference of an image to be set: `[host[:port]/]path[:tag][@algorithm:hex]`.
    ImageReference,
    "an image reference ([host[:port]/]path[:tag][@digest])",
    is_reference
);
text_type!(
    /// The image that a container is said to have now. It need not be a legal reference: replacing an illegal
    /// one is a good reason to set an image.
    CurrentImage,
    "the current image (1 to 1024 printable characters without a space)",
    |text| (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
);

/// The longest name of an image without tag and digest, in bytes.
const MAX_NAME_BYTES: usize = 255;

fn is_reference(text: &str) -> bool {
    let (name, tag, digest) = split(text);
    is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

/// Name, tag and digest of a reference.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    // A colon behind the last slash begins the tag; one before it begins a port.
    let last = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[last..].split_once(':') {
        Some((part, tag)) => (&text[..last + part.len()], Some(tag), digest),
        None => (text, None, digest),
    }
}

fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((host, path)) if is_meant_as_host(host) => {
            if !is_host_and_port(host) {
                return false;
            }
            path
        }
        _ => name,
    };
    name.len() <= MAX_NAME_BYTES && path.split('/').all(is_path_part)
}

/// Whether the first part of a name is a registry; else it is a part of the path on the default one.
fn is_meant_as_host(part: &str) -> bool {
    let is_mark = |byte: u8| byte == b'.' || byte == b':' || byte.is_ascii_uppercase();
    part == "localhost" || part.bytes().any(is_mark)
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        // An IPv6 address stands in brackets.
        Some(Some((address, rest))) => {
            let is_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
            if address.is_empty() || !address.bytes().all(is_address) {
                return false;
            }
            (None, rest)
        }
        Some(None) => return false,
        None => {
            let host = text.split(':').next().unwrap_or(text);
            (Some(host), &text[host.len()..])
        }
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    host.is_none_or(|host| host.split('.').all(is_host_part))
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_digits))
}

fn is_host_part(part: &str) -> bool {
    let bytes = part.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Lower-case letters and digits in runs, between them one dot, one or two underscores or any hyphens.
fn is_path_part(part: &str) -> bool {
    let is_alphanumeric = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    let is_separator =
        |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    part.starts_with(is_alphanumeric)
        && part.ends_with(is_alphanumeric)
        && part.split(is_alphanumeric).all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let is_part = |part: &str| {
        part.starts_with(|char: char| char.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let length = match algorithm {
        "sha256" => 64..=64,
        "sha512" => 128..=128,
        _ => 32..=512,
    };
    algorithm.split(['+', '.', '-', '_']).all(is_part)
        && length.contains(&hex.len())
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_references() {
        let digest = "0123456789abcdef".repeat(4);
        let with_digest = format!("ghcr.io/a/b:v1@sha256:{digest}");
        let longest = "a".repeat(MAX_NAME_BYTES);
        let longest_tag = format!("a:{}", "t".repeat(128));
        for text in [
            "nginx",
            "nginx:1.27",
            "library/nginx",
            "team__x/app_y/z-1.2---3",
            "localhost/app",
            "localhost:5000/app:_T.a-g",
            "registry.example.com:5000/team/app:v1",
            "UPPER.example.com/app",
            "Registry/app",
            "10.0.0.1:80/app",
            "[fd00::1]/app",
            "[fd00::1]:5000/app:v1",
            "a/localhost",
            with_digest.as_str(),
            longest.as_str(),
            longest_tag.as_str(),
        ] {
            assert!(ImageReference::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn illegal_references() {
        let short_digest = format!("a@sha256:{}", "0".repeat(63));
        let no_hex = format!("a@sha256:{}", "g".repeat(64));
        let no_algorithm = format!("a@:{}", "0".repeat(64));
        let odd_algorithm = format!("a@-x:{}", "0".repeat(64));
        let two_digests = format!("a@sha256:{0}@sha256:{0}", "0".repeat(64));
        let too_long = "a".repeat(MAX_NAME_BYTES + 1);
        let too_long_tag = format!("a:{}", "t".repeat(129));
        for text in [
            "",
            " ",
            "nginx ",
            "Nginx",
            "nginx:",
            ":v1",
            "nginx:v1:v2",
            "nginx:.v1",
            "nginx:-v1",
            "nginx:v/1",
            "nginx@",
            "nginx@sha256",
            "/nginx",
            "nginx/",
            "a//b",
            "a..b",
            "a___b",
            "a_-b",
            "a/_b",
            "a/b-",
            "a/B",
            "example.com:/a",
            "example.com:port/a",
            "example.com:1:2/a",
            "-example.com/a",
            "example..com/a",
            "[fd00::1/a",
            "[]/a",
            "[::1]x/a",
            "[zz]:1/a",
            "https://example.com/a",
            "../a",
            "a/../b",
            "é",
            "a\nb",
            short_digest.as_str(),
            no_hex.as_str(),
            no_algorithm.as_str(),
            odd_algorithm.as_str(),
            two_digests.as_str(),
            too_long.as_str(),
            too_long_tag.as_str(),
        ] {
            assert!(ImageReference::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_current_image_may_be_illegal_but_not_unprintable() {
        for text in ["Nginx:latest", "a", "a:b:c", "???"] {
            assert!(CurrentImage::parse(text).is_some(), "{text}");
        }
        for text in ["", " ", "a b", "a\n", "é", &"a".repeat(1025)] {
            assert!(CurrentImage::parse(text).is_none(), "{text}");
        }
    }
}
