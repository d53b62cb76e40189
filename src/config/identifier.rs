//! CLUSTER_ID and AGENT_ID.

use super::reader::Reader;

/// So many characters at most.
const MOST: usize = 128;

/// `^[A-Za-z0-9._-]{1,128}$` (protocol, conventions): it stands in paths and headers.
pub(super) fn identifier(text: &str) -> Result<String, String> {
    if (1..=MOST).contains(&text.len()) && text.chars().all(is_legal) {
        Ok(text.to_owned())
    } else {
        Err("1 to 128 letters, digits, dots, underscores or hyphens".to_owned())
    }
}

/// The pod's name: what the manifest sets, else the host's name, which a pod's is.
pub(super) fn default_agent_id(reader: &Reader<'_>) -> String {
    let named = ["POD_NAME", "HOSTNAME"]
        .into_iter()
        .find_map(|it| reader.value(it));
    let name = named.or_else(|| {
        reader
            .environment()
            .read("/proc/sys/kernel/hostname".as_ref())
            .ok()
    });
    let name: String = name
        .unwrap_or_default()
        .trim()
        .chars()
        .map(|it| if is_legal(it) { it } else { '-' })
        .take(MOST)
        .collect();
    if name.is_empty() {
        "kubernetes-agent".to_owned()
    } else {
        name
    }
}

/// What an identifier may hold.
fn is_legal(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-')
}
