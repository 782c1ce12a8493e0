//! Writes that are held back: reads see them, the disk does not, and then it gets all of them.

use redb::StorageBackend;

use super::super::disk::Disk;
use super::memory::{Dice, Event, Faults, MemDisk};

fn random(dice: &mut Dice, len: usize) -> Vec<u8> {
    (0..len).map(|_| dice.next().to_le_bytes()[0]).collect()
}

#[test]
fn reads_see_what_is_held_and_the_disk_gets_it_in_order() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let len = dice.below(20_000);
        let before = random(&mut dice, len);
        let (device, twin) = (MemDisk::new(before.clone()), MemDisk::new(before.clone()));
        let disk = Disk::held(Box::new(device.clone())).expect("held");
        for _ in 0..30 {
            let len = usize::try_from(twin.len().expect("measured")).expect("small");
            match dice.below(4) {
                0 => {
                    let len = dice.below(30_000) as u64;
                    disk.set_len(len).and_then(|()| twin.set_len(len)).expect("resized");
                }
                1 => disk.sync_data().and_then(|()| twin.sync_data()).expect("synced"),
                _ => {
                    let at = dice.below(len);
                    let size = dice.below((len - at).min(9000));
                    let bytes = random(&mut dice, size);
                    let both = disk.write(at as u64, &bytes);
                    both.and_then(|()| twin.write(at as u64, &bytes)).expect("written");
                }
            }
            assert_eq!(disk.len().expect("measured"), twin.len().expect("measured"));
            let mut seen = vec![0; twin.image().len()];
            disk.read(0, &mut seen).expect("read");
            assert_eq!(seen, twin.image(), "seed {seed}");
            assert!(disk.read(1, &mut seen).is_err() || seen.is_empty(), "beyond the end");
        }
        assert_eq!(device.image(), before, "nothing has reached the disk");
        disk.let_through().expect("written");
        assert_eq!(device.image(), twin.image(), "seed {seed}");
        let syncs = |disk: &MemDisk| {
            disk.history().iter().map(|event| matches!(event, Event::Sync)).collect::<Vec<_>>()
        };
        assert_eq!(syncs(&device), syncs(&twin), "each sync in its place");
    }
}

#[test]
fn after_a_failure_and_after_the_end_nothing_is_written() {
    let device = MemDisk::new(vec![1; 5000]);
    let disk = Disk::held(Box::new(device.clone())).expect("held");
    disk.write(0, &[2]).and_then(|()| disk.write(4500, &[2])).expect("held");
    let full = std::io::ErrorKind::StorageFull;
    device.set_faults(Faults { write: Some(full), ..Faults::default() });
    assert_eq!(disk.let_through().expect_err("the disk is full").kind(), full);
    assert_eq!(disk.failure().expect("noted").kind, full);
    device.set_faults(Faults::default());
    assert!(disk.write(0, &[3]).is_err() && disk.set_len(1).is_err() && disk.sync_data().is_err());
    assert_eq!(device.image(), [1; 5000]);
}
