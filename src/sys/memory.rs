//! Memory given back to the system after a burst.

/// Returns what the calling thread's heap holds free to the operating system.
///
/// mimalloc keeps one heap per thread: each worker calls this for itself, when it has gone quiet.
#[allow(unsafe_code, reason = "a function of the C library behind the allocator")]
pub fn collect() {
    // SAFETY: takes no pointer, may be called from any thread at any time (mimalloc.h), touches only this thread's heap.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
