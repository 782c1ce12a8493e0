//! Tokens: what stands for an operator on the ops address.
//!
//! Promises: a secret is answered once and kept nowhere, only its hash; whoever shows one is compared in constant time, an
//! unknown id as well (57); a token works with the answer that it was made, and no more with the answer that it was
//! revoked; both are on disk, with the word about them in the audit log, before they are answered (50).
//! Refuses: a token that is more than its maker. Bounds: [`core::TOKENS_MAX`] tokens, all of them in memory.

pub mod core;
pub mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use self::core::{Maker, has_ended, info, is_forgotten, judge};
use self::secret::{Shown, is_id};
use crate::base::audit::{Actor, By, Facts, Intent, action};
use crate::base::timestamp::rfc3339;
use crate::base::{Role, Scope};
use crate::ops::api::Problem;
use crate::ops::api::access::{CreateToken, TokenInfo, TokenMade};
use crate::ops::api::page::{Page, PageQuery};
use crate::ports::{Clock, Entropy};
use crate::store::tokens::Token;
use crate::store::{Store, StoreError};

/// Ids are random; this many in a row are not all taken.
const ID_TRIES: usize = 8;

/// Whoever wants a token made or revoked.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub by: &'a By,
    /// In words.
    pub name: &'a str,
    pub role: Role,
    pub scopes: &'a [Scope],
}

/// Whoever a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub scopes: Vec<Scope>,
}

/// The tokens of a daemon.
pub struct Tokens {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// What the state holds, as of the last change that was committed.
    mirror: ArcSwap<Mirror>,
    /// Held from looking at the mirror until it is changed.
    changing: Mutex<()>,
}

type Mirror = BTreeMap<String, Arc<Kept>>;

struct Kept {
    token: Token,
    /// Zero where it was not used since the start.
    last_used_s: AtomicI64,
}

impl Kept {
    fn new(token: Token) -> Arc<Self> {
        Arc::new(Self { token, last_used_s: AtomicI64::new(0) })
    }

    fn info(&self, now_s: i64) -> TokenInfo {
        let used = self.last_used_s.load(Ordering::Relaxed);
        info(&self.token, (used > 0).then_some(used), now_s)
    }
}

impl Tokens {
    /// Takes the tokens of a state in hand.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StoreError> {
        let tokens = store.tokens()?;
        let mirror = tokens.into_iter().map(|token| (token.id.clone(), Kept::new(token)));
        let mirror = ArcSwap::from_pointee(mirror.collect());
        Ok(Self { store, clock, entropy, mirror, changing: Mutex::default() })
    }

    /// Whoever holds the token with this text. No limit of attempts: 2^256 secrets are not guessed.
    ///
    /// # Errors
    /// Nobody does, or it has ended; only who has the secret learns of the latter.
    pub fn bearer(&self, text: &str) -> Result<Bearer, Problem> {
        let now_s = self.now_s();
        let mirror = self.mirror.load();
        let shown = Shown::parse(text).ok_or_else(unknown)?;
        let kept = mirror.get(&shown.id);
        // The same work where there is no such id.
        let right = shown.is(kept.map_or(&[0; 32], |kept| &kept.token.hash));
        let kept = kept.filter(|_| right).ok_or_else(unknown)?;
        let token = &kept.token;
        if let Some(at) = token.expires_at_s.filter(|_| has_ended(token, now_s)) {
            let (name, role, at) = (&token.name, token.role.word(), rfc3339(at));
            let detail = format!(
                "the token {name} ended at {at}; make a new one: palisade token create {name} --role {role}"
            );
            return Err(Problem::new(401, "The token has expired", detail));
        }
        kept.last_used_s.store(now_s, Ordering::Relaxed);
        let Token { id, name, role, scopes, .. } = token.clone();
        Ok(Bearer { id, name, role, scopes })
    }

    /// Whether a token still counts.
    #[must_use]
    pub fn stands(&self, id: &str) -> bool {
        let now_s = self.now_s();
        self.mirror.load().get(id).is_some_and(|kept| !has_ended(&kept.token, now_s))
    }

    /// By id; those that ended long ago are left out.
    #[must_use]
    pub fn list(&self, query: &PageQuery) -> Page<TokenInfo> {
        let now_s = self.now_s();
        let mirror = self.mirror.load();
        let listed = mirror.values().filter(|kept| !is_forgotten(&kept.token, now_s));
        query.of(listed.map(|kept| kept.info(now_s)), |token| &token.id)
    }

    /// Makes a token. Blocks until it is on disk, and is not to be left half done.
    ///
    /// # Errors
    /// It may not be made, or cannot be kept.
    pub fn create(&self, asking: Asking<'_>, wanted: CreateToken) -> Result<TokenMade, Problem> {
        let now_s = self.now_s();
        let _changing = self.changing();
        let mirror = self.mirror.load_full();
        let own = maker(&mirror, asking.by)?;
        let maker = Maker { role: asking.role, scopes: asking.scopes, token: own };
        let others = mirror.values().map(|kept| &kept.token);
        let expires_at_s = judge(&wanted, maker, others, now_s)?;
        let shown = self.fresh(&mirror)?;
        let CreateToken { name, role, mut scopes, .. } = wanted;
        scopes.sort_unstable();
        scopes.dedup();
        let token = Token {
            id: shown.id.clone(),
            name,
            role,
            scopes,
            hash: shown.hash(),
            created_at_s: now_s,
            created_by: asking.name.to_owned(),
            expires_at_s,
        };
        let intent = self.intent(asking.by, action::TOKEN_CREATE, &token);
        let intent = Intent { after: facts(&token), ..intent };
        let ended = mirror.values().filter(|kept| is_forgotten(&kept.token, now_s));
        let gone: Vec<String> = ended.map(|kept| kept.token.id.clone()).collect();
        let written = self.store.put_token(token.clone(), gone.clone(), intent).wait();
        written.map_err(|error| {
            let detail = format!("{error}; see palisade status, then try again");
            Problem::new(503, "The token was not made", detail)
        })?;
        let kept = Kept::new(token);
        let made = kept.info(now_s);
        self.change(&mirror, |mirror| {
            gone.iter().for_each(|id| drop(mirror.remove(id)));
            mirror.insert(kept.token.id.clone(), kept);
        });
        Ok(TokenMade { token: made, secret: shown.text() })
    }

    /// Ends a token by its id or its name. Blocks until that is on disk, and is not to be left half done.
    ///
    /// # Errors
    /// There is none, or the state cannot be written.
    pub fn revoke(&self, asking: Asking<'_>, which: &str) -> Result<TokenInfo, Problem> {
        let now_s = self.now_s();
        let _changing = self.changing();
        let mirror = self.mirror.load_full();
        maker(&mirror, asking.by)?;
        let kept = find(&mirror, which, now_s).ok_or_else(|| {
            let title = format!("There is no token {which}");
            Problem::new(404, title, "palisade token list shows those there are")
        })?;
        let intent = self.intent(asking.by, action::TOKEN_REVOKE, &kept.token);
        let intent = Intent { before: facts(&kept.token), ..intent };
        let written = self.store.remove_token(kept.token.id.clone(), intent).wait();
        written.map_err(|error| {
            let detail =
                format!("{error}; the token still works: see palisade status, then try again");
            Problem::new(503, "The token was not revoked", detail)
        })?;
        self.change(&mirror, |mirror| drop(mirror.remove(&kept.token.id)));
        Ok(kept.info(now_s))
    }

    /// A secret whose id no token has.
    fn fresh(&self, mirror: &Mirror) -> Result<Shown, Problem> {
        let refuse = |why: String| Problem::new(503, "The token was not made", why);
        for _ in 0..ID_TRIES {
            let shown = Shown::new(&*self.entropy).map_err(|error| refuse(error.to_string()))?;
            if !mirror.contains_key(&shown.id) {
                return Ok(shown);
            }
        }
        Err(refuse("the system's randomness repeats itself".to_owned()))
    }

    fn change(&self, mirror: &Mirror, change: impl FnOnce(&mut Mirror)) {
        let mut changed = mirror.clone();
        change(&mut changed);
        self.mirror.store(Arc::new(changed));
    }

    fn intent(&self, by: &By, action: &str, token: &Token) -> Intent {
        let at_ms = i64::try_from(self.clock.unix().as_millis()).unwrap_or(i64::MAX);
        Intent::new(at_ms, by.clone(), action).on(&token.name)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_s(&self) -> i64 {
        i64::try_from(self.clock.unix().as_secs()).unwrap_or(i64::MAX)
    }
}

/// What the audit log says of a token.
fn facts(token: &Token) -> Facts {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.word()).collect();
    let expires = token.expires_at_s.map_or_else(|| "never".to_owned(), rfc3339);
    let mut facts = vec![
        ("id", token.id.clone()),
        ("role", token.role.word().to_owned()),
        ("expires_at", expires),
    ];
    facts.extend((!scopes.is_empty()).then(|| ("scopes", scopes.join(","))));
    facts.into_iter().map(|(name, fact)| (name.to_owned(), fact.as_str().into())).collect()
}

/// What whoever asks holds itself. It may have been revoked since the call came in.
fn maker<'a>(mirror: &'a Mirror, by: &By) -> Result<Option<&'a Token>, Problem> {
    let Actor::Token { id, .. } = &by.actor else { return Ok(None) };
    mirror.get(id).map(|kept| Some(&kept.token)).ok_or_else(unknown)
}

/// By id, or by name: the one that counts, otherwise the one of those that have ended that ended last.
fn find<'a>(mirror: &'a Mirror, which: &str, now_s: i64) -> Option<&'a Arc<Kept>> {
    if is_id(which) {
        return mirror.get(which);
    }
    let named = mirror.values().filter(|kept| kept.token.name == which);
    named.max_by_key(|kept| (!has_ended(&kept.token, now_s), kept.token.expires_at_s))
}

fn unknown() -> Problem {
    let detail = "this daemon knows no such token: it was revoked, is another daemon's, or was mistyped; \
                  `palisade token create` makes one";
    Problem::new(401, "Unauthorized", detail)
}
