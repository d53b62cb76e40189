//! The contract's examples of frames (`src/backend/openapi.yaml`) are what this side takes.

use serde_json::Value;

use crate::backend::websocket::frames;

#[test]
fn has_examples_that_are_taken() {
    let text = include_str!("../../../../../../src/backend/openapi.yaml");
    let contract: Value = serde_saphyr::from_str(text).unwrap();
    let schemas = &contract["components"]["schemas"];
    let mut types = Vec::new();
    for schema in schemas["AgentFrame"]["oneOf"].as_array().unwrap() {
        let name = schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        for example in schemas[name]["examples"].as_array().unwrap() {
            let kind = example["type"].as_str().unwrap();
            let taken = match kind {
                "hello" => frames::hello(example).map(drop),
                _ => frames::frame(example).map(|frame| drop(frame.unwrap())),
            };
            assert_eq!(taken, Ok(()), "{example}");
            types.push(kind);
        }
    }
    types.dedup();
    let expected = [
        "hello",
        "received",
        "progress",
        "result",
        "config_status",
        "event",
        "gap",
    ];
    assert_eq!(types, expected);
}
