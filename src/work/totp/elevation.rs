//! What stands for a code for a while, for the one who gave it.
//!
//! Promises: what was given out is not kept, only its SHA-256; it is good for the same user or token at the same door.
//! Bounds: [`LASTS`], and [`ELEVATIONS_MAX`] at a time; one more ends the one that would have ended first.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::base::audit::{Actor, By, Source};
use crate::base::hex;

/// How long an elevation lasts.
pub const LASTS: Duration = Duration::from_secs(600);
/// Of the whole daemon.
pub const ELEVATIONS_MAX: usize = 64;
pub const SECRET_BYTES: usize = 32;

type Hash = [u8; 32];

/// Whoever an elevation is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    who: Who,
    door: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    User(u32),
    Token(String),
}

impl Holder {
    fn of(by: &By) -> Option<Self> {
        let who = match &by.actor {
            Actor::Uid { uid, .. } => Who::User(*uid),
            Actor::Token { id, .. } => Who::Token(id.clone()),
            Actor::System | Actor::App { .. } | Actor::Client { .. } => return None,
        };
        Some(Self { who, door: by.source })
    }
}

struct Elevation {
    holder: Holder,
    factor: String,
    ends: Instant,
}

/// All that are in force.
#[derive(Default)]
pub struct Elevations(HashMap<Hash, Elevation>);

impl Elevations {
    /// Keeps one, and returns its text; `None` for somebody who cannot have one.
    pub fn add(
        &mut self,
        by: &By,
        factor: &str,
        secret: &[u8; SECRET_BYTES],
        now: Instant,
    ) -> Option<String> {
        let holder = Holder::of(by)?;
        self.0.retain(|_, elevation| elevation.ends > now);
        while self.0.len() >= ELEVATIONS_MAX {
            let first = self.0.iter().min_by_key(|(_, elevation)| elevation.ends);
            let first = first.map(|(hash, _)| *hash)?;
            self.0.remove(&first);
        }
        let elevation = Elevation { holder, factor: factor.to_owned(), ends: now + LASTS };
        self.0.insert(Sha256::digest(secret).into(), elevation);
        let mut text = [0; 2 * SECRET_BYTES];
        hex::write(&mut text, secret);
        Some(text.map(char::from).iter().collect())
    }

    /// The factor behind an elevation that is in force, for its holder.
    #[must_use]
    pub fn factor(&self, by: &By, text: &str, now: Instant) -> Option<&str> {
        let mut secret = [0; SECRET_BYTES];
        let is_one = hex::read(&mut secret, text.as_bytes());
        let hash: Hash = Sha256::digest(secret).into();
        let found = self.0.get(&hash).filter(|_| is_one)?;
        let good = found.ends > now && Holder::of(by).as_ref() == Some(&found.holder);
        good.then_some(found.factor.as_str())
    }

    /// Ends what a factor was the reason for.
    pub fn end(&mut self, factor: &str) {
        self.0.retain(|_, elevation| elevation.factor != factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(uid: u32, source: Source) -> By {
        let actor = Actor::Uid { uid, user: None };
        By { actor, source, request_id: None, confirmed: None }
    }

    #[test]
    fn an_elevation_is_good_for_its_holder_at_its_door_until_it_ends() {
        let (mut all, now) = (Elevations::default(), Instant::now());
        let anna = by(1, Source::Control);
        let text = all.add(&anna, "phone", &[7; 32], now).expect("given");
        let last = now + LASTS - Duration::from_secs(1);
        assert_eq!(all.factor(&anna, &text, last), Some("phone"));
        assert_eq!(all.factor(&anna, &text, now + LASTS), None);
        assert_eq!(all.factor(&by(2, Source::Control), &text, now), None);
        assert_eq!(all.factor(&by(1, Source::Ops), &text, now), None);
        let token = Actor::Token { id: "1".into(), name: "ci".into() };
        assert_eq!(all.factor(&By { actor: token, ..anna.clone() }, &text, now), None);
        for other in ["", "07", text.split_at(1).1, &"00".repeat(32)] {
            assert_eq!(all.factor(&anna, other, now), None, "{other}");
        }
        all.end("tablet");
        assert_eq!(all.factor(&anna, &text, now), Some("phone"));
        all.end("phone");
        assert_eq!(all.factor(&anna, &text, now), None);
    }

    #[test]
    fn palisade_itself_and_the_app_cannot_be_elevated() {
        let (mut all, now) = (Elevations::default(), Instant::now());
        let app = By { actor: Actor::App { uid: 1, user: None }, ..by(1, Source::App) };
        for by in [app, By::system(Source::Schedule)] {
            assert_eq!(all.add(&by, "phone", &[7; 32], now), None);
        }
    }

    #[test]
    fn one_too_many_ends_the_oldest() {
        let (mut all, now) = (Elevations::default(), Instant::now());
        let anna = by(1, Source::Control);
        let texts: Vec<String> = (0..=ELEVATIONS_MAX)
            .map(|number| {
                let at = now + Duration::from_millis(number as u64);
                all.add(&anna, "phone", &[number as u8; 32], at).expect("given")
            })
            .collect();
        let good = |text: &String| all.factor(&anna, text, now).is_some();
        assert!(!good(&texts[0]) && texts[1..].iter().all(good));
        assert_eq!(all.0.len(), ELEVATIONS_MAX);
    }
}
