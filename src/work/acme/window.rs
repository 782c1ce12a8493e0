//! When the CA wants its certificates renewed (ARI, RFC 9773). Asking needs no account.

use std::sync::Arc;

use instant_acme::{CertificateIdentifier, RenewalInfo};
use rustls::pki_types::CertificateDer;

use super::core;
use super::fault::Fault;
use super::http::Http;
use super::manager::Manager;
use super::problem;
use crate::base::Host;
use crate::base::timestamp::rfc3339;
use crate::store::certs::{Ari, Origin};
use crate::telemetry::Level;

/// Certificates asked for in one go.
const BATCH: usize = 32;
/// A CA that does not answer, or does not know the certificate, is left alone for as long.
const PAUSE_S: i64 = 60 * 60;
/// A CA without windows may have them one day.
const PAUSE_NONE_S: i64 = core::DAY_S;

/// One question.
pub(super) struct Question {
    site: Host,
    directory_url: String,
    leaf: Vec<u8>,
    not_after_s: i64,
    before: Option<Ari>,
}

/// What an answer came to.
enum Outcome {
    Window(Ari),
    /// The CA does not know this certificate, or says nonsense about it.
    NotThis,
    /// The CA has no windows.
    None,
    Silent,
}

impl Manager {
    /// Certificates whose window should be asked for now.
    pub(super) fn windows_to_ask(&self) -> Vec<Question> {
        let now_s = self.tools.now_s();
        let sites = self.sites();
        let due = sites.known.iter().filter_map(|(name, site)| {
            let stored = site.stored.as_ref().filter(|stored| stored.origin == Origin::Acme)?;
            let directory_url = stored.directory.clone()?;
            let pause_s = sites.windows_pause_s.get(&directory_url).copied().unwrap_or(i64::MIN);
            // An expired certificate is renewed in any case.
            // A pause that is longer than any was set by a clock that was ahead.
            let paused = (now_s + 1..=now_s + PAUSE_NONE_S).contains(&site.window_pause_s)
                || (now_s + 1..=now_s + PAUSE_NONE_S).contains(&pause_s);
            let asks = site.ordered()
                && !paused
                && stored.not_after_s > now_s
                && core::asks_window(now_s, stored.ari.as_ref());
            asks.then(|| Question {
                site: name.clone(),
                directory_url,
                leaf: stored.chain.first().cloned().unwrap_or_default(),
                not_after_s: stored.not_after_s,
                before: stored.ari.clone(),
            })
        });
        due.take(BATCH).collect()
    }

    pub(super) async fn ask_windows(self: Arc<Self>, questions: Vec<Question>) {
        let ca_file = self.sites().wanted.acme.ca_file.clone();
        let mut client: Option<(String, Http)> = None;
        for question in questions {
            let http = match &client {
                Some((url, http)) if *url == question.directory_url => http.clone(),
                _ => {
                    let resolver = Arc::clone(&self.tools.parts.resolver);
                    match Http::new(&question.directory_url, ca_file.as_deref(), resolver) {
                        Ok(http) => http,
                        Err(_) => {
                            self.settle(&question, Outcome::Silent).await; // an order would say why
                            continue;
                        }
                    }
                }
            };
            client = Some((question.directory_url.clone(), http.clone()));
            let outcome = ask(&http, &question, self.tools.now_s()).await;
            self.settle(&question, outcome).await;
        }
    }

    async fn settle(&self, question: &Question, outcome: Outcome) {
        let now_s = self.tools.now_s();
        let ari = {
            let mut sites = self.sites();
            match outcome {
                Outcome::Window(ari) => {
                    let known = sites.known.get_mut(&question.site);
                    let stored = known.and_then(|known| known.stored.as_mut());
                    let Some(stored) = stored.filter(|s| s.not_after_s == question.not_after_s)
                    else {
                        return; // replaced meanwhile
                    };
                    stored.ari = Some(ari.clone());
                    ari
                }
                Outcome::NotThis => {
                    if let Some(known) = sites.known.get_mut(&question.site) {
                        known.window_pause_s = now_s + PAUSE_S;
                    }
                    return;
                }
                Outcome::None | Outcome::Silent => {
                    let none = matches!(outcome, Outcome::None);
                    let pause_s = if none { PAUSE_NONE_S } else { PAUSE_S };
                    sites.windows_pause_s.insert(question.directory_url.clone(), now_s + pause_s);
                    return;
                }
            }
        };
        let window = |ari: &Ari| (ari.start_s, ari.end_s);
        if question.before.as_ref().is_some_and(|before| window(before) != window(&ari)) {
            self.tools.parts.log.event(Level::Info, "renewal_window_changed", |line| {
                line.text("site", question.site.as_str())
                    .text("start", &rfc3339(ari.start_s))
                    .text("end", &rfc3339(ari.end_s));
                if let Some(url) = &ari.explanation_url {
                    line.text("explanation", url);
                }
            });
        }
        // Lost at the worst until the CA is asked again.
        let store = &self.tools.parts.store;
        let _ = store.put_ari(question.site.as_str(), question.not_after_s, ari).await;
    }
}

async fn ask(http: &Http, question: &Question, now_s: i64) -> Outcome {
    let base = match http.directory().await {
        Ok(facts) => facts.renewal_info,
        Err(_) => return Outcome::Silent,
    };
    let Some(base) = base else { return Outcome::None };
    let leaf = CertificateDer::from(question.leaf.as_slice());
    let Ok(id) = CertificateIdentifier::try_from(&leaf) else { return Outcome::NotThis };
    let url = format!("{}/{id}", base.trim_end_matches('/'));
    let answer = match http.get(&url).await {
        Ok(answer) => answer,
        Err(Fault::Url(_) | Fault::TooLarge { .. }) => return Outcome::NotThis,
        Err(_) => return Outcome::Silent,
    };
    match answer.status().as_u16() {
        200 => {}
        429 | 500.. => return Outcome::Silent,
        _ => return Outcome::NotThis,
    }
    let Ok(info) = serde_json::from_slice::<RenewalInfo>(answer.body()) else {
        return Outcome::NotThis;
    };
    let (start_s, end_s) =
        (info.suggested_window.start.unix_timestamp(), info.suggested_window.end.unix_timestamp());
    // RFC 9773 §4.2: a window that ends before it starts is treated as if there were none.
    if start_s >= end_s {
        return Outcome::NotThis;
    }
    Outcome::Window(Ari {
        start_s,
        end_s,
        explanation_url: info.explanation_url.as_deref().map(problem::words),
        asked_at_s: now_s,
        ask_again_at_s: core::ask_again_at_s(now_s, http.seen().retry_after_s),
    })
}
