//! Whatever the control plane sends: it is refused, or the image holds the rules that a plain reading finds, each of
//! them, and says of requests what a walk over all of them says.
#![no_main]

use hfi_engine::rules::Rules;
use hfi_engine::snapshot::{Compiler, RuleSet, Snapshot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut compiler = Compiler::default();
    let (compiled, plain) = match (compiler.compile(data), Snapshot::parse(data)) {
        (Ok(compiled), Ok(plain)) => (compiled, plain),
        (Err(one), Err(other)) => return assert_eq!(one, other),
        (one, other) => panic!("{one:?} {other:?}"),
    };
    assert_eq!(compiled.left_out, plain.left_out);
    assert_eq!(compiler.compile(data).as_ref(), Ok(&compiled));
    let set = RuleSet::open(compiled.image, None).expect("what was written can be read");
    assert_eq!((set.version(), set.epoch()), (plain.snapshot.version, &*plain.snapshot.epoch));
    assert_eq!(set.server_time_ms(), plain.snapshot.server_time_ms);
    assert_eq!(set.len(), plain.snapshot.rules.len());
    assert_eq!(set.timed(), plain.snapshot.rules.iter().any(|rule| rule.ends_at_ms.is_some()));
    for places in hfi_fuzz::ask(&set) {
        assert!(places.is_sorted_by(|one, other| one < other));
        assert!(places.last().is_none_or(|last| *last < set.len()));
    }
    for stale in [true, false] {
        assert_eq!(hfi_fuzz::decisions(&set, stale), hfi_fuzz::decisions(&plain.snapshot, stale));
    }
    for (at, rule) in plain.snapshot.rules.iter().enumerate() {
        assert_eq!(set.ends_at_ms(at), rule.ends_at_ms);
        let found = set.rule(at).expect("what can be run by itself can be run out of the image");
        assert_eq!(format!("{found:?}"), format!("{rule:?}"));
    }
});
