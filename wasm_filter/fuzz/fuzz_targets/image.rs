//! Whatever is in shared data: it is refused, or gives rules or none, and traps nothing.
//!
//! Bytes that begin as an image does are taken as one. Others say how to damage a good one: four bytes each, where
//! and with what.
#![no_main]

use std::sync::OnceLock;

use hfi_engine::snapshot::{Compiler, RuleSet};
use libfuzzer_sys::fuzz_target;

static GOOD: OnceLock<Vec<u8>> = OnceLock::new();

fn good() -> Vec<u8> {
    Compiler::default()
        .compile(include_bytes!("../seeds/snapshot/matches.json"))
        .expect("a good snapshot")
        .image
}

fuzz_target!(|data: &[u8]| {
    let mut image = data.to_vec();
    if !data.starts_with(b"HFIS") {
        image.clone_from(GOOD.get_or_init(good));
        for damage in data.chunks_exact(4) {
            let at = usize::from(u16::from_le_bytes([damage[0], damage[1]])) % image.len();
            image[at] = damage[2];
            if damage[3] == 0xee {
                image.truncate(at);
                break;
            }
        }
        if image.is_empty() {
            return;
        }
    }
    if let Some(set) = RuleSet::open(image, None) {
        let _ = (set.version(), set.epoch(), set.timed(), set.ends_at_ms(0));
        hfi_fuzz::ask(&set);
    }
});
