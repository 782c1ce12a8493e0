//! Roles as written, on a machine with a few users.

use super::*;
use crate::config::report::Report;
use crate::config::source::Source;
use crate::config::wire;

fn machine() -> Accounts {
    Accounts::new(
        "root:x:0:0::/:\nalice:x:1000:1000::/:\nmonitor:x:1001:1001::/:\nwww-data:x:33:33::/:\n",
        "root:x:0:\nadm:x:4:\ndeploy:x:1002:alice\npalisade:x:990:\npalisade-app:x:991:\n",
    )
}

fn read(text: &str, accounts: &Accounts) -> (Roles, Report) {
    let mut report = Report::default();
    let (root, _) = wire::parse(&Source::file("p.toml", text.to_owned()), &mut report);
    let mut cx = Cx { report, ..Cx::default() };
    let mut top = Section::new("", &root);
    let roles = roles(&mut cx, &mut top, accounts);
    top.finish(&mut cx);
    (roles, cx.report)
}

fn good(text: &str) -> Roles {
    let (roles, report) = read(text, &machine());
    assert!(report.is_empty(), "{report}");
    roles
}

fn of(roles: &Roles, uid: u32, groups: &[u32]) -> Option<Role> {
    roles.of(uid, |gid| groups.contains(&gid))
}

#[test]
fn without_a_word_the_group_of_the_sockets_is_admin_and_nobody_else() {
    let roles = good("");
    assert_eq!(of(&roles, 1000, &[990]), Some(Role::Admin));
    assert_eq!(of(&roles, 1000, &[1000, 991]), None);
    assert!(roles.app.has(33, |gid| gid == 991) && !roles.app.has(33, |gid| gid == 33));
    let (roles, report) = read("", &Accounts::default());
    assert!(report.is_empty(), "the groups need not be there: {report}");
    assert_eq!(roles, Roles::default());
}

#[test]
fn what_is_written_counts_and_the_highest_role_wins() {
    let roles = good(
        "[role]\nviewer = { user = [\"monitor\"], group = [\"adm\"] }\noperator = { group = \"deploy\" }\n\
         admin = { user = [\"alice\", 2000] }\napp = { user = [\"www-data\"] }\n",
    );
    assert_eq!(of(&roles, 1001, &[]), Some(Role::Viewer));
    assert_eq!(of(&roles, 1001, &[4, 1002]), Some(Role::Operator));
    assert_eq!(of(&roles, 1000, &[4]), Some(Role::Admin));
    assert_eq!(of(&roles, 2000, &[]), Some(Role::Admin));
    assert_eq!(of(&roles, 7, &[990]), None, "the group of the sockets is not written here");
    assert!(roles.app.has(33, |_| false) && !roles.app.has(7, |gid| gid == 991));
}

#[test]
fn one_role_in_the_file_replaces_the_defaults_of_all_but_the_app() {
    let roles = good("[role]\nviewer = { user = [1001] }\n");
    assert_eq!((of(&roles, 1000, &[990]), of(&roles, 1001, &[])), (None, Some(Role::Viewer)));
    assert!(roles.app.has(7, |gid| gid == 991));
    let roles = good("[role]\napp = { user = [33] }\n");
    assert_eq!(of(&roles, 1000, &[990]), Some(Role::Admin));
}

#[test]
fn a_name_that_nobody_has_is_an_error_with_its_place_and_the_next_step() {
    for (text, words) in [
        ("admin = { user = [\"alise\"] }", "this machine has no user \"alise\""),
        ("admin = { user = [\"alise\"] }", "did you mean \"alice\"?"),
        ("admin = { group = [\"wheel\"] }", "make it first"),
        ("admin = { user = [-1] }", "the number is out of bounds"),
        ("admin = { user = [4294967295] }", "the number is out of bounds"),
        ("admin = { user = [] }", "the list is empty"),
        ("admin = {}", "nobody is named for `admin`"),
        ("admin = \"alice\"", "expected a table"),
        ("admin = { users = [\"alice\"] }", "did you mean `user`?"),
        ("admim = { user = [\"alice\"] }", "did you mean `admin`?"),
    ] {
        let (_, report) = read(&format!("[role]\n{text}\n"), &machine());
        let shown = report.to_string();
        assert!(report.errors() > 0 && shown.contains(words), "{text}: {shown}");
        assert!(shown.contains("p.toml:2:"), "{shown}");
    }
}

#[test]
fn whoever_is_named_for_two_roles_has_the_higher_one_and_a_warning() {
    let text = "[role]\nviewer = { user = [\"alice\"] }\nadmin = { user = [1000] }\n";
    let (roles, report) = read(text, &machine());
    assert_eq!((of(&roles, 1000, &[]), report.errors()), (Some(Role::Admin), 0));
    let shown = report.to_string();
    assert!(shown.contains("user alice (1000) is admin already, which includes viewer"), "{shown}");
    assert!(shown.contains("p.toml:2:"), "the lower one: {shown}");
}

#[test]
fn people_are_shown_with_name_and_number() {
    let roles = good("[role]\nadmin = { user = [\"alice\", 2000], group = [\"adm\"] }\n");
    assert_eq!(roles.admin.to_string(), "user alice (1000), user 2000, group adm (4)");
    assert_eq!(roles.viewer.to_string(), "nobody");
}

#[test]
fn whoever_is_named_and_cannot_connect_without_the_group_of_the_socket_is_told() {
    let without = Accounts::new("root:x:0:0::/:\nalice:x:1000:1000::/:\n", "root:x:0:\n");
    let (_, report) =
        read("[role]\nviewer = { user = [\"alice\"] }\napp = { user = [33] }\n", &without);
    let text = report.to_string();
    assert_eq!((report.errors(), report.warnings()), (0, 2), "{text}");
    assert!(
        text.contains("connect to the control socket") && text.contains("the app socket"),
        "{text}"
    );
    assert!(
        text.contains("groupadd --system palisade, usermod -aG palisade USER, then restart"),
        "{text}"
    );
    let (_, report) = read("[role]\nadmin = { user = [\"root\"] }\n", &without);
    assert!(report.is_empty(), "root needs no group: {report}");
}
