//! Whatever the control plane sends: it is refused, or the image holds the rules that a plain reading finds.
#![no_main]

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
    assert_eq!(set.len(), plain.snapshot.rules.len());
    for places in hfi_fuzz::ask(&set) {
        assert!(places.is_sorted_by(|one, other| one < other));
        assert!(places.last().is_none_or(|last| *last < set.len()));
    }
});
