//! HFI's rule engine as a WebAssembly module without imports, for the control plane.
//!
//! The calling convention, in which texts are UTF-8 JSON in the module's memory:
//!
//! 1. The caller asks [`hfi_alloc`] for room and writes its question there.
//! 2. [`hfi_check`] or [`hfi_explain`] reads it and returns `pointer << 32 | length` of the answer.
//! 3. The caller reads the answer, and gives both rooms back with [`hfi_free`].
//!
//! What the questions and answers look like is said in `hfi_engine::questions`.
#![allow(unsafe_code, reason = "the edge: the other side of these functions is no Rust")]

use hfi_engine::questions::{check_json, explain_json};

/// Room for `len` bytes; 0 when there is none.
#[unsafe(no_mangle)]
#[allow(clippy::slow_vector_initialization)] // `vec!` would abort where there is no memory; this answers null.
pub extern "C" fn hfi_alloc(len: usize) -> usize {
    let mut room = Vec::<u8>::new();
    match room.try_reserve_exact(len) {
        // Zeroed, so that whatever the caller forgets to write is still memory that may be read.
        Ok(()) => {
            room.resize(len, 0);
            give(room)
        }
        Err(_) => 0,
    }
}

/// Gives back what [`hfi_alloc`] or a question returned.
///
/// # Safety
///
/// `pointer` and `len` are exactly those of one room, which is not given back twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hfi_free(pointer: usize, len: usize) {
    if pointer == 0 {
        return;
    }
    // SAFETY: by this function's contract, the slice is one that `give` leaked, with its whole length.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(pointer as *mut u8, len)) });
}

/// Every problem of a policy document.
///
/// # Safety
///
/// `pointer` and `len` are those of a room that the caller holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hfi_check(pointer: usize, len: usize) -> u64 {
    // SAFETY: by this function's contract.
    pack(check_json(unsafe { question(pointer, len) }))
}

/// Which rule decides a request.
///
/// # Safety
///
/// `pointer` and `len` are those of a room that the caller holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hfi_explain(pointer: usize, len: usize) -> u64 {
    // SAFETY: by this function's contract.
    pack(explain_json(unsafe { question(pointer, len) }))
}

/// # Safety
///
/// `pointer` and `len` are those of a room that nobody writes to while the answer is made.
unsafe fn question<'q>(pointer: usize, len: usize) -> &'q [u8] {
    if pointer == 0 {
        return &[];
    }
    // SAFETY: by this function's contract; rooms are initialised when they are made.
    unsafe { std::slice::from_raw_parts(pointer as *const u8, len) }
}

/// Leaks a room to the caller, cut to its length: `hfi_free` is told no other size.
fn give(room: Vec<u8>) -> usize {
    Box::into_raw(room.into_boxed_slice()).cast::<u8>() as usize
}

/// A pointer of this module has 32 bits.
fn pack(answer: Vec<u8>) -> u64 {
    let len = answer.len() as u64;
    (give(answer) as u64) << 32 | len
}
