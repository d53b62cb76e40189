//! The bound of a result's details.

use serde_json::{Map, Value};

/// The longest details, in bytes of JSON (protocol, section 2).
pub(super) const MAX_DETAILS_BYTES: usize = 65_536;

/// Brings details within [`MAX_DETAILS_BYTES`]; true if something had to go.
///
/// Small members are kept before large ones. A list that is too long keeps its start and gains a count of the
/// rest beside it (`pods_left_off`); anything else that is too long goes whole.
pub(super) fn cut(details: Map<String, Value>) -> (Map<String, Value>, bool) {
    let mut members: Vec<(usize, String, Value)> = details
        .into_iter()
        .map(|(name, value)| (size(&value), name, value))
        .collect();
    let whole: usize = members
        .iter()
        .map(|(size, name, _)| size + overhead(name))
        .sum();
    let mut room = MAX_DETAILS_BYTES - "{}".len();
    let is_cut = whole > room;
    members.sort_by_key(|(size, ..)| *size);

    let mut kept = Map::new();
    for (size, name, value) in members {
        if let Some(left) = room.checked_sub(size + overhead(&name)) {
            room = left;
            kept.insert(name, value);
        } else if let Value::Array(list) = value {
            let count_name = format!("{name}_left_off");
            let frame = overhead(&name) + "[]".len() + overhead(&count_name) + MAX_COUNT_BYTES;
            if let Some(left) = room.checked_sub(frame) {
                let (start, n_left_off, bytes) = keep_start(list, left);
                room = left - bytes;
                kept.insert(name, start.into());
                kept.insert(count_name, n_left_off.into());
            }
        }
    }
    (kept, is_cut)
}

/// As many digits has the longest count.
const MAX_COUNT_BYTES: usize = 20;

/// The start of a list that fits into so many bytes of JSON, how many elements were left off, and its bytes.
fn keep_start(mut list: Vec<Value>, room: usize) -> (Vec<Value>, usize, usize) {
    let mut bytes = 0;
    let mut n_kept = 0;
    for element in &list {
        let with_it = bytes + size(element) + ",".len();
        if with_it > room {
            break;
        }
        bytes = with_it;
        n_kept += 1;
    }
    let n_left_off = list.len() - n_kept;
    list.truncate(n_kept);
    (list, n_left_off, bytes)
}

/// What a member of that name takes beside its value: the quoted name, a colon and a comma.
fn overhead(name: &str) -> usize {
    size(&name.into()) + ":,".len()
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn many_small_members_end_within_the_bound_too() {
        let many = (0..20_000)
            .map(|n| (format!("m{n}"), Value::Null))
            .collect();
        let (cut, is_cut) = cut(many);
        assert!(is_cut);
        assert!(json!(cut).to_string().len() <= MAX_DETAILS_BYTES);
    }
}
