//! Users and groups of this machine by name and number, from its own lists (passwd(5), group(5)).
//!
//! Refuses: to ask anybody else. A user of a directory service has its number, which the kernel knows, and no name here.

use std::fs;

/// The name of a user; `None` where this machine's own list has none.
#[must_use]
pub fn name(uid: u32) -> Option<String> {
    name_in(&fs::read_to_string("/etc/passwd").ok()?, uid)
}

/// The number of a group; `None` where this machine's own list has none.
#[must_use]
pub fn gid(group: &str) -> Option<u32> {
    number_in(&fs::read_to_string("/etc/group").ok()?, group)
}

/// Both lists, as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads them; a list that cannot be read is an empty one.
    #[must_use]
    pub fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self { passwd: read("/etc/passwd"), group: read("/etc/group") }
    }

    /// Of texts in the form of the two files.
    #[must_use]
    pub fn new(passwd: &str, group: &str) -> Self {
        Self { passwd: passwd.to_owned(), group: group.to_owned() }
    }

    #[must_use]
    pub fn uid(&self, user: &str) -> Option<u32> {
        number_in(&self.passwd, user)
    }

    #[must_use]
    pub fn gid(&self, group: &str) -> Option<u32> {
        number_in(&self.group, group)
    }

    /// Names of all users.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        names_in(&self.passwd)
    }

    /// Names of all groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        names_in(&self.group)
    }
}

/// Name and number of every line; both files have them in the first and the third field.
fn lines_of(list: &str) -> impl Iterator<Item = (&str, u32)> {
    list.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        let number = number.parse().ok()?;
        (!name.is_empty()).then_some((name, number))
    })
}

fn name_in(list: &str, number: u32) -> Option<String> {
    lines_of(list).find(|(_, other)| *other == number).map(|(name, _)| name.to_owned())
}

fn number_in(list: &str, name: &str) -> Option<u32> {
    lines_of(list).find(|(other, _)| *other == name).map(|(_, number)| number)
}

fn names_in(list: &str) -> impl Iterator<Item = &str> {
    lines_of(list).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\n::\ntoor:x:0:0::/:/bin/sh\nweb:x:33:33\n:x:7:7\n";

    #[test]
    fn the_first_user_of_a_number_is_named() {
        assert_eq!(name_in(PASSWD, 0).as_deref(), Some("root"));
        assert_eq!(name_in(PASSWD, 33).as_deref(), Some("web"));
        assert_eq!(name_in(PASSWD, 7), None);
    }

    #[test]
    fn names_have_their_numbers() {
        let accounts = Accounts::new(PASSWD, "adm:x:4:syslog,alice\nbroken:x:many:\nweb:x:34:\n");
        assert_eq!((accounts.uid("toor"), accounts.uid("web")), (Some(0), Some(33)));
        assert_eq!((accounts.gid("adm"), accounts.gid("web")), (Some(4), Some(34)));
        assert_eq!(
            (accounts.uid("adm"), accounts.gid("broken"), accounts.gid("")),
            (None, None, None)
        );
        assert_eq!(accounts.users().collect::<Vec<_>>(), ["root", "toor", "web"]);
        assert_eq!(accounts.groups().collect::<Vec<_>>(), ["adm", "web"]);
    }
}
