//! What stands before every call: who asks, may they, is all of the call there, and is it confirmed. Fails closed.
//!
//! Promises: whoever may not make a call is asked for no body of it; what decides is how things stand once the whole
//! body is there, so that nobody acts on what was taken from them meanwhile; a code is used up only then.

use axum::body::Body;
use axum::extract::Request;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::api::Problem;
use super::api::access::{ELEVATION_HEADER, TOTP_HEADER, TOTP_REQUIRED};
use super::basic::whole;
use super::caller::{Caller, Door, Proof};
use super::calls::Call;
use super::control::Control;
use super::patience::Patience;
use crate::base::audit::Actor;
use crate::base::{APP_GROUP, Role, Scope};
use crate::sys;
use crate::sys::peer::Peer;

/// The call with its whole body and whoever makes it; nobody where anybody may make it.
///
/// # Errors
/// The refusal to send.
pub(super) async fn admit(
    daemon: &dyn Control,
    call: &Call,
    door: Door,
    request: Request,
    request_id: &str,
) -> Result<Request, Problem> {
    let (mut head, body) = request.into_parts();
    let asking = (head.extensions.get::<Peer>(), &head.headers, head.uri.path());
    let mut caller = known(daemon, call, door, asking, request_id)?;
    let body = match call.takes {
        None => Body::empty(),
        Some(_) => {
            let body = whole(body, call.bytes_max).await?;
            // A token may be revoked, and a role be taken, while the body is on its way.
            let asking = (head.extensions.get::<Peer>(), &head.headers, head.uri.path());
            caller = known(daemon, call, door, asking, request_id)?;
            Body::from(body)
        }
    };
    if let Some(mut caller) = caller {
        if call.confirm && daemon.wants_factor() {
            let proof = proof(&head.headers)?;
            caller.confirmed = Some(daemon.confirm(&caller, call.name, proof).await?);
        }
        if let Some(patience) = head.extensions.get::<Patience>() {
            patience.is_known();
        }
        head.extensions.insert(caller);
    }
    Ok(Request::from_parts(head, body))
}

/// Whoever makes the call, if they may make it now.
fn known(
    daemon: &dyn Control,
    call: &Call,
    door: Door,
    (peer, headers, path): (Option<&Peer>, &HeaderMap, &str),
    request_id: &str,
) -> Result<Option<Caller>, Problem> {
    let who = match door {
        Door::Ops if call.open => return Ok(None),
        Door::Ops => holder(daemon, headers)?,
        Door::Control | Door::App => {
            let peer = peer.ok_or_else(|| forbidden("it is not known who is asking".into()))?;
            user(daemon, door, peer)?
        }
    };
    let (actor, role, scopes) = who;
    let request_id = request_id.to_owned();
    let caller = Caller { actor, door, role, scopes, request_id, confirmed: None };
    let may = may(call, &caller);
    if let Err(problem) = may {
        daemon.refused(&caller, call.asked(path), &problem);
        return Err(problem);
    }
    Ok(Some(caller))
}

type Who = (Actor, Role, Vec<Scope>);

fn user(daemon: &dyn Control, door: Door, peer: &Peer) -> Result<Who, Problem> {
    let (uid, user) = (peer.uid, sys::users::name(peer.uid));
    if door == Door::App {
        return match daemon.is_app(peer) {
            true => Ok((Actor::App { uid, user }, Role::Viewer, Vec::new())),
            false => Err(forbidden(format!(
                "user id {uid} may not speak as the app; put it into the group {APP_GROUP}, or name it in \
                 `app` of [role]"
            ))),
        };
    }
    let role = daemon.role(peer).ok_or_else(|| {
        forbidden(format!(
            "user id {uid} may not control this daemon; run the command as root, or give the user or one \
             of its groups a role in [role] of the configuration"
        ))
    })?;
    Ok((Actor::Uid { uid, user }, role, Vec::new()))
}

fn holder(daemon: &dyn Control, headers: &HeaderMap) -> Result<Who, Problem> {
    let token = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let token = token.ok_or_else(|| {
        let detail =
            "this call wants a token: Authorization: Bearer …; `palisade token create` makes one";
        Problem::new(401, "Unauthorized", detail)
    })?;
    let holder = daemon.holder(token)?;
    let actor = Actor::Token { id: holder.id, name: holder.name };
    Ok((actor, holder.role, holder.scopes))
}

/// By role and scope.
fn may(call: &Call, caller: &Caller) -> Result<(), Problem> {
    if caller.role < call.role {
        let (need, have) = (call.role.word(), caller.role.word());
        let next = match caller.actor {
            Actor::Token { .. } => format!(
                "ask with a token of that role; an admin makes one: palisade token create NAME --role {need}"
            ),
            _ => format!(
                "ask somebody with that role, or have an admin give it to you: `{need}` in [role] of the configuration"
            ),
        };
        let detail = format!("it needs the role {need}; {} is {have}\n{next}", caller.name());
        return Err(Problem::new(403, refusal(call), detail));
    }
    if !caller.scopes.is_empty() && !caller.scopes.contains(&call.scope) {
        let scope = call.scope.word();
        let name = caller.name();
        let detail = format!(
            "it needs the scope {scope}, which the token {name} does not have\nan admin makes one that has it: \
             palisade token create NAME --scope {scope}"
        );
        return Err(Problem::new(403, refusal(call), detail));
    }
    Ok(())
}

/// What was not done, in the words that documents have for the call.
fn refusal(call: &Call) -> String {
    let what = call.summary.split([';', ',']).next().unwrap_or(call.name);
    format!(
        "Not permitted: {}{}",
        what.get(..1).unwrap_or_default().to_lowercase(),
        what.get(1..).unwrap_or_default()
    )
}

fn proof(headers: &HeaderMap) -> Result<Proof, Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let proof = text(TOTP_HEADER).map(Proof::Code);
    proof.or_else(|| text(ELEVATION_HEADER).map(Proof::Elevation)).ok_or_else(|| Problem {
        kind: TOTP_REQUIRED.into(),
        ..Problem::new(
            403,
            "A code is needed",
            format!(
                "this call wants a code of a second factor: {TOTP_HEADER}, or {ELEVATION_HEADER}"
            ),
        )
    })
}

fn forbidden(detail: String) -> Problem {
    Problem::new(403, "Not permitted", detail)
}
