//! The CA's books: nonces, accounts, orders and authorizations.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::jose;
use super::protocol::Refusal;

/// An account; its number is its place in the book, from 0.
pub struct Account {
    pub jwk: Value,
    pub contact: Value,
    pub forgotten: bool,
}

pub struct Order {
    pub account: usize,
    pub names: Vec<String>,
    pub authorizations: Vec<usize>,
    pub profile: Option<String>,
    pub replaces: Option<String>,
    /// Which of the issued certificates it is.
    pub certificate: Option<usize>,
    /// How often it still says `processing`.
    pub polls_left: u32,
    pub forgotten: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Pending,
    Processing,
    Valid,
    Invalid,
}

impl Standing {
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

pub struct Authorization {
    pub account: usize,
    pub name: String,
    pub token: String,
    pub challenges: Vec<&'static str>,
    /// Of the challenge that was tried; the authorization itself is never `processing`.
    pub standing: Standing,
    pub tried: Option<String>,
    pub error: Option<Value>,
}

#[derive(Default)]
pub struct Book {
    nonces: HashSet<String>,
    pub accounts: Vec<Account>,
    pub orders: Vec<Order>,
    pub authorizations: Vec<Authorization>,
}

/// 128 bits that nobody guesses, as base64url.
fn random() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("random bytes");
    jose::encode(&bytes)
}

impl Book {
    pub fn fresh_nonce(&mut self) -> String {
        let nonce = random();
        self.nonces.insert(nonce.clone());
        nonce
    }

    /// Whether the nonce was good; it is not a second time.
    pub fn spend(&mut self, nonce: &str) -> bool {
        self.nonces.remove(nonce)
    }

    pub fn forget_accounts(&mut self) {
        self.accounts.iter_mut().for_each(|account| account.forgotten = true);
    }

    pub fn forget_orders(&mut self) {
        self.orders.iter_mut().for_each(|order| order.forgotten = true);
    }

    pub fn account_by_key(&self, jwk: &Value) -> Option<usize> {
        self.accounts.iter().position(|account| !account.forgotten && account.jwk == *jwk)
    }

    pub fn order(&self, number: &str, account: usize) -> Result<usize, Refusal> {
        let number: usize = number.parse().map_err(|_| Refusal::not_found())?;
        let order = self.orders.get(number).filter(|order| !order.forgotten);
        match order {
            None => Err(Refusal::not_found()),
            Some(order) if order.account != account => Err(Refusal::not_yours()),
            Some(_) => Ok(number),
        }
    }

    pub fn authorization(&self, number: &str, account: usize) -> Result<usize, Refusal> {
        let number: usize = number.parse().map_err(|_| Refusal::not_found())?;
        match self.authorizations.get(number) {
            None => Err(Refusal::not_found()),
            Some(authorization) if authorization.account != account => Err(Refusal::not_yours()),
            Some(_) => Ok(number),
        }
    }

    /// The authorization of an order for a name: a valid one of an earlier order, or a new one.
    pub fn authorize(
        &mut self,
        account: usize,
        name: &str,
        challenges: &[&'static str],
        reuse: bool,
    ) -> usize {
        let valid = |authorization: &Authorization| {
            let standing = authorization.standing == Standing::Valid;
            standing && authorization.account == account && authorization.name == name
        };
        if let Some(valid) = self.authorizations.iter().rposition(valid).filter(|_| reuse) {
            return valid;
        }
        self.authorizations.push(Authorization {
            account,
            name: name.to_owned(),
            token: random(),
            challenges: challenges.to_vec(),
            standing: Standing::Pending,
            tried: None,
            error: None,
        });
        self.authorizations.len() - 1
    }

    pub fn key_authorization(&self, authorization: usize) -> String {
        let authorization = &self.authorizations[authorization];
        let thumbprint = jose::thumbprint(&self.accounts[authorization.account].jwk);
        format!("{}.{thumbprint}", authorization.token)
    }

    /// RFC 8555 section 7.1.6.
    pub fn order_status(&self, order: &Order) -> &'static str {
        let mut standings =
            order.authorizations.iter().map(|&number| self.authorizations[number].standing);
        if order.certificate.is_some() {
            return if order.polls_left > 0 { "processing" } else { "valid" };
        }
        if standings.clone().any(|standing| standing == Standing::Invalid) {
            return "invalid";
        }
        if standings.all(|standing| standing == Standing::Valid) { "ready" } else { "pending" }
    }

    /// Why an authorization failed stands in its challenge and not here, as Let's Encrypt has it.
    pub fn order_json(&self, number: usize, base: &str) -> Value {
        let order = &self.orders[number];
        let status = self.order_status(order);
        let identifier = |name: &String| json!({ "type": "dns", "value": name });
        let url = |number: &usize| format!("{base}/authz/{number}");
        let mut body = json!({
            "status": status,
            "identifiers": order.names.iter().map(identifier).collect::<Vec<_>>(),
            "authorizations": order.authorizations.iter().map(url).collect::<Vec<_>>(),
            "finalize": format!("{base}/finalize/{number}"),
        });
        if let Some(profile) = &order.profile {
            body["profile"] = json!(profile);
        }
        if let Some(replaces) = &order.replaces {
            body["replaces"] = json!(replaces);
        }
        if status == "valid" {
            body["certificate"] = json!(format!("{base}/certificate/{number}"));
        }
        body
    }

    pub fn authorization_json(&self, number: usize, base: &str) -> Value {
        let authorization = &self.authorizations[number];
        let status = match authorization.standing {
            Standing::Processing => Standing::Pending,
            standing => standing,
        };
        // Once one challenge has decided, the others are gone.
        let kinds = authorization.challenges.iter().filter(|kind| {
            status == Standing::Pending || authorization.tried.as_deref() == Some(**kind)
        });
        json!({
            "status": status.word(),
            "identifier": { "type": "dns", "value": authorization.name },
            "challenges": kinds.map(|kind| self.challenge_json(number, kind, base)).collect::<Vec<_>>(),
        })
    }

    pub fn challenge_json(&self, number: usize, kind: &str, base: &str) -> Value {
        let authorization = &self.authorizations[number];
        let tried = authorization.tried.as_deref() == Some(kind);
        let standing = if tried { authorization.standing } else { Standing::Pending };
        let mut body = json!({
            "type": kind,
            "url": format!("{base}/challenge/{number}/{kind}"),
            "token": authorization.token,
            "status": standing.word(),
        });
        if let Some(error) = authorization.error.as_ref().filter(|_| tried) {
            body["error"] = error.clone();
        }
        body
    }
}
