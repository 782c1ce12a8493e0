//! The environment: read once, secrets removed.
//!
//! Promises: a variable is removed only while the process has one thread.

use std::ffi::{CString, c_char};
use std::fs;

/// Every variable whose name and value are UTF-8, in the order of the environment.
#[must_use]
pub fn snapshot() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Removes variables from this process, so that no child and no reader of a crash dump finds them.
///
/// Returns whether it was done: with a second thread running, `getenv` of another library could read
/// freed memory, so nothing is removed then. Call it at the start of `main`.
#[allow(
    unsafe_code,
    reason = "changing the environment is unsafe; the thread count makes it sound"
)]
pub fn remove<I, S>(names: I) -> bool
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    if !single_threaded() {
        return false;
    }
    for name in names {
        let name = name.as_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            continue; // no variable has such a name, and `remove_var` would panic
        }
        // SAFETY: the only thread of the process is this one, and it is here: nobody else reads the environment.
        unsafe {
            wipe(name);
            std::env::remove_var(name);
        }
    }
    true
}

/// Overwrites a value where it lies: removing a variable only takes it off the list, and the kernel goes on showing
/// the bytes that the process was started with (proc(5), `/proc/PID/environ`).
///
/// # Safety
/// No other thread reads or changes the environment.
#[allow(unsafe_code, reason = "std hands out copies of values; only getenv(3) says where they are")]
unsafe fn wipe(name: &str) {
    unsafe extern "C" {
        fn getenv(name: *const c_char) -> *mut c_char;
        fn strlen(text: *const c_char) -> usize;
    }
    let Ok(name) = CString::new(name) else { return };
    // SAFETY: the name ends with NUL; a value that was found ends with NUL and is this process's to write (environ(7)).
    unsafe {
        let value = getenv(name.as_ptr());
        if !value.is_null() {
            std::ptr::write_bytes(value, 0, strlen(value));
        }
    }
}

/// Whether the kernel knows exactly one thread of this process. Where it cannot be read the answer is no.
fn single_threaded() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_while_other_threads_run() {
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert!(!remove(["PATH"]));
        assert!(snapshot().iter().any(|(name, _)| name == "PATH"));
        drop(stop);
        assert!(other.join().is_ok());
    }
}
