//! The local CA: made once, kept, checked by a real TLS client, and refused when damaged.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// 2026-01-01
const NOW: i64 = 1_767_225_600;

fn hosts(names: &[&str]) -> Vec<Host> {
    names.iter().map(|name| name.parse().expect("a host")).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn open(dir: &Path) -> Result<LocalCa, CertError> {
    LocalCa::open(dir, "web-1", NOW)
}

fn refused(dir: &Path) -> String {
    open(dir).err().expect("refused").to_string()
}

#[test]
fn the_second_start_uses_the_first_root() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("deep/state");
    let first = open(&state).expect("made").public();
    let second = open(&state).expect("opened").public();
    assert_eq!(first, second);
    assert_eq!(LocalCa::read_public(&state).expect("read"), first);
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join(KEY_FILE)), 0o600);
}

#[test]
fn two_processes_that_start_at_once_get_one_root() {
    let dir = tempfile::tempdir().expect("a directory");
    let roots: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> =
            (0..4).map(|_| scope.spawn(|| open(dir.path()).map(|ca| ca.public()))).collect();
        starts.into_iter().map(|start| start.join().expect("no panic").expect("opened")).collect()
    });
    assert!(roots.iter().all(|root| root == &roots[0]));
}

/// Verifies as a client that trusts the root, at a time of its choosing.
fn verify(
    ca: &LocalCa,
    certificate: &Certificate,
    name: &str,
    now: i64,
) -> Result<(), rustls::Error> {
    use rustls::client::danger::ServerCertVerifier;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.root.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect("a verifier");
    let (leaf, rest) = certificate.key.cert.split_first().expect("a chain");
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).expect("a name");
    let now = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(now).expect("a time"),
    ));
    verifier.verify_server_cert(leaf, rest, &name, &[], now).map(|_| ())
}

#[test]
fn a_client_that_trusts_the_root_accepts_every_name_and_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let ca = open(dir.path()).expect("made");
    let names = hosts(&["localhost", "*.app.localhost", "127.0.0.1", "::1"]);
    let issued = ca.issue(&names, NOW).expect("issued");
    for name in ["localhost", "a.app.localhost", "127.0.0.1", "::1"] {
        verify(&ca, &issued, name, NOW).expect(name);
    }
    assert!(verify(&ca, &issued, "other.localhost", NOW).is_err());
    assert!(verify(&ca, &issued, "localhost", NOW + 91 * 86_400).is_err());
    assert_eq!(issued.facts.names, ["localhost", "*.app.localhost", "127.0.0.1", "::1"]);
    assert_eq!(issued.facts.issuer, "palisade local CA (web-1)");
    assert_eq!(issued.facts.expires_in_s(NOW), 90 * 86_400);
    assert_eq!(issued.key.cert.len(), 2, "leaf and root");
    assert!(issued.key.keys_match().is_ok());
}

#[test]
fn a_crash_between_key_and_certificate_is_made_good_with_the_same_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let before = open(dir.path()).expect("made");
    let issued = before.issue(&hosts(&["localhost"]), NOW).expect("issued");
    fs::remove_file(dir.path().join(ROOT_FILE)).expect("removed");
    let after = open(dir.path()).expect("made again");
    assert_ne!(before.public().sha256, after.public().sha256);
    verify(&after, &issued, "localhost", NOW).expect("the same key");
}

#[test]
fn a_damaged_ca_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().expect("a directory");
    open(dir.path()).expect("made");
    let (root, key) = (dir.path().join(ROOT_FILE), dir.path().join(KEY_FILE));
    let pem = fs::read(&key).expect("readable");

    fs::remove_file(&key).expect("removed");
    let error = refused(dir.path());
    assert!(
        error.contains("the private key is missing") && error.contains("restore local-ca.key"),
        "{error}"
    );

    fs::write(&key, "not a key").expect("written");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("mode");
    assert!(refused(dir.path()).contains("damaged"));

    fs::write(&key, KeyPair::generate().expect("a key").serialize_pem()).expect("written");
    assert!(refused(dir.path()).contains("do not belong together"));

    fs::write(&key, &pem).expect("written");
    fs::set_permissions(&key, Permissions::from_mode(0o604)).expect("mode");
    assert!(refused(dir.path()).contains("chmod 600"));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("mode");

    fs::write(&root, "garbage").expect("written");
    let error = refused(dir.path());
    assert!(
        error.contains("restore local-ca.pem") && error.contains("palisade cert trust"),
        "{error}"
    );
}

#[test]
fn an_expired_root_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    open(dir.path()).expect("made");
    let error = LocalCa::open(dir.path(), "web-1", NOW + 3_651 * 86_400).err().expect("refused");
    assert!(error.to_string().contains("it expired on"), "{error}");
}

#[test]
fn a_long_or_odd_hostname_still_makes_a_name() {
    assert_eq!(root_name("web-1\n"), "palisade local CA (web-1)");
    assert_eq!(root_name(""), "palisade local CA");
    assert!(root_name(&"x".repeat(200)).len() <= COMMON_NAME_MAX);
    assert_eq!(root_name("a\u{1b}[31mb"), "palisade local CA (a[31mb)");
}

#[test]
fn a_second_certificate_behind_the_root_is_never_trusted_unseen() {
    let dir = tempfile::tempdir().expect("a directory");
    let ca = open(dir.path()).expect("made");
    let path = dir.path().join(ROOT_FILE);
    let two = format!("{}{}", ca.public().pem, ca.public().pem);
    fs::write(&path, &two).expect("written");
    for error in [open(dir.path()).err(), LocalCa::read_public(dir.path()).err()] {
        assert!(error.expect("refused").to_string().contains("one certificate and nothing else"));
    }
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let leaf = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed").pem();
    let error = LocalCa::describe(&leaf, &path).expect_err("refused").to_string();
    assert!(error.contains("not a CA"), "{error}");
}
