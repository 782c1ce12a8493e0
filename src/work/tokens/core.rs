//! What may become a token, who may make it, and until when one counts. Pure.

use super::secret::is_id;
use crate::base::timestamp::rfc3339;
use crate::base::{Role, Scope};
use crate::ops::api::Problem;
use crate::ops::api::access::{CreateToken, TokenInfo};
use crate::store::tokens::Token;

/// Tokens at a time: whoever needs more has lost count of them.
pub const TOKENS_MAX: usize = 1000;
pub const NAME_BYTES_MAX: usize = 64;
/// Longest life that can be asked for; longer than it is for ever.
pub const EXPIRES_MAX_S: u64 = 36_500 * 86_400;
/// How long one that has ended is listed as such.
const SHOWN_AFTER_S: i64 = 30 * 86_400;

/// Whoever wants a token, as far as it matters.
#[derive(Debug, Clone, Copy)]
pub struct Maker<'a> {
    pub role: Role,
    pub scopes: &'a [Scope],
    /// What it holds itself, if it is no user.
    pub token: Option<&'a Token>,
}

/// Whether a token counts no more.
#[must_use]
pub fn has_ended(token: &Token, now_s: i64) -> bool {
    token.expires_at_s.is_some_and(|at| at <= now_s)
}

/// Whether a token ended so long ago that it is not listed any more.
#[must_use]
pub fn is_forgotten(token: &Token, now_s: i64) -> bool {
    token.expires_at_s.is_some_and(|at| at.saturating_add(SHOWN_AFTER_S) <= now_s)
}

/// When a token that is made now ends; refused if it may not be made.
///
/// # Errors
/// The name is none or taken, there are too many, or it would be more than its maker is.
pub fn judge<'a>(
    wanted: &CreateToken,
    maker: Maker<'_>,
    others: impl Iterator<Item = &'a Token>,
    now_s: i64,
) -> Result<Option<i64>, Problem> {
    named(&wanted.name)?;
    let expires_at_s = ends(wanted.expires_in_s, now_s)?;
    within(wanted.role, expires_at_s, maker)?;
    let mut count = 0;
    for other in others.filter(|other| !is_forgotten(other, now_s)) {
        count += 1;
        if other.name == wanted.name && !has_ended(other, now_s) {
            let detail = format!(
                "there is a token {} already ({}); choose another name, or revoke it first: palisade token revoke {}",
                other.name, other.id, other.name
            );
            return Err(Problem::new(409, "The name is taken", detail));
        }
    }
    if count >= TOKENS_MAX {
        let detail = format!(
            "there are {TOKENS_MAX} already; revoke those that nobody uses: palisade token list"
        );
        return Err(Problem::new(409, "Too many tokens", detail));
    }
    Ok(expires_at_s)
}

fn named(name: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let refuse = |why: String| Err(Problem::new(400, "No name of a token", why));
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(plain) {
        return refuse(format!(
            "a name has letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX} of them"
        ));
    }
    if is_id(name) {
        return refuse("twelve hexadecimal digits are an id; choose another name".to_owned());
    }
    Ok(())
}

fn ends(in_s: Option<u64>, now_s: i64) -> Result<Option<i64>, Problem> {
    let Some(in_s) = in_s else { return Ok(None) };
    let in_s = Some(in_s).filter(|in_s| (1..=EXPIRES_MAX_S).contains(in_s));
    let in_s = in_s.and_then(|in_s| i64::try_from(in_s).ok()).ok_or_else(|| {
        let detail = "a token ends after a second at the earliest and 36500 days at the latest; \
                      without a time it never ends";
        Problem::new(400, "A token cannot end then", detail)
    })?;
    Ok(Some(now_s.saturating_add(in_s)))
}

/// Nobody gives more than they have: no higher role, no longer life, and nothing at all with only a part of their role.
fn within(role: Role, expires_at_s: Option<i64>, maker: Maker<'_>) -> Result<(), Problem> {
    let refuse = |why: String| Err(Problem::new(403, "The token was not made", why));
    if !maker.scopes.is_empty() {
        return refuse(
            "a token with scopes cannot make tokens; ask on the control socket, or with a token without scopes"
                .to_owned(),
        );
    }
    if role > maker.role {
        let (role, own) = (role.word(), maker.role.word());
        return refuse(format!("whoever is {own} cannot make a token that is {role}"));
    }
    let own = maker.token.and_then(|token| token.expires_at_s);
    if let Some(own) = own
        && expires_at_s.is_none_or(|at| at > own)
    {
        return refuse(format!(
            "a token cannot make one that outlives it; it ends at {}, so give an earlier end: --expires",
            rfc3339(own)
        ));
    }
    Ok(())
}

/// A token as screens have it.
#[must_use]
pub fn info(token: &Token, last_used_s: Option<i64>, now_s: i64) -> TokenInfo {
    TokenInfo {
        id: token.id.clone(),
        name: token.name.clone(),
        role: token.role,
        scopes: token.scopes.clone(),
        created_at: rfc3339(token.created_at_s),
        created_by: token.created_by.clone(),
        expires_at: token.expires_at_s.map(rfc3339),
        expired: has_ended(token, now_s),
        last_used_at: last_used_s.map(rfc3339),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn token(name: &str, expires_at_s: Option<i64>) -> Token {
        Token {
            id: "0123456789ab".into(),
            name: name.into(),
            role: Role::Admin,
            scopes: Vec::new(),
            hash: [0; 32],
            created_at_s: NOW,
            created_by: "root".into(),
            expires_at_s,
        }
    }

    fn wanted(name: &str, role: Role, expires_in_s: Option<u64>) -> CreateToken {
        CreateToken { name: name.into(), role, scopes: Vec::new(), expires_in_s }
    }

    const ROOT: Maker<'static> = Maker { role: Role::Admin, scopes: &[], token: None };

    fn status(wanted: &CreateToken, maker: Maker<'_>, others: &[Token]) -> u16 {
        judge(wanted, maker, others.iter(), NOW).map_or_else(|problem| problem.status, |_| 200)
    }

    #[test]
    fn names_are_plain_and_never_look_like_an_id() {
        let long = "x".repeat(64);
        for name in ["ci", "Deploy_2.prod-eu", long.as_str(), "0123456789AB", "0123456789a"] {
            assert_eq!(status(&wanted(name, Role::Viewer, None), ROOT, &[]), 200, "{name}");
        }
        let longer = "x".repeat(65);
        for name in ["", "a b", "ä", "a/b", "a\n", longer.as_str(), "0123456789ab"] {
            assert_eq!(status(&wanted(name, Role::Viewer, None), ROOT, &[]), 400, "{name}");
        }
    }

    #[test]
    fn living_tokens_share_no_name_and_there_is_a_bound() {
        let ci = wanted("ci", Role::Viewer, None);
        assert_eq!(status(&ci, ROOT, &[token("ci", None)]), 409);
        assert_eq!(status(&ci, ROOT, &[token("ci", Some(NOW + 1))]), 409);
        assert_eq!(status(&ci, ROOT, &[token("ci", Some(NOW))]), 200, "it has ended");
        assert_eq!(status(&ci, ROOT, &[token("CI", None)]), 200);
        let many = vec![token("x", None); TOKENS_MAX];
        assert_eq!(status(&ci, ROOT, &many), 409);
        assert_eq!(status(&ci, ROOT, &many[1..]), 200);
        let forgotten = vec![token("x", Some(NOW - 31 * 86_400)); TOKENS_MAX];
        assert_eq!(status(&ci, ROOT, &forgotten), 200);
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        let operator = Maker { role: Role::Operator, ..ROOT };
        assert_eq!(status(&wanted("a", Role::Admin, None), operator, &[]), 403);
        assert_eq!(status(&wanted("a", Role::Operator, None), operator, &[]), 200);
        let scoped = Maker { scopes: &[Scope::Access], ..ROOT };
        assert_eq!(status(&wanted("a", Role::Viewer, Some(1)), scoped, &[]), 403);
        let brief = token("brief", Some(NOW + 3600));
        let brief = Maker { token: Some(&brief), ..ROOT };
        assert_eq!(status(&wanted("a", Role::Viewer, None), brief, &[]), 403);
        assert_eq!(status(&wanted("a", Role::Viewer, Some(3601)), brief, &[]), 403);
        assert_eq!(status(&wanted("a", Role::Viewer, Some(3600)), brief, &[]), 200);
        let lasting = token("lasting", None);
        let lasting = Maker { token: Some(&lasting), ..ROOT };
        assert_eq!(status(&wanted("a", Role::Admin, None), lasting, &[]), 200);
    }

    #[test]
    fn a_time_is_counted_from_now_and_has_bounds() {
        let at = |in_s| judge(&wanted("a", Role::Viewer, in_s), ROOT, [].iter(), NOW);
        assert_eq!(at(Some(60)), Ok(Some(NOW + 60)));
        assert_eq!(at(None), Ok(None));
        for bad in [0, EXPIRES_MAX_S + 1, u64::MAX] {
            assert_eq!(at(Some(bad)).expect_err("refused").status, 400, "{bad}");
        }
    }

    #[test]
    fn one_that_has_ended_is_shown_for_thirty_days() {
        let ended = token("a", Some(NOW));
        assert!(has_ended(&ended, NOW) && !has_ended(&ended, NOW - 1));
        assert!(!is_forgotten(&ended, NOW + 30 * 86_400 - 1));
        assert!(is_forgotten(&ended, NOW + 30 * 86_400));
        assert!(!is_forgotten(&token("a", None), i64::MAX));
        assert!(info(&ended, None, NOW).expired && !info(&ended, None, NOW - 1).expired);
    }
}
