//! A daemon whose clock stands still, and a device whose codes another program makes.

use std::cell::Cell;

use super::{Daemon, FakeClock, Place, peer};

/// Moves on by itself only when a code is made.
pub struct Stopped {
    clock: FakeClock,
    now_s: Cell<i64>,
}

impl Stopped {
    pub fn now(place: &Place) -> Self {
        let now_s = time::OffsetDateTime::now_utc().unix_timestamp();
        let clock = FakeClock::ahead_s(place, 0);
        clock.freeze_at(now_s);
        Self { clock, now_s: Cell::new(now_s) }
    }

    pub fn start(&self, place: &Place) -> Daemon {
        place.start_with(&self.clock.environment())
    }

    /// Passes until no code of before counts.
    pub fn pass(&self) {
        self.now_s.set(self.now_s.get() + 90);
        self.clock.freeze_at(self.now_s.get());
    }

    pub fn set_back(&self, seconds: i64) {
        self.now_s.set(self.now_s.get() - seconds);
        self.clock.freeze_at(self.now_s.get());
    }

    /// What the device with this secret shows now.
    pub fn code(&self, secret: &str) -> String {
        self.code_in(secret, 0)
    }

    /// What it shows so many seconds from now.
    pub fn code_in(&self, secret: &str, seconds: i64) -> String {
        let mut oathtool = peer("oathtool", "apt-get install oathtool");
        let at = format!("@{}", self.now_s.get() + seconds);
        let output = oathtool.args(["--totp", "-b", secret, "--now", &at]).output();
        let output = output.expect("oathtool runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// One that was not used before.
    pub fn next_code(&self, secret: &str) -> String {
        self.pass();
        self.code(secret)
    }

    /// Enrolls a factor, activates it and returns its secret; the options are those of a code where one is wanted.
    pub fn enroll(&self, daemon: &Daemon, name: &str, options: &[&str]) -> String {
        let begun = ["totp", "enroll", name, "--json"].into_iter().chain(options.iter().copied());
        let begun = daemon.cli(&begun.collect::<Vec<_>>());
        assert_eq!(begun.code, 0, "{begun:?}");
        let secret = begun.json()["secret"].as_str().expect("a secret").to_owned();
        let active = daemon.cli(&["totp", "activate", name, &self.next_code(&secret)]);
        assert_eq!(active.code, 0, "{active:?}");
        secret
    }
}
