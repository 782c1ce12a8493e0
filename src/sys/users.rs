//! Names of users, from `/etc/passwd` (passwd(5)).

use std::fs;

/// The name of a user; `None` where this machine's own list has none.
#[must_use]
pub fn name(uid: u32) -> Option<String> {
    name_in(&fs::read_to_string("/etc/passwd").ok()?, uid)
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_user_of_a_number_is_named() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\n::\ntoor:x:0:0::/:/bin/sh\nweb:x:33:33\n";
        assert_eq!(name_in(passwd, 0).as_deref(), Some("root"));
        assert_eq!(name_in(passwd, 33).as_deref(), Some("web"));
        assert_eq!(name_in(passwd, 7), None);
    }
}
