//! What the CA answers to each request: RFC 8555, with `replaces` and renewal information of RFC 9773.

use serde_json::{Value, json};

use super::issue::Wanted;
use super::jose::{self, Signed};
use super::orders::{Account, Order, Standing};
use super::script::Endpoint;
use super::server::State;

/// A problem document.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: u16,
    pub kind: String,
    pub detail: String,
    pub retry_after: Option<String>,
}

impl Refusal {
    pub fn new(status: u16, kind: &str, detail: impl Into<String>) -> Self {
        Self { status, kind: kind.to_owned(), detail: detail.into(), retry_after: None }
    }

    fn malformed(detail: &str) -> Self {
        Self::new(400, "malformed", detail)
    }

    pub fn not_found() -> Self {
        Self::new(404, "malformed", "there is no such thing")
    }

    pub fn not_yours() -> Self {
        Self::new(403, "unauthorized", "it belongs to another account")
    }

    pub fn bad_nonce() -> Self {
        Self::new(400, "badNonce", "the nonce is not one of ours, or not any more")
    }

    pub fn document(&self) -> Value {
        json!({
            "type": format!("urn:ietf:params:acme:error:{}", self.kind),
            "detail": self.detail,
            "status": self.status,
        })
    }
}

/// An answer before it is put into HTTP.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub content_type: &'static str,
    pub body: String,
    /// The authorization that the CA looks at next, and how.
    pub validate: Option<(usize, String)>,
}

impl Reply {
    pub fn text(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, headers: Vec::new(), content_type, body, validate: None }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    /// Changes the body where it is JSON.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        if let Ok(mut body) = serde_json::from_str(&self.body) {
            change(&mut body);
            self.body = body.to_string();
        }
    }

    fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn refusal(refusal: &Refusal) -> Self {
        let body = refusal.document().to_string();
        let reply = Self::text(refusal.status, "application/problem+json", body);
        match &refusal.retry_after {
            Some(retry_after) => reply.header("retry-after", retry_after.clone()),
            None => reply,
        }
    }
}

/// A request as the CA understands it.
pub struct Request<'a> {
    pub base: &'a str,
    pub endpoint: Endpoint,
    pub method: &'a str,
    pub path: &'a str,
    /// The rest of the path behind the endpoint.
    pub id: &'a str,
    pub signed: Option<&'a Signed>,
}

impl Endpoint {
    /// The endpoint of a path, and what follows it.
    pub fn of(path: &str) -> Option<(Self, &str)> {
        let path = path.strip_prefix('/')?;
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let endpoint = match first {
            "dir" => Self::Directory,
            "new-nonce" => Self::NewNonce,
            "new-account" => Self::NewAccount,
            "account" => Self::Account,
            "new-order" => Self::NewOrder,
            "order" => Self::Order,
            "authz" => Self::Authorization,
            "challenge" => Self::Challenge,
            "finalize" => Self::Finalize,
            "certificate" => Self::Certificate,
            "renewal-info" => Self::RenewalInfo,
            "revoke" => Self::Revoke,
            _ => return None,
        };
        Some((endpoint, rest))
    }
}

pub fn answer(state: &mut State, request: &Request<'_>) -> Result<Reply, Refusal> {
    match request.endpoint {
        Endpoint::Directory => return Ok(directory(state, request.base)),
        Endpoint::NewNonce => {
            let status = if request.method == "HEAD" { 200 } else { 204 };
            return Ok(Reply::text(status, "text/plain", String::new()));
        }
        Endpoint::RenewalInfo => return renewal_info(state, request),
        _ => {}
    }
    let signed = request.signed.ok_or_else(|| Refusal::malformed("this is no JWS"))?;
    if signed.header["url"] != format!("{}{}", request.base, request.path) {
        return Err(Refusal::new(401, "unauthorized", "the JWS is for another URL"));
    }
    if !state.book.spend(signed.header["nonce"].as_str().unwrap_or_default()) {
        return Err(Refusal::bad_nonce());
    }
    if request.endpoint == Endpoint::NewAccount {
        return new_account(state, request.base, signed);
    }
    let account = signer(state, request.base, signed)?;
    match request.endpoint {
        Endpoint::Account => Ok(update_account(state, account, &signed.payload)),
        Endpoint::NewOrder => new_order(state, request.base, account, &signed.payload),
        Endpoint::Order => order(state, request, account),
        Endpoint::Authorization => authorization(state, request, account),
        Endpoint::Challenge => challenge(state, request, account),
        Endpoint::Finalize => finalize(state, request, account, &signed.payload),
        Endpoint::Certificate => certificate(state, request, account),
        Endpoint::Revoke => Ok(Reply::text(200, "text/plain", String::new())),
        other => unreachable!("{other:?} needs no signature"),
    }
}

fn directory(state: &State, base: &str) -> Reply {
    let url = |path: &str| json!(format!("{base}/{path}"));
    let mut meta = json!({ "termsOfService": url("terms") });
    if state.knobs.external_account.is_some() {
        meta["externalAccountRequired"] = json!(true);
    }
    for profile in &state.knobs.profiles {
        meta["profiles"][&profile.name] = json!("a profile of the tests");
    }
    let mut body = json!({
        "newNonce": url("new-nonce"),
        "newAccount": url("new-account"),
        "newOrder": url("new-order"),
        "revokeCert": url("revoke"),
        "meta": meta,
    });
    if state.knobs.ari {
        body["renewalInfo"] = url("renewal-info");
    }
    Reply::json(200, &body)
}

/// The account whose key signed.
fn signer(state: &State, base: &str, signed: &Signed) -> Result<usize, Refusal> {
    let kid = signed.header["kid"].as_str().unwrap_or_default();
    let number = kid.strip_prefix(&format!("{base}/account/"));
    let number: Option<usize> = number.and_then(|number| number.parse().ok());
    let account = number.and_then(|number| state.book.accounts.get(number));
    let unknown = || Refusal::new(400, "accountDoesNotExist", "there is no such account");
    let account = account.filter(|account| !account.forgotten).ok_or_else(unknown)?;
    if !signed.is_by(&account.jwk) {
        return Err(Refusal::malformed("the signature is not the account's"));
    }
    Ok(number.unwrap_or_default())
}

fn new_account(state: &mut State, base: &str, signed: &Signed) -> Result<Reply, Refusal> {
    let (jwk, payload) = (&signed.header["jwk"], &signed.payload);
    if !signed.is_by(jwk) {
        return Err(Refusal::malformed("the signature is not by the key in the header"));
    }
    let (status, number) = match state.book.account_by_key(jwk) {
        Some(number) => (200, number),
        None if payload["onlyReturnExisting"] == true => {
            return Err(Refusal::new(400, "accountDoesNotExist", "there is no such account"));
        }
        None => {
            if payload["termsOfServiceAgreed"] != true {
                let detail = "the terms of service are not agreed to";
                return Err(Refusal::new(403, "userActionRequired", detail));
            }
            bind_external(state, base, jwk, &payload["externalAccountBinding"])?;
            let contact = payload["contact"].clone();
            state.seen.accounts += 1;
            state.book.accounts.push(Account { jwk: jwk.clone(), contact, forgotten: false });
            (201, state.book.accounts.len() - 1)
        }
    };
    note_contact(state, number);
    let reply = account_reply(state, status, number);
    Ok(reply.header("location", format!("{base}/account/{number}")))
}

/// RFC 8555 section 7.3.4.
fn bind_external(state: &State, base: &str, jwk: &Value, binding: &Value) -> Result<(), Refusal> {
    let Some((id, key)) = &state.knobs.external_account else { return Ok(()) };
    let required = || {
        Refusal::new(400, "externalAccountRequired", "an account needs an external account binding")
    };
    let binding = Signed::parse(binding).ok_or_else(required)?;
    let for_us = binding.header["url"] == format!("{base}/new-account");
    if !for_us || binding.header["kid"] != *id.as_str() || binding.payload != *jwk {
        return Err(Refusal::malformed("the external account binding is for something else"));
    }
    if !binding.is_by_secret(key) {
        return Err(Refusal::new(403, "unauthorized", "the external account has another key"));
    }
    Ok(())
}

fn note_contact(state: &mut State, number: usize) {
    let contact = state.book.accounts[number].contact.as_array().cloned().unwrap_or_default();
    let words = contact.iter().filter_map(Value::as_str).map(str::to_owned);
    state.seen.contacts = words.collect();
}

fn account_reply(state: &State, status: u16, number: usize) -> Reply {
    let contact = &state.book.accounts[number].contact;
    Reply::json(status, &json!({ "status": "valid", "contact": contact }))
}

fn update_account(state: &mut State, number: usize, payload: &Value) -> Reply {
    if payload["contact"].is_array() {
        state.book.accounts[number].contact = payload["contact"].clone();
        note_contact(state, number);
    }
    account_reply(state, 200, number)
}

fn new_order(
    state: &mut State,
    base: &str,
    account: usize,
    payload: &Value,
) -> Result<Reply, Refusal> {
    let mut names = Vec::new();
    for identifier in payload["identifiers"].as_array().into_iter().flatten() {
        match identifier["value"].as_str() {
            Some(name) if identifier["type"] == "dns" => names.push(name.to_ascii_lowercase()),
            _ => return Err(Refusal::new(400, "unsupportedIdentifier", identifier.to_string())),
        }
    }
    if names.is_empty() {
        return Err(Refusal::malformed("the order names nothing"));
    }
    let profile = payload["profile"].as_str().map(str::to_owned);
    if let Some(profile) = &profile
        && !state.knobs.profiles.iter().any(|known| known.name == *profile)
    {
        return Err(Refusal::new(400, "invalidProfile", format!("there is no profile {profile}")));
    }
    let replaces = payload["replaces"].as_str().map(str::to_owned);
    if let Some(replaces) = &replaces {
        let known = state.seen.certificates.iter().find(|certificate| certificate.id == *replaces);
        if !known.is_some_and(|old| old.names.iter().any(|name| names.contains(name))) {
            return Err(Refusal::malformed("the order replaces nothing that was issued for it"));
        }
        let again = |old: &super::Issued| old.replaces.as_ref() == Some(replaces);
        if state.seen.certificates.iter().any(again) {
            let detail = format!("{replaces} has been replaced already");
            return Err(Refusal::new(409, "alreadyReplaced", detail));
        }
    }
    let (challenges, reuse) = (state.knobs.challenges.clone(), state.knobs.reuse_authorizations);
    let authorize = |name: &String| state.book.authorize(account, name, &challenges, reuse);
    let authorizations = names.iter().map(authorize).collect();
    state.seen.orders.push(payload.clone());
    state.book.orders.push(Order {
        account,
        names,
        authorizations,
        profile,
        replaces,
        certificate: None,
        polls_left: 0,
        forgotten: false,
    });
    let number = state.book.orders.len() - 1;
    Ok(order_reply(state, 201, number, base))
}

fn order_reply(state: &State, status: u16, number: usize, base: &str) -> Reply {
    let body = state.book.order_json(number, base);
    let reply = Reply::json(status, &body).header("location", format!("{base}/order/{number}"));
    match state.knobs.poll_retry_after_s {
        Some(seconds) if body["status"] == "processing" => {
            reply.header("retry-after", seconds.to_string())
        }
        _ => reply,
    }
}

fn order(state: &mut State, request: &Request<'_>, account: usize) -> Result<Reply, Refusal> {
    let number = state.book.order(request.id, account)?;
    let reply = order_reply(state, 200, number, request.base);
    let order = &mut state.book.orders[number];
    order.polls_left = order.polls_left.saturating_sub(1);
    Ok(reply)
}

fn authorization(state: &State, request: &Request<'_>, account: usize) -> Result<Reply, Refusal> {
    let number = state.book.authorization(request.id, account)?;
    let body = state.book.authorization_json(number, request.base);
    let reply = Reply::json(200, &body);
    match state.knobs.poll_retry_after_s {
        Some(seconds) if body["status"] == "pending" => {
            Ok(reply.header("retry-after", seconds.to_string()))
        }
        _ => Ok(reply),
    }
}

fn challenge(state: &mut State, request: &Request<'_>, account: usize) -> Result<Reply, Refusal> {
    let (number, kind) = request.id.split_once('/').ok_or_else(Refusal::not_found)?;
    let number = state.book.authorization(number, account)?;
    let authorization = &mut state.book.authorizations[number];
    if !authorization.challenges.contains(&kind) {
        return Err(Refusal::not_found());
    }
    // POST-as-GET only asks, and so does a second attempt at what is under way or decided.
    let payload = request.signed.map(|signed| &signed.payload);
    let ready = payload.is_some_and(Value::is_object);
    let starts = ready && authorization.standing == Standing::Pending;
    if starts {
        authorization.standing = Standing::Processing;
        authorization.tried = Some(kind.to_owned());
    }
    let up = format!("<{}/authz/{number}>;rel=\"up\"", request.base);
    let body = state.book.challenge_json(number, kind, request.base);
    let mut reply = Reply::json(200, &body).header("link", up);
    reply.validate = starts.then(|| (number, kind.to_owned()));
    Ok(reply)
}

fn finalize(
    state: &mut State,
    request: &Request<'_>,
    account: usize,
    payload: &Value,
) -> Result<Reply, Refusal> {
    let number = state.book.order(request.id, account)?;
    let order = &state.book.orders[number];
    let status = state.book.order_status(order);
    if status != "ready" {
        return Err(Refusal::new(403, "orderNotReady", format!("the order is {status}")));
    }
    let csr = payload["csr"].as_str().and_then(jose::decode);
    let csr = csr.ok_or_else(|| Refusal::malformed("there is no CSR"))?;
    let (profile, replaces) = (order.profile.as_deref(), order.replaces.as_deref());
    let wanted = Wanted { names: &order.names, profile, replaces };
    let issued = state.issuer.sign(&csr, &wanted, &state.knobs);
    let issued = issued.map_err(|detail| Refusal::new(400, "badCSR", detail))?;
    state.seen.finalized += 1;
    state.seen.certificates.push(issued);
    let order = &mut state.book.orders[number];
    order.certificate = Some(state.seen.certificates.len() - 1);
    order.polls_left = state.knobs.processing_polls;
    Ok(order_reply(state, 200, number, request.base))
}

fn certificate(state: &State, request: &Request<'_>, account: usize) -> Result<Reply, Refusal> {
    let number = state.book.order(request.id, account)?;
    let number = state.book.orders[number].certificate.ok_or_else(Refusal::not_found)?;
    let pem = state.seen.certificates[number].pem.clone();
    Ok(Reply::text(200, "application/pem-certificate-chain", pem))
}

fn renewal_info(state: &State, request: &Request<'_>) -> Result<Reply, Refusal> {
    let known = state.seen.certificates.iter().find(|certificate| certificate.id == request.id);
    let certificate = known.filter(|_| state.knobs.ari).ok_or_else(Refusal::not_found)?;
    let reply = Reply::json(200, &state.issuer.renewal_info(certificate, &state.knobs));
    match &state.knobs.ari_retry_after {
        Some(retry_after) => Ok(reply.header("retry-after", retry_after.clone())),
        None => Ok(reply),
    }
}
