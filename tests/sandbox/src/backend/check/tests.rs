//! What is noted of a message, and where.

use serde_json::json;

use super::*;

const WORD: Rule = Rule {
    expected: "a word",
    holds: |text| !text.is_empty(),
};

#[test]
fn names_the_place_of_every_fault() {
    let value = json!({"a": "", "n": -1, "o": {"x": 1}, "l": [{"b": "yes"}, 3], "extra": 1});
    let faults = Faults::default();
    let members = Members::of(&value, &Place::Root, &faults).unwrap();
    members.text("a", &WORD);
    members.text("gone", &WORD);
    members.integer("n", 0);
    members.object("o", |inner| inner.only(&["y"]));
    members.items("l", 3, 4, |item, place, faults| {
        if let Some(item) = Members::of(item, place, faults) {
            item.boolean("b");
        }
    });
    members.only(&["a", "n", "o", "l"]);
    assert_eq!(
        faults.into_list(),
        [
            r#"a: expected a word, got """#,
            "gone: missing",
            "n: expected an integer of at least 0, got -1",
            "o.x: not a member of this object",
            "l: expected 3 to 4 items, got 2",
            r#"l[0].b: expected true or false, got "yes""#,
            "l[1]: expected an object",
            "extra: not a member of this object",
        ]
    );
}

#[test]
fn null_is_not_missing() {
    let value = json!({"a": null});
    let faults = Faults::default();
    let members = Members::of(&value, &Place::Root, &faults).unwrap();
    assert_eq!(members.nullable_text("a", &WORD), None);
    assert_eq!(members.optional_text("b", &WORD), None);
    assert_eq!(members.nullable_signed("a"), None);
    assert!(faults.into_list().is_empty());
}

#[test]
fn shows_little_of_a_large_value() {
    assert!(shown(&json!("é".repeat(200))).len() <= 80);
}
