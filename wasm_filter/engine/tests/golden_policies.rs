//! The golden set: what the control plane's models and the engine must judge alike.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

fn golden(folder: &str) -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/policies").join(folder);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.display().to_string(), serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()))
        .collect();
    found.sort_by(|left, right| left.0.cmp(&right.0));
    assert!(found.len() > 10, "{} holds too little", folder.display());
    found
}

#[test]
fn valid_policies_have_no_problem() {
    for (name, document) in golden("valid") {
        assert_eq!(hfi_engine::policy::check(&document), [], "{name}");
    }
}

#[test]
fn invalid_policies_have_exactly_their_problems() {
    for (name, case) in golden("invalid") {
        let problems = hfi_engine::policy::check(&case["document"]);
        let mut found: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        let mut wanted: Vec<_> =
            case["problems"].as_array().unwrap().iter().map(|pointer| pointer.as_str().unwrap()).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{name}: {problems:?}");
        assert!(problems.iter().all(|problem| !problem.detail.is_empty()), "{name}");
    }
}
