//! Promises 45 and 46: a file that is not where it was takes no write, and goes on by itself once it is back.

use std::fs;

use super::super::writer::{Options, Retry};
use super::super::{database::Writing, sealed::ACCOUNT_KEYS};
use super::*;

/// A store on a real file that tries to recover only when asked, and its log.
struct Home {
    store: Store,
    dir: tempfile::TempDir,
    log: Log,
}

impl Home {
    fn new() -> Self {
        let dir = folder();
        let log = log(dir.path());
        let place = Box::new(FilePlace::prepare(&dir.path().join("state"), &CORE).expect("made"));
        let options = Options { retry: Retry::WhenAsked, ..Options::default() };
        let store = Store::start(place, options, clock(), log.clone()).expect("opened");
        let home = Self { store, dir, log };
        home.put(1).expect("written");
        home
    }

    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    fn put(&self, value: u8) -> Result<(), StoreError> {
        self.store.write(move |writing| writing.put(ACCOUNT_KEYS, "a", &value)).wait()
    }

    fn get(&self) -> Option<u8> {
        self.store.read(|reading| reading.get(ACCOUNT_KEYS, "a")).expect("reads go on")
    }

    fn assert_refuses(&self, value: u8) {
        let error = self.put(value).expect_err("refused").to_string();
        let wanted = format!(
            "the state cannot be written: {} was moved, replaced or removed while palisade was running; \
             put it back or restart palisade",
            self.state().join(CORE_FILE).display()
        );
        assert_eq!(error, wanted);
        assert!(matches!(self.store.health(), Health::Refusing { .. }));
        assert_eq!(self.get(), Some(1));
    }

    fn well_again(&self) -> bool {
        let (answer, wait) = std::sync::mpsc::sync_channel(1);
        let queue = self.store.0.queue();
        queue.send(crate::store::writer::Message::TryAgain(answer)).expect("the writer lives");
        wait.recv().expect("the writer answers").is_none()
    }

    fn logged(&self, event: &str) -> usize {
        self.log.flush();
        let text = fs::read_to_string(self.dir.path().join("test.log")).expect("the log");
        text.matches(&format!("\"event\":\"{event}\"")).count()
    }
}

#[test]
fn a_state_that_was_moved_away_takes_no_write_until_it_is_back() {
    let home = Home::new();
    let aside = home.dir.path().join("state.old");
    fs::rename(home.state(), &aside).expect("moved");
    home.assert_refuses(2);
    // Another palisade may make its own there: that one is never taken for ours.
    let other = open(home.dir.path()).expect("another state at the path");
    assert!(!home.well_again());
    home.assert_refuses(3);
    other.probe().wait().expect("it is the other one's now");
    drop(other);
    assert!(!home.well_again());
    assert_eq!((home.logged("state_unwritable"), home.logged("state_writable")), (1, 0));

    fs::rename(home.state(), home.dir.path().join("other")).expect("moved");
    fs::rename(&aside, home.state()).expect("put back");
    assert!(home.well_again());
    home.put(4).expect("written");
    assert_eq!(home.logged("state_writable"), 1);
    let dir = home.dir;
    drop(home.store);
    let store = open(dir.path()).expect("opened");
    let row = store.read(|reading| reading.get::<u8>(ACCOUNT_KEYS, "a"));
    assert_eq!(row.expect("read"), Some(4));
}

#[test]
fn a_state_that_was_removed_or_replaced_by_a_copy_takes_no_write() {
    let home = Home::new();
    let file = home.state().join(CORE_FILE);
    let copy = fs::read(&file).expect("read");
    fs::remove_dir_all(home.state()).expect("removed");
    home.assert_refuses(2);
    // The number of a removed file may be given to the next one; it is still another file.
    drop(open(home.dir.path()).expect("made anew"));
    assert!(!home.well_again());
    fs::write(&file, copy).expect("written");
    assert!(!home.well_again());
    home.assert_refuses(3);
}

#[test]
fn a_look_finds_it_before_a_write_does() {
    let home = Home::new();
    home.store.look();
    assert_eq!(home.store.health(), Health::Writable);
    fs::rename(home.state(), home.dir.path().join("aside")).expect("moved");
    home.store.look();
    // The look leaves it to the writer: what was asked for after it is answered after it.
    home.assert_refuses(2);
    fs::rename(home.dir.path().join("aside"), home.state()).expect("put back");
    assert!(home.well_again());
    home.store.look();
    assert_eq!(home.store.health(), Health::Writable);
}

#[test]
fn a_file_that_is_moved_during_a_commit_acknowledges_nothing() {
    let home = Home::new();
    let (from, to) = (home.state(), home.dir.path().join("aside"));
    let write = home.store.write(move |writing: &Writing| {
        let _ = fs::rename(&from, &to);
        writing.put(ACCOUNT_KEYS, "b", &1_u8)
    });
    assert!(matches!(write.wait(), Err(StoreError::Unwritable { .. })));
}
