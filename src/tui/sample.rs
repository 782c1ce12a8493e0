//! A busy daemon made up for tests and fuzzing: every text of it goes through `say`, so that one can put anything
//! in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Capability, Mode, Role};
use crate::ops::api::access::WhoAmI;
use crate::ops::api::live::{self, History, LogLine, Point, RequestSeen, StateChange, Step};
use crate::ops::api::switches::CapabilityOverride;
use crate::ops::api::{
    Attention, CapabilityStatus, CertificateFailure, CertificateInfo, CertificateState,
    Connections, Level, Listener, ReloadStatus, Renewal, SiteStatus, State, Status, Traffic,
};

use super::event::Event;
use super::views;

/// 2026-11-21T20:17:46Z
const NOW_S: i64 = 1_795_292_266;

/// What is said in place of a text.
pub type Say<'a> = &'a dyn Fn(&str) -> String;

/// Everything a daemon tells, in the order in which a dashboard hears it.
#[must_use]
pub fn events(say: Say<'_>) -> Vec<Event> {
    let mut events = vec![
        Event::Status(Box::new(status(say))),
        Event::History(Some(Box::new(history()))),
        Event::Live(live::Event::Hello { version: say("0.1.0"), now_ms: NOW_S * 1_000 }),
        Event::Live(live::Event::Log(LogLine {
            at_ms: NOW_S * 1_000,
            level: say("warn"),
            event: say("stopping"),
            fields: BTreeMap::new(),
        })),
        Event::Live(live::Event::State(StateChange {
            at_ms: (NOW_S - 600) * 1_000,
            what: say("reloaded"),
            subject: None,
            text: say("generation 3 is in force: site shop.example.com added"),
        })),
    ];
    let document = Arc::new(views::audit::sample(say));
    events.push(Event::Document { view: "audit", document });
    let document = views::sites::sample(say);
    events.push(Event::Document { view: "sites", document });
    let requests = (0..40).map(|number| request(number, say));
    events.extend(requests.map(|request| Event::Live(live::Event::Request(Box::new(request)))));
    events
}

/// An admin, to a daemon that wants a code or not.
#[must_use]
pub fn me(totp: bool, say: Say<'_>) -> WhoAmI {
    WhoAmI { name: say("deploy"), role: Role::Admin, scopes: Vec::new(), totp }
}

/// Four sites, one of which has no luck with its CA.
#[must_use]
pub fn status(say: Say<'_>) -> Status {
    let listener = |role: &str, address: &str| Listener { role: say(role), address: say(address) };
    Status {
        version: say("0.1.0"),
        pid: 4242,
        uptime_s: 12 * 86_400 + 4 * 3_600 + 59,
        config: Some(say("/etc/palisade/palisade.toml")),
        state_dir: say("/var/lib/palisade"),
        workers: 2,
        state: State::Ready,
        listeners: vec![listener("https", "[::]:443"), listener("ops", "127.0.0.1:9180")],
        sites: sites(say),
        sites_total: 4,
        capabilities: capabilities(say),
        connections: Connections { open: 214, max: 20_000, refused: 3 },
        traffic: Traffic {
            requests: 1_284_007,
            responses_4xx: 311,
            responses_5xx: 2,
            panics: 0,
            log_lines_dropped: 0,
        },
        reload: ReloadStatus {
            generation: 3,
            loaded_at: say("2026-11-21T20:07:46Z"),
            last_error: Some(say("error: unknown key `upsteam`\n  palisade.toml:2:1")),
        },
        attention: vec![
            Attention {
                level: Level::Fail,
                message: say("certificate of old.example.com expired 2 days ago"),
            },
            Attention {
                level: Level::Warn,
                message: say(
                    "app.example.com: upstream 127.0.0.1:3001 is out (1 of 2): connection refused, since 2026-11-21T20:14:02Z; requests go to the others (see whether the app runs and what its log says; palisade asks again by itself)",
                ),
            },
            Attention {
                level: Level::Warn,
                message: say(
                    "certificate of shop.example.com: the last attempt failed, port 80 is closed in front of this machine",
                ),
            },
        ],
    }
}

fn capability(name: Capability, say: Say<'_>) -> CapabilityStatus {
    CapabilityStatus {
        name,
        mode: Mode::Enforce,
        configured: Mode::Enforce,
        available: true,
        flag: say(name.flag()),
        flag_value: None,
        runtime: None,
    }
}

/// One that somebody has switched off for a while, and one that a flag holds.
fn capabilities(say: Say<'_>) -> Vec<CapabilityStatus> {
    let mut all = Capability::ALL.map(|name| capability(name, say));
    for found in &mut all {
        match found.name {
            Capability::SecurityHeaders => {
                found.mode = Mode::Off;
                found.runtime = Some(CapabilityOverride {
                    mode: Mode::Off,
                    set_by: say("alice"),
                    set_at: say("2026-11-21T20:02:46Z"),
                    until: Some(say("2026-11-21T20:32:46Z")),
                    left_s: Some(900),
                });
            }
            Capability::RateLimit => (found.mode, found.flag_value) = (Mode::Off, Some(false)),
            Capability::WebhookVerify => {
                (found.mode, found.configured) = (Mode::Observe, Mode::Observe);
            }
            Capability::AbuseGuards | Capability::Queue => found.available = false,
        }
    }
    all.into()
}

fn sites(say: Say<'_>) -> Vec<SiteStatus> {
    let site =
        |name: &str, also: &[&str], upstream: &str, certificate: CertificateInfo| SiteStatus {
            name: say(name),
            also: also.iter().map(|name| say(name)).collect(),
            upstreams: vec![say(upstream), say("127.0.0.1:3001")],
            upstreams_out: usize::from(name == "app.example.com"),
            certificate,
        };
    let app = certificate("app.example.com", 63, say);
    let mut shop = certificate("shop.example.com", 27, say);
    shop.renewal = Some(Renewal {
        at: say("2026-11-21T20:27:46Z"),
        in_s: -3_000,
        why: say("a third of the lifetime is left"),
    });
    shop.failure = Some(failure(say));
    shop.activity = Some(say("waiting for the next attempt"));
    let mut old = certificate("old.example.com", -2, say);
    (old.renewal, old.source) = (None, say("files"));
    old.path = Some(say("/etc/ssl/old.pem"));
    let mut new = certificate("new.example.com", 90, say);
    (new.state, new.source) = (CertificateState::StandIn, say("acme"));
    vec![
        site("app.example.com", &["www.example.com"], "127.0.0.1:3000", app),
        site("shop.example.com", &[], "unix:/run/shop.sock", shop),
        site("old.example.com", &[], "127.0.0.1:4000", old),
        site("new.example.com", &[], "127.0.0.1:5000", new),
    ]
}

fn certificate(site: &str, days: i64, say: Say<'_>) -> CertificateInfo {
    let date = |s| Some(say(&crate::base::timestamp::rfc3339(s)));
    CertificateInfo {
        site: say(site),
        source: say("acme"),
        state: CertificateState::Served,
        names: vec![say(site), say(&format!("www.{site}"))],
        issuer: Some(say("Let's Encrypt E7")),
        not_before: date(NOW_S + (days - 90) * 86_400),
        not_after: date(NOW_S + days * 86_400),
        expires_in_s: Some(days * 86_400 + 5 * days.signum()),
        sha256: Some(say(&"ab".repeat(32))),
        path: None,
        renewal: Some(Renewal {
            at: say("2026-12-24T09:00:00Z"),
            in_s: 33 * 86_400,
            why: say("the CA suggests it (ARI), a third of the lifetime is left then"),
        }),
        failure: None,
        activity: None,
        warnings: Vec::new(),
    }
}

fn failure(say: Say<'_>) -> CertificateFailure {
    CertificateFailure {
        at: say("2026-11-21T20:07:46Z"),
        attempts: 2,
        kind: Some(say("urn:ietf:params:acme:error:connection")),
        detail: say(
            "203.0.113.7: Fetching http://shop.example.com/.well-known/acme-challenge/x: Timeout",
        ),
        likely: say("port 80 is closed in front of this machine (DNS does point here)"),
        next: say("open port 80, or set acme.challenges = [\"tls-alpn-01\"]"),
        retry_in_s: Some(600),
        early: false,
    }
}

/// Ten minutes with waves in them; the last ten seconds are even.
#[must_use]
pub fn history() -> History {
    let point = |second: u64| {
        let wave = (second % 120).abs_diff(60) * 20;
        let requests = if second >= 590 { 1_284 } else { 700 + wave };
        Point {
            requests,
            responses_4xx: requests / 80,
            responses_5xx: u64::from(second.is_multiple_of(97)) * 3,
            denied: requests / 100,
            p50_us: 3_100,
            p95_us: 11_000 + 40 * wave,
            p99_us: 68_000,
            connections: 200 + wave / 100,
            rss_bytes: 48 << 20,
            cpu_permille: 420,
        }
    };
    History { resolution_s: 1, points: (0..600).map(point).collect(), end_s: NOW_S }
}

fn request(number: i64, say: Say<'_>) -> RequestSeen {
    let refused = number % 9 == 4;
    let slow = number % 7;
    let status = match number % 9 {
        4 => 413,
        7 => 404,
        2 if number > 30 => 502,
        _ => 200,
    };
    let step = |name: &str, outcome: &str, note: &str| Step {
        name: say(name),
        outcome: say(outcome),
        note: say(note),
    };
    let mut steps = vec![
        step("client", "passed", "203.0.113.9, through a trusted proxy"),
        step("site", "passed", "app.example.com"),
        step("redirect", "skipped", "already over TLS"),
    ];
    steps.push(match refused {
        true => step("intake", "refused", "the body is larger than 10MiB"),
        false => step("upstream", "answered", "127.0.0.1:3000 answered after 3 ms"),
    });
    RequestSeen {
        id: say(&format!("019ab3c4-0000-7000-8000-{number:012}")),
        at_ms: NOW_S * 1_000 - 40_000 + number * 1_000,
        site: Some(say(if number % 3 == 0 { "shop.example.com" } else { "app.example.com" })),
        route: Some(say(if number % 2 == 0 { "/api" } else { "/" })),
        method: say(if refused { "POST" } else { "GET" }),
        path: say(&format!("/api/orders/{number}/größe/尺寸")),
        protocol: say("h2"),
        status,
        duration_us: 900 + 4_000 * slow.unsigned_abs(),
        response_bytes: 512 * number.unsigned_abs(),
        client_ip: say(if number % 5 == 0 { "2001:db8::12" } else { "203.0.113.9" }),
        upstream: Some(say("127.0.0.1:3000")),
        upstream_us: Some(700 + 4_000 * slow.unsigned_abs()),
        denied: refused.then(|| say("body_too_large")),
        why: refused.then(|| say("the body is larger than 10MiB")),
        aborted: None,
        steps,
    }
}
