//! The proof that a name is ours: the CA asks, we answer, it looks, it decides.
//!
//! Refuses to answer for a name that was not ordered. Bounds: [`POLL`] for the CA's verdict, its Retry-After included.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Identifier, Order, OrderStatus,
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
        let fetch = async |order: &mut Order| -> Result<(), Error> {
            let mut all = order.authorizations();
            while let Some(one) = all.next().await {
                one?;
            }
            Ok(())
        };
        patient!(self.http, fetch(order))
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
            let mut all = order.authorizations();
            while let Some(one) = all.next().await {
                let mut one = one.map_err(explain)?;
                if one.status != AuthorizationStatus::Pending {
                    continue;
                }
                let name = self.name_of(one.identifier().identifier)?;
                let offered: Vec<String> = one.challenges.iter().map(|c| word(&c.r#type)).collect();
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
        let mut all = order.authorizations();
        while let Some(Ok(mut one)) = all.next().await {
            let name = self.name_of(one.identifier().identifier);
            if patient!(self.http, one.refresh()).is_err() {
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
            if Instant::now() + wait > deadline {
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
