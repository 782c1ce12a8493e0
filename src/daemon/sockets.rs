//! Sockets that let nobody in who has a role.

use std::os::unix::fs::MetadataExt;

use crate::base::{APP_GROUP, CONTROL_GROUP, Role};
use crate::config::settings::{People, Settings};
use crate::ops::api::{Attention, Level};
use crate::sys;

/// A socket has its group from the start of the daemon on: one that was made later lets nobody in. That there is no group
/// at all is a warning of the configuration.
pub(super) fn about(settings: &Settings) -> Vec<Attention> {
    let (roles, listen) = (&settings.roles, &settings.listen);
    let operators = Role::ALL.map(|role| roles.people(role));
    let sockets = [
        ("control", &listen.control, CONTROL_GROUP, &operators[..]),
        ("app", &listen.app, APP_GROUP, &[&roles.app][..]),
    ];
    let shut = sockets.into_iter().filter(|(_, path, group, people)| {
        let Some(group) = sys::users::gid(group) else { return false };
        let closed = std::fs::metadata(path).is_ok_and(|found| found.mode() & 0o060 == 0);
        closed && people.iter().any(|people| is_written(people, group))
    });
    let told = shut.map(|(word, _, group, _)| {
        let message = format!(
            "the {word} socket lets in only root and palisade's user: it was made before the group {group}, or by a user \
             who may not give it; restart palisade"
        );
        Attention { level: Level::Warn, message }
    });
    told.collect()
}

/// Whether anybody is named besides the group of the socket, which is there without a word.
fn is_written(people: &People, group: u32) -> bool {
    !people.users.is_empty() || people.groups.iter().any(|named| named.id != group)
}
