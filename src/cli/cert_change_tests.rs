//! What is read before it is sent, and what is shown of the outcome.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::cli::args::ClientArgs;
use crate::ops::sample;

const CERT: &str = "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";

struct Files(tempfile::TempDir);

impl Files {
    fn new(cert: &str, key: &str, key_mode: u32) -> Self {
        let files = Self(tempfile::tempdir().expect("a directory"));
        std::fs::write(files.path("cert.pem"), cert).expect("written");
        std::fs::write(files.path("key.pem"), key).expect("written");
        let mode = std::fs::Permissions::from_mode(key_mode);
        std::fs::set_permissions(files.path("key.pem"), mode).expect("its mode");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self) -> Result<ImportCertificate, String> {
        let client = ClientArgs::default();
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let args = ImportArgs { client, name: "app.example.com".into(), cert, key };
        read_pair(&args, &Environment::default())
    }

    fn refusal(&self) -> String {
        let error = self.read().err().expect("refused");
        assert!(!error.contains("hunter2"), "{error}");
        error
    }
}

#[test]
fn a_pair_is_read_as_it_stands() {
    let (cert, key) = made();
    let pair = Files::new(&cert, &key, 0o640).read().expect("read");
    assert_eq!((pair.cert_pem, pair.key_pem), (cert, key));
}

fn made() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["other.example.com".to_owned()]);
    let cert = params.expect("a name").self_signed(&key).expect("signed");
    (cert.pem(), key.serialize_pem())
}

#[test]
fn a_key_of_another_certificate_is_refused_in_the_words_of_certificate_files() {
    let error = Files::new(&made().0, &made().1, 0o600).refusal();
    assert!(error.contains("cert.pem does not belong to the private key"), "{error}");
    assert!(error.contains("the server's certificate must come first"), "{error}");
}

#[test]
fn an_encrypted_key_is_refused_with_the_command_that_opens_it() {
    let encrypted = KEY.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let error = Files::new(CERT, &encrypted, 0o600).refusal();
    assert!(error.contains("is encrypted") && error.contains("openssl pkey -in"), "{error}");
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command() {
    assert!(Files::new(CERT, KEY, 0o644).refusal().contains("chmod o= "));
}

#[test]
fn swapped_files_and_what_is_no_pem_are_refused_by_name() {
    let error = Files::new(KEY, CERT, 0o644).refusal();
    assert!(error.contains("cert.pem holds a private key"), "{error}");
    assert!(error.contains("are --cert and --key swapped?"), "{error}");
    let error = Files::new(CERT, CERT, 0o600).refusal();
    assert!(error.contains("key.pem holds a certificate"), "{error}");
    let error = Files::new(CERT, "hunter2", 0o600).refusal();
    assert!(error.contains("key.pem holds no private key") && error.contains("--key"), "{error}");
    let error = Files::new("hunter2", KEY, 0o600).refusal();
    assert!(error.contains("cert.pem holds no certificate"), "{error}");
    let files = Files::new(CERT, KEY, 0o600);
    std::fs::remove_file(files.path("cert.pem")).expect("removed");
    assert!(files.refusal().contains("cert.pem cannot be read"));
    std::fs::create_dir(files.path("cert.pem")).expect("made");
    assert!(files.refusal().contains("is not a regular file"));
    std::fs::remove_dir(files.path("cert.pem")).expect("removed");
    let large = format!("{CERT}{}", " ".repeat(1024 * 1024));
    std::fs::write(files.path("cert.pem"), large).expect("written");
    assert!(files.refusal().contains("larger than 1MiB"));
}

#[test]
fn a_new_certificate_is_told_with_its_next_renewal() {
    assert_eq!(
        done(&sample::renewed("app.example.com", 90)).plain(),
        "\
certificate for app.example.com: is served
  names: app.example.com
  issuer: Let's Encrypt E7
  until: 2027-02-19T00:00:00Z (90 d)
  renews: 2027-01-20T03:04:05Z, the CA suggests this window
"
    );
}

#[test]
fn an_import_into_a_site_with_acme_says_that_it_will_be_replaced() {
    let mut info = sample::renewed("app.example.com", 90);
    assert!(imported(&info).plain().contains("when this one is due, ACME replaces it"));
    info.source = "imported".into();
    assert!(!imported(&info).plain().contains("ACME"));
}

#[test]
fn progress_is_the_daemons_word_or_waiting() {
    let mut info = sample::renewed("app.example.com", 90);
    info.names.push("www.example.com".into());
    assert_eq!(activity(&[], "x"), "x: waiting for the CA…");
    assert_eq!(
        activity(&[info.clone()], "app.example.com"),
        "app.example.com: waiting for the CA…"
    );
    info.activity = Some("the CA validates".into());
    assert_eq!(activity(&[info], "WWW.example.com"), "WWW.example.com: the CA validates");
}

#[test]
fn a_failed_attempt_shows_the_block_of_its_own_site() {
    let list = [
        sample::renewed("app.example.com", 90),
        sample::failing("shop.example.com", CertificateState::StandIn),
    ];
    assert!(failed(&list, "app.example.com").is_none());
    assert!(failed(&list, "other.example.com").is_none());
    let text = failed(&list, "shop.example.com").expect("failed").plain();
    assert!(text.starts_with("certificate for shop.example.com: not issued"), "{text}");
}

#[test]
fn a_pipe_in_place_of_a_certificate_is_refused_without_waiting_for_a_writer() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    for name in ["cert.pem", "key.pem"] {
        let files = Files::new(CERT, KEY, 0o600);
        std::fs::remove_file(files.path(name)).expect("removed");
        mknodat(CWD, files.path(name), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        let refusal = files.refusal();
        assert!(refusal.ends_with(&format!("{name} is not a regular file")), "{refusal}");
    }
}
