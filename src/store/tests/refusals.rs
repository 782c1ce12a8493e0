//! Files that are not opened: each has its own words, and is left byte for byte as it was.
#![expect(clippy::disallowed_types, reason = "makes databases of other programs")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use redb::{Database, TableDefinition};

use super::super::database::StateFile;
use super::super::sealed::ACCOUNT_KEYS;
use super::memory::{MemDisk, MemPlace};
use super::*;

fn core_file(dir: &Path) -> PathBuf {
    dir.join("state").join(CORE.file)
}

/// A state directory whose file holds these bytes.
fn with_file(bytes: &[u8]) -> tempfile::TempDir {
    let dir = folder();
    crate::sys::files::make_dir(&dir.path().join("state"), 0o700).expect("made");
    fs::write(core_file(dir.path()), bytes).expect("written");
    dir
}

/// Opens, is refused, and finds the file unchanged; the words after the path.
fn refused(dir: &Path) -> String {
    let path = core_file(dir);
    let before = fs::read(&path).ok();
    let error = open(dir).err().expect("refused");
    assert_eq!(fs::read(&path).ok(), before, "the file is left as it was");
    let words = error.to_string();
    assert!(words.contains("\n  "), "the next step is missing: {words}");
    let (_, rest) = words.split_once(&path.display().to_string()).expect("it names the file");
    rest.to_owned()
}

#[test]
fn the_directory_and_the_file_are_for_palisade_only() {
    let dir = folder();
    drop(open(dir.path()).expect("opened"));
    let mode = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(dir.path().join("state")), mode(core_file(dir.path()))), (0o700, 0o600));
    let state = dir.path().join("state");
    assert_eq!(fs::read_dir(&state).expect("listed").count(), 1, "no temporary file stays");

    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).expect("changed");
    let error = open(dir.path()).err().expect("refused").to_string();
    assert!(error.contains("(mode 0755)\n  if it is palisade's alone, run: chmod 700 "), "{error}");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o750)).expect("changed");
    drop(open(dir.path()).expect("a group is the operator's choice"));
}

#[test]
fn what_is_no_file_of_palisade_is_refused() {
    assert!(refused(with_file(b"").path()).starts_with(" is damaged: it is empty\n"));
    let words = refused(with_file(b"SQLite format 3\0").path());
    assert!(words.starts_with(" was not written by palisade: it does not begin like a database"));
    let words = refused(with_file(b"redb\x1a\x0a\xa9\x0d\x0a").path());
    assert!(words.starts_with(" is damaged: it is cut short\n"), "{words}");

    let dir = with_file(b"");
    fs::remove_file(core_file(dir.path())).expect("removed");
    fs::create_dir(core_file(dir.path())).expect("made");
    assert!(refused(dir.path()).starts_with(" is a directory, not a file\n"));

    let (dir, other) = (with_file(b""), with_file(b"precious"));
    fs::remove_file(core_file(dir.path())).expect("removed");
    symlink(core_file(other.path()), core_file(dir.path())).expect("linked");
    assert!(refused(dir.path()).starts_with(" is a symbolic link, not a file\n"));
}

#[test]
fn a_database_of_another_program_is_refused() {
    let dir = with_file(b"");
    fs::remove_file(core_file(dir.path())).expect("removed");
    let database = Database::create(core_file(dir.path())).expect("made");
    let transaction = database.begin_write().expect("begun");
    const THEIRS: TableDefinition<&str, u64> = TableDefinition::new("theirs");
    transaction.open_table(THEIRS).expect("opened").insert("a", 1).expect("put");
    transaction.commit().expect("committed");
    drop(database);
    let words = refused(dir.path());
    assert!(words.starts_with(" was not written by palisade: it is a database of another"));

    // And one whose table happens to be called like ours.
    let database = Database::open(core_file(dir.path())).expect("opened");
    let transaction = database.begin_write().expect("begun");
    const META: TableDefinition<u8, u64> = TableDefinition::new("meta");
    transaction.open_table(META).expect("opened").insert(1, 1).expect("put");
    transaction.commit().expect("committed");
    drop(database);
    assert!(refused(dir.path()).starts_with(" was not written by palisade: "));
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let dir = folder();
    drop(open(dir.path()).expect("opened"));
    let core = StateFile::open(
        &FilePlace::prepare(&dir.path().join("state"), &CORE).expect("there"),
        false,
    );
    let core = core.expect("opened");
    core.accept().expect("accepted");
    core.set_format(CORE.format + 1).expect("written");
    drop(core);
    let words = refused(dir.path());
    assert!(words.starts_with(" has format 2, and this version of palisade knows formats up to 1"));
}

#[test]
fn a_file_in_use_is_refused_and_free_again_when_the_last_handle_goes() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    let other = store.clone();
    drop(store);
    let error = open(dir.path()).err().expect("refused").to_string();
    assert!(error.contains("is in use by another process\n  stop the other palisade"), "{error}");
    other.probe().wait().expect("the first still writes");
    drop(other);
    drop(open(dir.path()).expect("opened"));
}

#[test]
fn a_cut_file_is_refused() {
    let dir = folder();
    drop(open(dir.path()).expect("opened"));
    let whole = fs::read(core_file(dir.path())).expect("read");
    for len in [400, 4096, whole.len() - 4096, whole.len() - 1] {
        let words = refused(with_file(&whole[..len]).path());
        assert!(words.starts_with(" is damaged: "), "{len}: {words}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let dir = folder();
    fs::write(dir.path().join("state"), b"").expect("a file in its place");
    let error = open(dir.path()).err().expect("refused").to_string();
    assert!(error.starts_with("cannot use the state "), "{error}");
    assert!(error.contains("\n  make it readable and writable for user id "), "{error}");
}

#[test]
fn a_first_start_that_was_cut_off_leaves_nothing_in_the_way() {
    let dir = folder();
    let state = dir.path().join("state");
    crate::sys::files::make_dir(&state, 0o700).expect("made");
    // What a crash while the new file was being written leaves.
    let mut child = std::process::Command::new("true").spawn().expect("a process");
    let left = state.join(format!(".core.redb.{}.new", child.id()));
    child.wait().expect("ended");
    fs::write(&left, b"redb").expect("written");
    drop(open(dir.path()).expect("opened"));
    assert!(!left.exists(), "it is removed");
    drop(open(dir.path()).expect("opened again"));
}

/// A flipped bit is refused, or it lies where nothing is kept: the rows are never other than they were.
#[test]
fn a_flipped_bit_is_never_silently_wrong() {
    let disk = MemDisk::new(StateFile::image(&CORE).expect("an empty file"));
    let dir = folder();
    let place = || Box::new(MemPlace::new(&disk));
    let start = || Store::start(place(), Options::default(), clock(), log(dir.path()));
    let store = start().expect("opened");
    for row in 0..60_u8 {
        let value = vec![row; 300];
        let write =
            store.write(move |writing| writing.put(ACCOUNT_KEYS, &format!("{row}"), &value));
        write.wait().expect("written");
    }
    let crashed = disk.image();
    drop(store);
    let closed = disk.image();
    let rows = |core: &StateFile| core.read(|reading| reading.all::<Vec<u8>>(ACCOUNT_KEYS));
    let intact = rows(&StateFile::open(&*place(), false).expect("opened")).expect("read");
    assert_eq!(intact.len(), 60);
    let soak = std::env::var_os("PALISADE_SOAK").is_some();
    let mut refused = 0;
    for (image, step) in [(crashed, 0), (closed, 1)] {
        // Every bit that says something of the whole, then one in each so many bytes.
        let sparse = (320..image.len()).step_by(if soak { 97 } else { 4099 });
        for at in (0..320).step_by(if soak { 1 } else { 7 }).chain([9, 9, 9]).chain(sparse) {
            for bit in 0..if at == 9 { 8 } else { 1 } {
                let mut image = image.clone();
                image[at] ^= 1 << ((bit + at + step) % 8);
                let damaged = MemDisk::new(image.clone());
                match StateFile::open(&MemPlace::new(&damaged), false) {
                    Err(_) => refused += 1,
                    Ok(core) => assert_eq!(rows(&core).expect("read"), intact, "byte {at}"),
                }
                assert_eq!(damaged.image(), image, "nothing is written before it is accepted");
            }
        }
    }
    assert!(refused > 10, "only {refused} were refused");
}
