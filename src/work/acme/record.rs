//! What the audit log is told of a new certificate.

use sha2::{Digest, Sha256};

use super::manager::Manager;
use crate::base::Host;
use crate::base::audit::{By, Facts, Intent, Source, action};
use crate::base::hex;
use crate::base::timestamp::rfc3339;
use crate::store::certs::{Certificate, Origin};

impl Manager {
    /// On behalf of whoever asked for the attempt, or of nobody.
    pub(super) fn intent(&self, site: &Host, by: Option<By>, new: &Certificate) -> Intent {
        let by = by.unwrap_or(By::system(Source::Acme));
        let old = self.sites().known.get(site).and_then(|known| known.stored.clone());
        let action = match (new.origin, &old) {
            (Origin::Imported, _) => action::CERTIFICATE_IMPORT,
            (Origin::Acme, Some(_)) => action::CERTIFICATE_RENEW,
            (Origin::Acme, None) => action::CERTIFICATE_ISSUE,
        };
        let intent = Intent::new(self.tools.now_s().saturating_mul(1000), by, action);
        let before = old.as_ref().map(facts).unwrap_or_default();
        Intent { before, after: facts(new), ..intent.on(site.as_str()) }
    }
}

pub(super) fn facts(certificate: &Certificate) -> Facts {
    let digest = Sha256::digest(certificate.chain.first().map(Vec::as_slice).unwrap_or_default());
    let mut digits = [0; 64];
    hex::write(&mut digits, &digest);
    let text = [
        ("sha256", String::from_utf8_lossy(&digits).into_owned()),
        ("not_after", rfc3339(certificate.not_after_s)),
    ];
    text.into_iter().map(|(name, value)| (name.to_owned(), value.as_str().into())).collect()
}
