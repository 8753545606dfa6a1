//! Whatever the control plane answers: events come out of it, and none of them holds what no event can hold.
#![no_main]

use hfi_engine::sse::events;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for event in events(body) {
        assert!(!event.event.is_empty());
        assert!(!event.event.contains(['\r', '\n']) && !event.id.contains(['\r', '\n', '\0']));
        assert!(!event.data.contains('\r'));
        // What was read and is written again reads the same.
        let data: String = event.data.split('\n').map(|line| format!("data: {line}\n")).collect();
        let again = format!("id: {}\nevent: {}\n{data}\n", event.id, event.event);
        assert_eq!(events(again.as_bytes()), [event]);
    }
});
