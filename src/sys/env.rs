//! The environment: read once, secrets removed.
//!
//! Promises: a variable is removed only while the process has one thread.

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
#[allow(unsafe_code, reason = "std::env::remove_var is unsafe; the thread count makes it sound")]
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
        unsafe { std::env::remove_var(name) };
    }
    true
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
