//! From an order to a certificate that visitors accept, at a CA that is not of our making.

use crate::support::acme_site::{AcmePlace, assert_serves, certificate, wait_for_site};
use crate::support::{Pebble, TlsClient, pebble};

const NAME: &str = "app.example.com";

/// Keys of `[acme]`: what is issued, and to which account.
#[test]
fn http_01_alone_leads_to_a_certificate_that_visitors_accept() {
    let place = AcmePlace::new();
    let pebble = Pebble::start(&place.doors, &pebble::Options::default());
    place.sites_at_pebble(&pebble, "challenges = [\"http-01\"]", &[NAME]);
    let daemon = place.start();
    let issued = wait_for_site(&daemon, "certificate_issued", NAME, 1);
    assert_eq!(issued["challenge"], "http-01", "{issued}");
    assert_serves(&TlsClient::trusting(&pebble.root_pem()), &daemon, NAME);
    assert_eq!(certificate(&daemon, NAME)["state"], "served");
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 1, 1));
}
