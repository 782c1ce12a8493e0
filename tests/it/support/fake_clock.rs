//! A wall clock that the test sets, for a daemon in another process; durations pass as they do.

use std::fs;
use std::path::PathBuf;

use super::Place;

/// The clock of every process that is started with its [`environment`](Self::environment).
pub struct FakeClock {
    library: PathBuf,
    file: PathBuf,
}

impl FakeClock {
    /// A clock in this directory, ahead of the machine's by so many seconds.
    pub fn ahead_s(place: &Place, seconds: i64) -> Self {
        let clock = Self { library: library(), file: place.path("clock") };
        clock.set_ahead_s(seconds);
        clock
    }

    /// The clock jumps, also for processes that run.
    pub fn set_ahead_s(&self, seconds: i64) {
        self.set(&format!("{seconds:+}"));
    }

    /// The clock stands still at about now.
    pub fn freeze(&self) {
        self.freeze_at(time::OffsetDateTime::now_utc().unix_timestamp());
    }

    /// The clock stands still at this second.
    pub fn freeze_at(&self, unix_s: i64) {
        let now = time::OffsetDateTime::from_unix_timestamp(unix_s).expect("a time");
        self.set(&format!(
            "{} {:02}:{:02}:{:02}",
            now.date(),
            now.hour(),
            now.minute(),
            now.second()
        ));
    }

    fn set(&self, text: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{text}\n")).expect("a file");
        // At once: a process that reads half an offset ends with an error of the library.
        fs::rename(new, &self.file).expect("a file");
    }

    /// For [`Place::start_with`].
    pub fn environment(&self) -> [(&str, &str); 5] {
        [
            ("LD_PRELOAD", self.library.to_str().expect("UTF-8")),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().expect("UTF-8")),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]
    }
}

/// Where Debian has it, which depends on the processor.
fn library() -> PathBuf {
    let places = fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let mut found = places.map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|library| library.is_file());
    found.expect("this test needs libfaketime: apt-get install faketime")
}
