//! A terminal of one's own, byte by byte: what a program sends to it, how it leaves it, and what happens when it hangs up.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{deadline, left};

pub struct Pty {
    controller: File,
    line: File,
    seen: Vec<u8>,
}

impl Pty {
    pub fn open(width: u16, height: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&controller).expect("ours");
        unlockpt(&controller).expect("ours");
        let name = ptsname(&controller, Vec::new()).expect("a name");
        let flags = OFlags::NOCTTY.bits().cast_signed();
        let name = std::ffi::OsStr::from_bytes(name.as_bytes());
        let line = OpenOptions::new().read(true).write(true).custom_flags(flags).open(name);
        let line = line.expect("its other side");
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&line, size).expect("a size");
        Self { controller: File::from(controller), line, seen: Vec::new() }
    }

    /// The side of the program, as its input, its output or its messages.
    pub fn side(&self) -> Stdio {
        self.line.try_clone().expect("a descriptor").into()
    }

    /// Waits until the program has sent this, and answers all that it has sent so far.
    pub fn wait_for(&mut self, words: &str) -> String {
        let ends = deadline();
        loop {
            let text = String::from_utf8_lossy(&self.seen).into_owned();
            if text.contains(words) {
                return text;
            }
            let left = left(ends);
            assert!(!left.is_zero(), "{words:?} never came: {text:?}");
            let mut polled = [PollFd::new(&self.controller, PollFlags::IN)];
            let left = Timespec::try_from(left).expect("a time");
            if poll(&mut polled, Some(&left)).expect("polled") > 0 {
                let mut bytes = [0; 4096];
                let count = self.controller.read(&mut bytes).expect("what was sent");
                self.seen.extend_from_slice(&bytes[..count]);
            }
        }
    }

    pub fn keys(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).expect("typed");
    }

    /// What was sent so far is not looked at again.
    pub fn skip(&mut self) {
        self.seen.clear();
    }

    /// Whether lines are edited and echoed, as a shell wants it.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("modes").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}
