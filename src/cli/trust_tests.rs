//! Which stores are touched, what is said before, and one real NSS database.

use super::*;

fn ca() -> LocalCa {
    LocalCa {
        pem: "PEM".into(),
        path: "/var/lib/palisade/local-ca.pem".into(),
        sha256: "ab".repeat(32),
    }
}

#[test]
fn only_stores_that_can_be_changed_are_offered() {
    let databases = vec![PathBuf::from("/home/me/.pki/nssdb")];
    let user = Machine {
        root: false,
        sudo: false,
        debian_store: true,
        certutil: true,
        databases: databases.clone(),
    };
    assert_eq!(user.stores(), [Store::Nss(databases[0].clone())]);
    assert!(user.hints()[0].contains("sudo palisade cert trust"));
    let root = Machine { root: true, sudo: false, debian_store: true, certutil: false, databases };
    assert_eq!(root.stores(), [Store::System]);
    assert!(root.hints()[0].contains("libnss3-tools"));
    let bare = Machine { root: true, ..Machine::default() };
    assert!(bare.stores().is_empty());
    assert!(bare.hints()[0].contains("--print"));
}

#[test]
fn the_plan_names_every_store_and_the_risk() {
    let text = plan(&ca(), &[Store::System, Store::Nss("/home/me/.pki/nssdb".into())]);
    assert!(text.contains("/var/lib/palisade/local-ca.pem") && text.contains(&"ab".repeat(32)));
    assert!(text.contains(SYSTEM_DIR) && text.contains("/home/me/.pki/nssdb"));
    assert!(text.contains("Whoever has its key can then pose as any site"));
}

#[test]
fn databases_of_chromium_and_every_firefox_profile_are_found() {
    let home = tempfile::tempdir().expect("a directory");
    for dir in [
        ".pki/nssdb",
        ".mozilla/firefox/a.default",
        ".mozilla/firefox/b.dev",
        ".mozilla/firefox/empty",
    ] {
        std::fs::create_dir_all(home.path().join(dir)).expect("made");
        if !dir.ends_with("empty") {
            std::fs::write(home.path().join(dir).join("cert9.db"), "").expect("written");
        }
    }
    let found = databases(home.path());
    let names: Vec<_> = found.iter().filter_map(|dir| dir.file_name()?.to_str()).collect();
    assert_eq!(names, ["nssdb", "a.default", "b.dev"]);
}

#[test]
fn a_tool_that_fails_is_quoted() {
    let error =
        call(Command::new("sh").args(["-c", "cat >/dev/null; echo broken >&2; exit 3"]), "x")
            .expect_err("failed");
    assert!(error.contains("broken") && error.contains('3'), "{error}");
    let error = call(&mut Command::new("palisade-no-such-tool"), "").expect_err("failed");
    assert!(error.starts_with("palisade-no-such-tool:"), "{error}");
}

#[test]
fn a_fresh_browser_database_trusts_the_root() {
    let dir = tempfile::tempdir().expect("a directory");
    certs::sample::local_ca(&dir.path().join("state"));
    let ca = certs::LocalCa::read_public(&dir.path().join("state")).expect("read");
    let database = dir.path().join("nssdb");
    add_to_nss(&ca, &database).expect("added; the test needs certutil: apt install libnss3-tools");
    add_to_nss(&ca, &database).expect("added again");
    let listed =
        Command::new("certutil").args(["-L", "-d"]).arg(&database).output().expect("listed");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&nickname(&ca)) && listed.contains("C,,"), "{listed}");
}
