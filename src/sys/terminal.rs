//! How wide a terminal is.

use std::os::fd::AsFd;

/// Columns of the terminal behind `fd`; nothing where it is none, or does not tell.
#[must_use]
pub fn columns(fd: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
