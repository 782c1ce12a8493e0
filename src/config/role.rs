//! `[role]`: who may do what on the sockets, by users and groups of this machine.
//!
//! Promises: every name is known when the settings are built, so that a slip gives nobody a role and takes none away
//! unseen. What is written replaces the defaults: all of those of the operators' roles, or that of the app.

use super::read::{Cx, Fault, Section, nearest, table};
use super::settings::{Account, People, Roles};
use super::source::Place;
use super::wire::{Node, Value};
use crate::base::{APP_GROUP, CONTROL_GROUP, Role};
use crate::sys::users::Accounts;

const KEYS: [(Role, &str); 3] =
    [(Role::Admin, "admin"), (Role::Operator, "operator"), (Role::Viewer, "viewer")];

/// The roles as written, or as they are where nothing is.
pub(super) fn roles(cx: &mut Cx, top: &mut Section<'_>, accounts: &Accounts) -> Roles {
    let mut section = top.section(cx, "role", "role");
    let mut roles = Roles::default();
    let mut known = Known::default();
    let mut written = false;
    let mut written_people: Vec<Somebody> = Vec::new();
    for (role, key) in KEYS {
        let Some(people) = people(cx, &mut section, key, accounts) else { continue };
        written = true;
        known.compare(cx, role, &people);
        written_people.extend(people.places());
        *place_of(&mut roles, role) = people.plain();
    }
    if !written {
        roles.admin = group_of(accounts, CONTROL_GROUP);
    }
    let app = people(cx, &mut section, "app", accounts);
    for (group, socket, people) in [
        (CONTROL_GROUP, "control", &written_people),
        (APP_GROUP, "app", &app.iter().flat_map(Written::places).collect()),
    ] {
        unreachable(cx, accounts, (group, socket), people);
    }
    roles.app = app.map_or_else(|| group_of(accounts, APP_GROUP), Written::plain);
    section.finish(cx);
    roles
}

/// Whoever is named, and whether that is root, whom every file lets through.
type Somebody = (Place, bool);

/// Where the group of a socket is not there, nobody but root and the daemon's user can connect to it, whatever is written.
fn unreachable(
    cx: &mut Cx,
    accounts: &Accounts,
    (group, socket): (&str, &str),
    named: &[Somebody],
) {
    if accounts.gid(group).is_some() {
        return;
    }
    if let Some((place, _)) = named.iter().find(|(_, root)| !root) {
        let message = format!(
            "only root and the daemon's user can connect to the {socket} socket: this machine has no group \"{group}\""
        );
        let next =
            format!("groupadd --system {group}, usermod -aG {group} USER, then restart palisade");
        cx.warn(place, message, next);
    }
}

fn place_of(roles: &mut Roles, role: Role) -> &mut People {
    match role {
        Role::Viewer => &mut roles.viewer,
        Role::Operator => &mut roles.operator,
        Role::Admin => &mut roles.admin,
    }
}

/// The members of a group that need not exist.
fn group_of(accounts: &Accounts, name: &str) -> People {
    let group = accounts.gid(name).map(|id| Account { id, name: Some(name.to_owned()) });
    People { users: Vec::new(), groups: group.into_iter().collect() }
}

/// People with their places.
struct Written {
    users: Vec<(Account, Place)>,
    groups: Vec<(Account, Place)>,
}

impl Written {
    fn places(&self) -> impl Iterator<Item = Somebody> {
        let users = self.users.iter().map(|(who, place)| (place.clone(), who.id == 0));
        users.chain(self.groups.iter().map(|(_, place)| (place.clone(), false)))
    }

    fn plain(self) -> People {
        let plain = |list: Vec<(Account, Place)>| list.into_iter().map(|(who, _)| who).collect();
        People { users: plain(self.users), groups: plain(self.groups) }
    }
}

fn people(
    cx: &mut Cx,
    section: &mut Section<'_>,
    key: &'static str,
    accounts: &Accounts,
) -> Option<Written> {
    let entry = section.entry(cx, key)?;
    let mut inside = Section::new("role.*", table(cx, entry)?);
    let users = inside.list(cx, "user", |node| {
        account(node, "user", accounts.users(), |name| accounts.uid(name))
    });
    let groups = inside.list(cx, "group", |node| {
        account(node, "group", accounts.groups(), |name| accounts.gid(name))
    });
    for key in ["user", "group"] {
        if let Some(entry) = inside.entry(cx, key)
            && entry.node.is_empty_list()
        {
            cx.error(&entry.node.place, "the list is empty", "name somebody, or remove it");
        }
    }
    if inside.is_empty() {
        let message = format!("nobody is named for `{key}`");
        cx.error(
            &entry.node.place,
            message,
            "write { user = [\"alice\"] } or { group = [\"adm\"] }",
        );
    }
    inside.finish(cx);
    Some(Written { users: users.unwrap_or_default(), groups: groups.unwrap_or_default() })
}

/// A name that this machine knows, or a number.
fn account<'a>(
    node: &Node,
    kind: &str,
    names: impl Iterator<Item = &'a str>,
    number: impl Fn(&str) -> Option<u32>,
) -> Result<Account, Fault> {
    let name = match &node.value {
        // The last number stands for "no user" in the kernel's calls.
        Value::Integer(id) => {
            let id = id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
            let fault = || Fault::new("the number is out of bounds", "numbers go from 0 on");
            return id.map(|id| Account { id, name: None }).ok_or_else(fault);
        }
        _ => super::values::text(node)?,
    };
    if let Some(id) = number(name) {
        return Ok(Account { id, name: Some(name.to_owned()) });
    }
    let label = match nearest(name, names) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => format!(
            "make it first, or write the number where it comes from elsewhere: {kind} = [1000]"
        ),
    };
    Err(Fault::new(format!("this machine has no {kind} \"{name}\""), label))
}

/// Who has a role already, highest role first.
#[derive(Default)]
struct Known {
    users: Vec<(u32, Role)>,
    groups: Vec<(u32, Role)>,
}

impl Known {
    /// Warns of whoever is named for a higher role, too.
    fn compare(&mut self, cx: &mut Cx, role: Role, people: &Written) {
        let lists =
            [("user", &mut self.users, &people.users), ("group", &mut self.groups, &people.groups)];
        for (kind, known, written) in lists {
            for (who, place) in written {
                let higher = known.iter().find(|(id, _)| *id == who.id).map(|(_, role)| *role);
                if let Some(higher) = higher {
                    let (higher, role) = (higher.word(), role.word());
                    let message = if higher == role {
                        format!("{kind} {who} is named twice")
                    } else {
                        format!("{kind} {who} is {higher} already, which includes {role}")
                    };
                    cx.warn(place, message, "remove one of the two");
                } else {
                    known.push((who.id, role));
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "role_tests.rs"]
mod tests;
