//! Records made up for tests and fuzzing.

use crate::base::audit::{Actor, Fact, Facts, Outcome, Source};
use crate::ops::api::audit::{AuditPage, AuditRecord};

use super::super::super::sample::Say;
use super::super::Want;
use super::window::Answer;

/// 2026-11-21T20:17:46Z
const NOW_MS: i64 = 1_795_292_266_000;
const COUNT: u64 = 30;

/// The newest page of a log that goes on before it.
#[must_use]
pub fn answer(say: Say<'_>) -> Answer {
    let records = (0..COUNT).map(|age| record(age, say)).collect();
    let (last, next) = (1_284, Some(1_285 - COUNT));
    Answer { want: Want::Newest, page: AuditPage { records, next, last, stub: None } }
}

fn record(age: u64, say: Say<'_>) -> AuditRecord {
    let uid = |name: &str| Actor::Uid { uid: 1000, user: Some(say(name)) };
    let (actor, source, action, subject) = match age % 6 {
        0 => (uid("deploy"), Source::Control, "config.reload", "/etc/palisade/palisade.toml"),
        1 => (Actor::System, Source::Acme, "certificate.renew", "shop.example.com"),
        2 => {
            let ip = say("203.0.113.9");
            (Actor::Client { ip, user: Some(say("mallory")) }, Source::Edge, "access.refused", "/")
        }
        3 => {
            let (id, name) = (say("tok_7"), say("ci"));
            (Actor::Token { id, name }, Source::Ops, "capability.set", "security_headers")
        }
        4 => (uid("root"), Source::Control, "token.create", "größe 尺寸"),
        _ => {
            let actor = Actor::App { uid: 33, user: Some(say("www-data")) };
            (actor, Source::App, "certificate.files", "old.example.com")
        }
    };
    let refused = age % 6 == 2;
    let lines = |all: &[&str]| Fact::Lines(all.iter().map(|line| say(line)).collect());
    let number = i64::try_from(age).unwrap_or(0);
    let before: Facts = [
        (say("generation"), Fact::Number(40 - number)),
        (say("sites"), lines(&["app.example.com", "gone.example.com"])),
    ]
    .into();
    let after: Facts = [
        (say("generation"), Fact::Number(41 - number)),
        (say("sites"), lines(&["app.example.com", "shop.example.com"])),
        (say("a name that is long"), Fact::Text(say("timeout.head: 10s -> 20s"))),
    ]
    .into();
    AuditRecord {
        seq: 1_284 - age,
        at_ms: NOW_MS - number * 3_600_000,
        actor,
        source,
        action: say(action),
        subject: Some(say(subject)),
        before,
        after,
        outcome: if refused { Outcome::Refused } else { Outcome::Done },
        why: refused.then(|| say("the token has ended")),
        request_id: Some(say("019ab3c4-0000-7000-8000-000000000007")),
        confirmed: (age % 6 == 4).then(|| say("totp:phone")),
        prev: say(&"cd".repeat(32)),
        hash: say(&"ab".repeat(32)),
    }
}
