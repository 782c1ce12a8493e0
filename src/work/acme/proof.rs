//! The proof that a name is ours: the CA asks, we answer, it looks, it decides.
//!
//! Refuses to answer for a name that was not ordered, and with a token that is none. Bounds: as many authorizations as
//! names, each of [`AUTHORIZATION_BYTES_MAX`]; [`POLL`] for the CA's verdict, its Retry-After included.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, Challenge, ChallengeStatus, ChallengeType, Error, Identifier, Order,
    OrderStatus,
};
use tokio::time::Instant;

use super::answers::Answers;
use super::order::{Run, patient};
use super::problem::{self, Class, Trouble, What};
use super::settings::ChallengeKind;
use crate::base::Host;

/// For a validation, and again for the issuance.
const POLL: Duration = Duration::from_secs(75);
const POLL_FIRST: Duration = Duration::from_millis(250);
const POLL_MAX: Duration = Duration::from_secs(5);
/// Of one authorization; a real one has less than 2 KiB.
const AUTHORIZATION_BYTES_MAX: usize = 64 * 1024;
/// Of one authorization; a real one has three or four.
const CHALLENGES_MAX: usize = 32;
/// Real ones have 22 to 86.
const TOKEN_BYTES_MAX: usize = 256;

impl Run<'_> {
    /// Answers the CA's questions for every name that it asks about, and waits for its verdict.
    pub(super) async fn prove(
        &self,
        order: &mut Order,
        challenge: ChallengeKind,
    ) -> Result<Option<ChallengeKind>, Trouble> {
        self.fetch_authorizations(order).await?;
        let mut answers = Answers::new(Arc::clone(&self.tools.parts.challenges));
        let asked = self.answer(order, challenge, &mut answers).await?;
        let settled =
            [OrderStatus::Ready, OrderStatus::Valid, OrderStatus::Invalid, OrderStatus::Processing];
        self.poll(order, &settled).await?;
        if order.state().status == OrderStatus::Invalid {
            return Err(self.verdict(order, challenge).await);
        }
        Ok(asked.then_some(challenge))
    }

    /// Fetches what is to be proven; each authorization stays known to the order once it was fetched.
    async fn fetch_authorizations(&self, order: &mut Order) -> Result<(), Trouble> {
        let fetch = async |order: &mut Order, count: usize| -> Result<(), Error> {
            let mut all = order.authorizations();
            for _ in 0..count {
                all.next().await.transpose()?;
            }
            Ok(())
        };
        let mut names: Vec<Host> = Vec::new();
        for count in 1..=self.authorizations(order)? {
            patient!(self.http, fetch(order, count))?;
            let bytes = self.http.seen().body_bytes;
            if bytes > AUTHORIZATION_BYTES_MAX {
                return Err(nonsense(format!("the CA sends an authorization of {bytes} bytes")));
            }
            let fetched = order.state().authorizations.get(count - 1);
            let Some(state) = fetched.and_then(|one| one.state.as_ref()) else { continue };
            let name = self.name_of(state.identifier().identifier)?;
            if names.contains(&name) {
                return Err(nonsense(format!("the CA asks about {name} twice")));
            }
            tokens(&state.challenges).map_err(nonsense)?;
            names.push(name);
        }
        Ok(())
    }

    /// How many authorizations the order has: at most one for each name (RFC 8555 §7.1.3).
    fn authorizations(&self, order: &mut Order) -> Result<usize, Trouble> {
        let (count, names) = (order.state().authorizations.len(), self.job.names.len());
        if count <= names {
            return Ok(count);
        }
        Err(nonsense(format!(
            "the CA asks for {count} authorizations of an order for {names} names"
        )))
    }

    /// Puts all answers in place, then tells the CA to look. False if nothing was left to prove.
    async fn answer(
        &self,
        order: &mut Order,
        kind: ChallengeKind,
        answers: &mut Answers,
    ) -> Result<bool, Trouble> {
        let explain = |error: Error| Trouble::of(&error, &self.http.seen());
        let mut asked = false;
        for tell in [false, true] {
            if tell {
                answers.publish();
            }
            let mut all = order.authorizations();
            while let Some(one) = all.next().await {
                let mut one = one.map_err(explain)?;
                if one.status != AuthorizationStatus::Pending {
                    continue;
                }
                let name = self.name_of(one.identifier().identifier)?;
                let offered: Box<[String]> =
                    one.challenges.iter().map(|c| word(&c.r#type)).collect();
                let Some(mut challenge) = one.challenge(wire(kind)) else {
                    let detail = format!("{} is not offered for {name}", kind.word());
                    let what = What::NoChallenge { offered };
                    return Err(Trouble::new(what, Class::Validation, detail));
                };
                asked = true;
                if tell && challenge.status != ChallengeStatus::Pending {
                    continue; // told before a crash: the CA is looking already
                }
                if tell {
                    (self.job.say)(&format!("proving {name} by {}", kind.word()));
                    patient!(self.http, challenge.set_ready()).map_err(|t| t.at(&name, kind))?;
                    continue;
                }
                let authorization = challenge.key_authorization();
                match kind {
                    ChallengeKind::Http01 => {
                        answers.put_http(&name, &challenge.token, authorization.as_str());
                    }
                    ChallengeKind::TlsAlpn01 => answers
                        .put_tls(&name, authorization.digest().as_ref())
                        .map_err(Trouble::state)?,
                }
            }
        }
        Ok(asked)
    }

    fn name_of(&self, identifier: &Identifier) -> Result<Host, Trouble> {
        let text = match identifier {
            Identifier::Dns(name) => name.clone(),
            Identifier::Ip(ip) => ip.to_string(),
            _ => String::new(),
        };
        // Promise 7, the other way round: nothing is answered that was not asked for.
        text.parse::<Host>().ok().filter(|name| self.job.names.contains(name)).ok_or_else(|| {
            let detail = format!("the CA asks about {text}, which was not ordered");
            Trouble::new(What::Issued, Class::Ca, detail)
        })
    }

    /// Why the CA was not convinced: the error of the first challenge that has one.
    async fn verdict(&self, order: &mut Order, kind: ChallengeKind) -> Trouble {
        let mut found = order.state().error.as_ref().map(Trouble::of_problem);
        // It was asked for anew since they were counted.
        if let Err(trouble) = self.authorizations(order) {
            return found.unwrap_or(trouble);
        }
        let mut all = order.authorizations();
        while let Some(Ok(mut one)) = all.next().await {
            let name = self.name_of(one.identifier().identifier);
            let refreshed = patient!(self.http, one.refresh()).is_ok();
            if !refreshed || self.http.seen().body_bytes > AUTHORIZATION_BYTES_MAX {
                break;
            }
            let error = one.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            if let (Some(problem), Ok(name)) = (error, name) {
                found = Some(Trouble::of_problem(problem).at(&name, kind));
                break;
            }
        }
        found.unwrap_or_else(|| {
            let detail = "the CA declared the order invalid without saying why";
            Trouble::new(What::Problem, Class::Validation, detail).at(&self.job.site, kind)
        })
    }

    /// Asks for the order until it is in one of `states`.
    pub(super) async fn poll(
        &self,
        order: &mut Order,
        states: &[OrderStatus],
    ) -> Result<(), Trouble> {
        let deadline = Instant::now() + POLL;
        let mut delay = POLL_FIRST;
        while !states.contains(&order.state().status) {
            let asked = self.http.seen().retry_after_s.map(Duration::from_secs);
            let wait = asked.unwrap_or(delay).max(POLL_FIRST);
            if Instant::now().checked_add(wait).is_none_or(|then| then > deadline) {
                let detail =
                    format!("the order is still {:?}", order.state().status).to_lowercase();
                let slow = Trouble::new(What::Slow, Class::Network, detail);
                return Err(Trouble { retry_after_s: asked.map(|wait| wait.as_secs()), ..slow });
            }
            tokio::time::sleep(wait).await;
            delay = (delay * 2).min(POLL_MAX);
            patient!(self.http, async { order.refresh().await.map(drop) })?;
        }
        Ok(())
    }
}

/// An answer that no CA should give.
fn nonsense(detail: impl AsRef<str>) -> Trouble {
    Trouble::new(What::Answer, Class::Ca, detail)
}

/// Checks the tokens of the challenges that could be answered: they become paths and bodies of our own answers.
fn tokens(challenges: &[Challenge]) -> Result<(), String> {
    if challenges.len() > CHALLENGES_MAX {
        return Err(format!("the CA offers {} challenges for one name", challenges.len()));
    }
    let ours = [ChallengeType::Http01, ChallengeType::TlsAlpn01];
    for challenge in challenges.iter().filter(|challenge| ours.contains(&challenge.r#type)) {
        let token = &challenge.token;
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=TOKEN_BYTES_MAX).contains(&token.len()) || !token.bytes().all(base64url) {
            return Err(format!(
                "the CA's token of {} bytes is not one of 1 to {TOKEN_BYTES_MAX} base64url characters",
                token.len()
            ));
        }
    }
    Ok(())
}

const fn wire(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Http01 => ChallengeType::Http01,
    }
}

fn word(kind: &ChallengeType) -> String {
    match kind {
        ChallengeType::Http01 => "http-01".into(),
        ChallengeType::TlsAlpn01 => "tls-alpn-01".into(),
        ChallengeType::Dns01 => "dns-01".into(),
        ChallengeType::Unknown(other) => problem::words(other),
        _ => "another".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(token: &str, count: usize) -> Vec<Challenge> {
        let one = serde_json::json!({
            "type": "http-01", "url": "https://ca.example/1", "token": token, "status": "pending",
        });
        serde_json::from_value(vec![one; count].into()).expect("challenges")
    }

    #[test]
    fn a_token_is_base64url_and_no_path_header_or_page() {
        // RFC 8555 §8.3: "The token … MUST NOT contain any characters outside the base64url alphabet".
        for good in ["LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", "a", &"-_".repeat(128)] {
            tokens(&challenges(good, 1)).expect("a token");
        }
        for bad in ["", "../../x", "a\r\nSet-Cookie: x", "<b>", "a=", "é", &"a".repeat(257)] {
            let refused = tokens(&challenges(bad, 1)).expect_err(bad);
            assert!(!refused.contains("Set-Cookie"), "{refused}");
        }
        assert!(tokens(&challenges("a", CHALLENGES_MAX)).is_ok());
        assert!(tokens(&challenges("a", CHALLENGES_MAX + 1)).is_err());
        let mut other = challenges("", 1);
        other[0].r#type = ChallengeType::Unknown("new-01".into());
        tokens(&other).expect("what is not answered needs no token");
    }
}
