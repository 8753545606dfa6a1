//! Memory that the host asks for, and what it has written there.
#![expect(unsafe_code, reason = "memory passes between the host and the module")]

use std::ptr::null_mut;

/// The host is about to write so many bytes.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

/// What the host wrote through the two pointers that `ask` is given. `None` when its status says that there is
/// nothing, and for an empty value, for which it allocates nothing, an empty one.
pub(super) fn written(ask: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut length) = (null_mut(), 0);
    if ask(&raw mut data, &raw mut length) != 0 {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host had these bytes of `proxy_on_memory_allocate`, which is a boxed slice of that length, has
    // filled them, and leaves them to us.
    Some(unsafe { Vec::from_raw_parts(data, length, length) })
}
