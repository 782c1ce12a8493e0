//! The CAs that the tests of certificates talk to, tried with a client that is not ours.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, ExternalAccountKey,
    Identifier, KeyAuthorization, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use crate::support::ca::{Endpoint, Fault, Moment, Profile, ScriptedCa, Validation};
use crate::support::{Doors, FakeClock, Pebble, Place, acme_client, curl, pebble};

const NAME: &str = "app.example.com";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

async fn account(directory: &str, roots: &Path) -> Account {
    register(directory, roots, None).await.expect("an account")
}

async fn register(
    directory: &str,
    roots: &Path,
    external: Option<&ExternalAccountKey>,
) -> Result<Account, instant_acme::Error> {
    let new = NewAccount {
        contact: &["mailto:ops@example.com"],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let created = acme_client(roots).create(&new, directory.to_owned(), external).await;
    created.map(|(account, _)| account)
}

/// Orders a certificate for `NAME`, shows the CA what it wants to see, and returns the chain.
async fn issue(
    account: &Account,
    order: &NewOrder<'_>,
    kind: ChallengeType,
    show: impl Fn(KeyAuthorization),
) -> String {
    let mut order = account.new_order(order).await.expect("an order");
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.expect("an authorization");
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(kind.clone()).expect("a challenge");
        show(challenge.key_authorization());
        challenge.set_ready().await.expect("ready");
    }
    let patience = RetryPolicy::new().initial_delay(Duration::from_millis(20));
    assert_eq!(order.poll_ready(&patience).await.expect("an answer"), OrderStatus::Ready);
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    order.finalize_csr(csr.der()).await.expect("finalized");
    order.poll_certificate(&patience).await.expect("a certificate")
}

/// Takes up the challenge without anything to show, and expects to be refused.
async fn fail(order: &mut Order, kind: ChallengeType) {
    let mut authorizations = order.authorizations();
    let mut authorization = authorizations.next().await.unwrap().unwrap();
    authorization.challenge(kind).unwrap().set_ready().await.unwrap();
    let patience = RetryPolicy::new().initial_delay(Duration::from_millis(20));
    // Pebble repeats in the order what is wrong with the challenge; others do not.
    let ended = order.poll_ready(&patience).await;
    let invalid = matches!(ended, Ok(OrderStatus::Invalid) | Err(instant_acme::Error::Api(_)));
    assert!(invalid, "{ended:?}");
}

/// Fails unless a visitor who trusts `roots` accepts the chain for `NAME`.
fn assert_good(chain: &str, roots: &str) {
    let parse = |pem: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
    };
    let (chain, mut store) = (parse(chain), RootCertStore::empty());
    store.add_parsable_certificates(parse(roots));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider);
    let name = ServerName::try_from(NAME).unwrap();
    let verified = verifier.build().unwrap().verify_server_cert(
        &chain[0],
        &chain[1..],
        &name,
        &[],
        UnixTime::now(),
    );
    verified.expect("a chain that leads to the root");
}

/// Answers http-01 here.
fn answer_http(at: SocketAddr, proof: &KeyAuthorization) {
    let (listener, file) = (listen(at), proof.as_str().to_owned());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let asked = crate::support::wire::head(&mut stream);
            assert!(asked.contains("/.well-known/acme-challenge/"), "{asked}");
            let length = file.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{file}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

/// Answers tls-alpn-01 here.
fn answer_tls(at: SocketAddr, digest: &[u8]) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shown = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let (listener, config) = (listen(at), Arc::new(config));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
        }
    });
}

fn listen(at: SocketAddr) -> TcpListener {
    TcpListener::bind(at).expect("the port that the CA knows")
}

#[test]
fn pebble_issues_by_http_01() {
    let doors = Doors::reserve();
    let options = pebble::Options { lifetime_s: 86_400, ..Default::default() };
    let pebble = Pebble::start(&doors, &options);
    let chain = block_on(async {
        let account = account(pebble.directory(), &pebble.ca_file()).await;
        let names = [Identifier::Dns(NAME.to_owned())];
        let show = |proof| answer_http(doors.http(), &proof);
        issue(&account, &NewOrder::new(&names), ChallengeType::Http01, show).await
    });
    assert_good(&chain, &pebble.root_pem());
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 1, 1));
}

#[test]
fn pebble_asks_for_an_external_account_and_for_a_name_that_resolves() {
    let doors = Doors::reserve();
    let key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA";
    let options = pebble::Options {
        external_account: Some(("kid-1".into(), key.into())),
        ..Default::default()
    };
    let pebble = Pebble::start(&doors, &options);
    let names = [Identifier::Dns(NAME.to_owned())];
    block_on(async {
        let (directory, roots) = (pebble.directory(), pebble.ca_file());
        assert!(register(directory, &roots, None).await.is_err());
        let key = b"secret-secret-secret-secret-secret";
        let external = ExternalAccountKey::new("kid-1".to_owned(), key);
        let account = register(directory, &roots, Some(&external)).await.expect("an account");
        pebble.name_fails(NAME);
        let mut order = account.new_order(&NewOrder::new(&names)).await.unwrap();
        fail(&mut order, ChallengeType::Http01).await;
        pebble.name_recovers(NAME);
        let show = |proof| answer_http(doors.http(), &proof);
        issue(&account, &NewOrder::new(&names), ChallengeType::Http01, show).await;
    });
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 2, 1));
}

#[test]
fn the_scripted_ca_issues_by_both_challenges() {
    let doors = Doors::reserve();
    let ca = ScriptedCa::start(&doors);
    ca.set(|knobs| knobs.profiles = vec![Profile { name: "short".into(), lifetime_s: 6 * 86_400 }]);
    let names = [Identifier::Dns(NAME.to_owned())];
    block_on(async {
        let account = account(&ca.directory(), &ca.ca_file()).await;
        let show = |proof| answer_http(doors.http(), &proof);
        let order = NewOrder::new(&names);
        let first = issue(&account, &order, ChallengeType::Http01, show).await;
        assert_good(&first, &ca.root_pem());

        let der = CertificateDer::from_pem_slice(first.as_bytes()).unwrap();
        let id = CertificateIdentifier::try_from(&der).unwrap();
        let (info, _) = account.renewal_info(&id).await.expect("renewal information");
        let old = ca.wait_for_certificate(1);
        let expected = old.not_after - (old.not_after - old.not_before) / 3;
        assert_eq!(info.suggested_window.start.unix_timestamp(), expected);

        let show = |proof: KeyAuthorization| answer_tls(doors.https(), proof.digest().as_ref());
        let order = NewOrder::new(&names).replaces(id).profile("short");
        let second = issue(&account, &order, ChallengeType::TlsAlpn01, show).await;
        assert_good(&second, &ca.root_pem());
    });
    let new = ca.wait_for_certificate(2);
    assert_eq!(new.replaces, Some(ca.wait_for_certificate(1).id));
    assert_eq!(new.not_after - new.not_before, 6 * 86_400);
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len(), seen.finalized), (1, 2, 2), "{seen}");
    assert_eq!(seen.contacts, ["mailto:ops@example.com"]);
}

#[test]
fn a_scripted_fault_is_met_once_and_a_real_client_gets_over_it() {
    let doors = Doors::reserve();
    let ca = ScriptedCa::start(&doors);
    ca.set(|knobs| knobs.validation = Validation::Believe);
    ca.fault(Endpoint::NewOrder, Fault::BadNonce);
    ca.fault(Endpoint::Finalize, Fault::BadNonce);
    block_on(async {
        let account = account(&ca.directory(), &ca.ca_file()).await;
        let names = [Identifier::Dns(NAME.to_owned())];
        issue(&account, &NewOrder::new(&names), ChallengeType::Http01, drop).await;
    });
    let seen = ca.seen();
    assert_eq!(seen.problems(), ["badNonce", "badNonce"], "{seen}");
    assert_eq!((seen.asked(Endpoint::NewOrder), seen.orders.len()), (2, 1), "{seen}");
    assert_eq!((seen.asked(Endpoint::Finalize), seen.finalized), (2, 1), "{seen}");
}

#[test]
fn each_fault_does_what_its_name_says() {
    let ca = ScriptedCa::start(&Doors::reserve());
    let get_within = |seconds| curl(Some(&ca.ca_file()), &["-m", seconds, &ca.directory()]);
    let get = || get_within("20");
    ca.fault(Endpoint::Directory, Fault::Pass);
    ca.fault(Endpoint::Directory, Fault::rate_limited("too many of them", "17"));
    ca.fault(Endpoint::Directory, Fault::Garbage);
    ca.fault_always(Endpoint::Directory, Fault::problem(503, "serverInternal", "busy"));
    assert_eq!(get().status, 200);
    let limited = get();
    assert_eq!((limited.status, limited.field("retry-after")), (429, Some("17")));
    assert!(limited.text().contains("urn:ietf:params:acme:error:rateLimited"), "{limited:?}");
    assert_eq!(get().field("content-type"), Some("text/html"));
    assert_eq!((get().status, get().status), (503, 503));
    ca.heal();
    ca.fault(Endpoint::Directory, Fault::Hang);
    assert_eq!(get_within("0.3").exit, 28, "curl: timeout");
    for fault in [Fault::Close, Fault::LoseAnswer] {
        ca.fault(Endpoint::Directory, fault);
        assert_eq!(get().exit, 52, "curl: empty reply");
    }
    let hold = ca.hold(Endpoint::Directory, Moment::After);
    std::thread::scope(|scope| {
        let cut = scope.spawn(get);
        hold.wait();
        hold.cut();
        assert_eq!(cut.join().unwrap().exit, 52);
    });
    ca.set(|knobs| knobs.down = true);
    assert_ne!(get().exit, 0);
    ca.set(|knobs| knobs.down = false);
    assert_eq!(get().status, 200);
}

#[test]
fn the_scripted_ca_refuses_what_a_real_one_refuses() {
    let doors = Doors::reserve();
    let ca = ScriptedCa::start(&doors);
    ca.set(|knobs| knobs.external_account = Some(("kid-1".into(), b"secret".to_vec())));
    block_on(async {
        let (directory, roots) = (ca.directory(), ca.ca_file());
        for (external, problem) in [
            (None, "externalAccountRequired"),
            (Some(("kid-1", "guess")), "unauthorized"),
            (Some(("kid-2", "secret")), "malformed"),
        ] {
            let external =
                external.map(|(id, key)| ExternalAccountKey::new(id.to_owned(), key.as_bytes()));
            assert!(register(&directory, &roots, external.as_ref()).await.is_err());
            assert_eq!(ca.seen().problems().last().unwrap(), problem);
        }
        let external = ExternalAccountKey::new("kid-1".to_owned(), b"secret");
        let account = register(&directory, &roots, Some(&external)).await.expect("an account");

        let names = [Identifier::Dns(NAME.to_owned())];
        let attempt = async |kind| {
            let mut order = account.new_order(&NewOrder::new(&names)).await.unwrap();
            fail(&mut order, kind).await;
            ca.seen().problems().last().cloned().unwrap()
        };
        assert_eq!(attempt(ChallengeType::Http01).await, "connection", "nobody is there");
        answer_tls(doors.https(), &[7; 32]);
        assert_eq!(attempt(ChallengeType::TlsAlpn01).await, "unauthorized", "the wrong digest");
        ca.forget_accounts();
        assert!(account.new_order(&NewOrder::new(&names)).await.is_err());
        assert_eq!(ca.seen().problems().last().unwrap(), "accountDoesNotExist");
    });
}

#[test]
fn a_request_is_held_and_finished_although_its_client_is_gone() {
    let doors = Doors::reserve();
    let ca = ScriptedCa::start(&doors);
    let account = block_on(account(&ca.directory(), &ca.ca_file()));
    let hold = ca.hold(Endpoint::NewOrder, Moment::Before);
    let hold = block_on(async {
        let names = [Identifier::Dns(NAME.to_owned())];
        let order = NewOrder::new(&names);
        let held = tokio::task::spawn_blocking(move || {
            hold.wait();
            hold
        });
        tokio::select! { _ = account.new_order(&order) => panic!("it is held"), hold = held => hold.unwrap() }
    });
    assert_eq!(ca.seen().orders.len(), 0);
    hold.release();
    ca.wait_for_requests(Endpoint::NewOrder, 1);
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn a_daemon_lives_by_the_clock_and_at_the_ports_that_the_test_gave_it() {
    let (place, doors) = (Place::new(), Doors::reserve());
    let site = "[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"";
    place.configure_at(doors.https(), doors.http(), site);
    let clock = FakeClock::ahead_s(&place, 3 * 366 * 86_400);
    let year = |line: &serde_json::Value| -> u32 {
        line["timestamp"].as_str().unwrap().split('-').next().unwrap().parse().unwrap()
    };
    let daemon = place.start_with(&clock.environment());
    assert_eq!((daemon.https(), daemon.http()), (doors.https(), doors.http()));
    let ahead = year(&daemon.lines()[0]);
    clock.set_ahead_s(0);
    daemon.reload();
    let now = year(&daemon.wait_for_event("reloaded"));
    assert_eq!(ahead - now, 3);

    // The ports stay the daemon's between two lives.
    daemon.sigkill();
    assert_eq!(place.start().https(), doors.https());
}
