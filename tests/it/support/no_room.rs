//! A daemon whose files may not grow any more: what a full disk does.

use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{Daemon, Place};

/// A daemon that meets an error, and no signal, where a file may not grow.
pub fn start_enduring<'a>(
    place: &Place,
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Daemon {
    let binary = place.command();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(binary.get_program());
    command.arg("run").arg("--config").arg(place.config());
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(environment);
    command.current_dir(place.dir());
    Daemon::spawn(place.clone(), command)
}

/// From now on no byte more, or as many as it likes, may be written into files.
pub fn let_write(daemon: &Daemon, writes: bool) {
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap());
    let current = if writes { None } else { Some(0) };
    prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
}
