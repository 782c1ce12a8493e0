//! Words to systemd (`sd_notify(3)`); silent where systemd did not start us.

use std::io;

use sd_notify::NotifyState;

/// Every listener is bound and serving.
///
/// # Errors
/// The notification socket is announced but does not take the message.
pub fn ready(status: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&one_line(status))])
}

/// A reload has begun; `ready` ends it. The time stamp is what `Type=notify-reload` asks for.
///
/// # Errors
/// As for [`ready`].
pub fn reloading() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
}

/// Draining has begun.
///
/// # Errors
/// As for [`ready`].
pub fn stopping() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Stopping])
}

/// The protocol is one assignment per line: a line break in the text would be a second assignment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_smuggle_a_second_assignment() {
        assert_eq!(one_line("up\nMAINPID=1"), "up MAINPID=1");
    }
}
