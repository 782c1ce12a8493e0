//! The local CA: made once, kept, checked by a real TLS client, and refused when damaged.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::base::audit::{By, Source};
use crate::store::sealed::LOCAL_CA_KEYS;
use crate::work::certs::sample::{NOW, State};

fn hosts(names: &[&str]) -> Vec<Host> {
    names.iter().map(|name| name.parse().expect("a host")).collect()
}

fn open(state: &State) -> Result<LocalCa, CertError> {
    LocalCa::open(&state.vault(), "web-1", NOW)
}

fn refused(state: &State) -> String {
    open(state).err().expect("refused").to_string()
}

/// A directory for a state, which is not there yet.
struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn state(&self) -> State {
        State::open(&self.path())
    }

    fn root(&self) -> PathBuf {
        self.path().join(ROOT_FILE)
    }

    fn key(&self) -> PathBuf {
        self.path().join(KEY_FILE)
    }

    fn write_key(&self, pem: &str) {
        fs::write(self.key(), pem).expect("written");
        fs::set_permissions(self.key(), Permissions::from_mode(0o600)).expect("mode");
    }

    /// Leaves a CA as earlier versions kept it; returns the PEM of its root.
    fn earlier_version(&self) -> (String, KeyPair) {
        drop(self.state());
        let pair = KeyPair::generate().expect("a key");
        let root = kept::pem(&make_root(&pair, "web-0", NOW).expect("a root"));
        self.write_key(&pair.serialize_pem());
        fs::write(self.root(), &root).expect("written");
        (root, pair)
    }
}

#[test]
fn the_second_start_uses_the_first_root_and_no_plain_key_is_on_the_disk() {
    let dir = Dir::new();
    let first = open(&dir.state()).expect("made").public();
    let state = dir.state();
    assert_eq!(open(&state).expect("opened").public(), first);
    assert_eq!(LocalCa::read_public(&dir.path()).expect("read"), first);
    assert!(!dir.key().exists());
    let mode = fs::metadata(dir.root()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(state.logged().matches("local_ca_stored").count(), 1);
}

#[test]
fn a_rotation_of_keys_covers_the_key_of_the_local_ca() {
    let dir = Dir::new();
    let state = dir.state();
    let first = open(&state).expect("made").public();
    let by = By::system(Source::Control);
    assert_eq!(state.keyring.rotate(&by).expect("rotated").rows, 1);
    let sealed = state.store.sealed(LOCAL_CA_KEYS, "local-ca").expect("read").expect("there");
    assert_eq!(sealed.key, 2);
    assert_eq!(open(&state).expect("opened").public(), first);
}

#[test]
fn two_that_open_it_at_once_get_one_root() {
    let dir = Dir::new();
    let state = dir.state();
    let roots: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> =
            (0..4).map(|_| scope.spawn(|| open(&state).map(|ca| ca.public()))).collect();
        starts.into_iter().map(|start| start.join().expect("no panic").expect("opened")).collect()
    });
    assert!(roots.iter().all(|root| root == &roots[0]));
}

#[test]
fn the_public_copy_is_written_again_from_the_state() {
    let dir = Dir::new();
    let state = dir.state();
    let first = open(&state).expect("made").public();
    fs::remove_file(dir.root()).expect("removed");
    assert_eq!(open(&state).expect("opened").public(), first);
    assert_eq!(LocalCa::read_public(&dir.path()).expect("read"), first);
    fs::write(dir.root(), "garbage").expect("written");
    open(&state).expect("opened");
    assert_eq!(LocalCa::read_public(&dir.path()).expect("read"), first);
    let logged = state.logged();
    assert_eq!(logged.matches("local_ca_written").count(), 3, "{logged}");

    fs::remove_file(dir.root()).expect("removed");
    fs::create_dir(dir.root()).expect("made");
    assert_eq!(open(&state).expect("works without it").public(), first);
    assert!(state.logged().contains("local_ca_not_written"));
}

#[test]
fn a_ca_that_an_earlier_version_kept_in_files_is_taken_over() {
    let dir = Dir::new();
    let (root, pair) = dir.earlier_version();
    let state = dir.state();
    assert_eq!(open(&state).expect("taken over").public().pem, root);
    assert!(!dir.key().exists());
    assert_eq!(fs::read_to_string(dir.root()).expect("there"), root);
    let logged = state.logged();
    assert!(logged.contains("local_ca_stored") && logged.contains("local_ca_key_file_removed"));

    // A crash between the commit and the removal.
    dir.write_key(&pair.serialize_pem());
    assert_eq!(open(&state).expect("opened").public().pem, root);
    assert!(!dir.key().exists());

    // Some other key is none of our business.
    dir.write_key(&KeyPair::generate().expect("a key").serialize_pem());
    assert_eq!(open(&state).expect("opened").public().pem, root);
    assert!(dir.key().exists());
    assert!(state.logged().contains("local_ca_key_file_left"));
}

#[test]
fn a_key_without_its_root_is_taken_over_with_a_new_root() {
    let dir = Dir::new();
    let (_, pair) = dir.earlier_version();
    fs::remove_file(dir.root()).expect("removed");
    let ca = open(&dir.state()).expect("made");
    assert_eq!(ca.issuer.key().serialize_pem(), pair.serialize_pem());
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
    let ca = open(&Dir::new().state()).expect("made");
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
fn damaged_files_of_an_earlier_version_are_refused_with_the_way_out() {
    let dir = Dir::new();
    let (_, pair) = dir.earlier_version();
    let state = dir.state();

    dir.write_key("not a key");
    assert!(refused(&state).contains("restore local-ca.key"), "{}", refused(&state));
    dir.write_key(&KeyPair::generate().expect("a key").serialize_pem());
    assert!(refused(&state).contains("do not belong together"));
    dir.write_key(&pair.serialize_pem());
    fs::set_permissions(dir.key(), Permissions::from_mode(0o604)).expect("mode");
    assert!(refused(&state).contains("chmod 600"));
    fs::set_permissions(dir.key(), Permissions::from_mode(0o600)).expect("mode");
    fs::write(dir.root(), "garbage").expect("written");
    let error = refused(&state);
    assert!(
        error.contains("restore local-ca.pem") && error.contains("palisade cert trust"),
        "{error}"
    );
    assert!(dir.key().exists() && state.store.local_ca().expect("read").is_none());
}

#[test]
fn the_root_of_a_lost_state_is_not_replaced() {
    let dir = Dir::new();
    open(&dir.state()).expect("made");
    let root = fs::read(dir.root()).expect("there");
    fs::remove_file(dir.path().join("core.redb")).expect("removed");
    let error = refused(&dir.state());
    assert!(error.contains("put core.redb") && error.contains("or remove"), "{error}");
    assert_eq!(fs::read(dir.root()).expect("there"), root);
}

#[test]
fn an_expired_root_is_refused() {
    let dir = Dir::new();
    let state = dir.state();
    open(&state).expect("made");
    let late = NOW + 3_651 * 86_400;
    let error = LocalCa::open(&state.vault(), "web-1", late).err().expect("refused").to_string();
    assert!(error.contains("it expired on") && error.contains("is the clock right?"), "{error}");
    assert!(error.contains("restore core.redb"), "{error}");
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
    let dir = Dir::new();
    let ca = open(&dir.state()).expect("made");
    let two = format!("{}{}", ca.public().pem, ca.public().pem);
    fs::write(dir.root(), &two).expect("written");
    let error = LocalCa::read_public(&dir.path()).expect_err("refused").to_string();
    assert!(error.contains("one certificate and nothing else"), "{error}");
    assert!(error.contains("writes it anew"), "{error}");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let leaf = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed").pem();
    let error = LocalCa::describe(&leaf, &dir.root()).expect_err("refused").to_string();
    assert!(error.contains("not a CA"), "{error}");
}
