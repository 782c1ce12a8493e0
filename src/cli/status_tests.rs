//! What the screens look like, to the character.

use super::*;
use crate::base::Mode;
use crate::ops::api::switches::CapabilityOverride;
use crate::ops::sample;

#[test]
fn status_is_a_table_that_fits_80_columns() {
    let text = full(&sample::status()).plain();
    assert_eq!(
        text,
        "\
palisade 0.1.0  FAIL  up 12d 4h  pid 4242  2 workers
config   /etc/palisade/palisade.toml
         generation 3, loaded 2026-11-21T20:17:46Z
state    /var/lib/palisade
https    [::]:443
http     [::]:80
ops      127.0.0.1:9180
control  /run/palisade/control.sock

SITE                        UPSTREAM             CERTIFICATE
app.example.com +1          127.0.0.1:3000       served 63 d
shop.example.com            127.0.0.1:3000       expired 2 d ago

connections  12 open of 20,000, 3 refused
requests     1,284,007, 4xx 311, 5xx 2
faults       0 panics, 0 log lines dropped

CAPABILITY          MODE      FLAG
security_headers    enforce   SECURITY_HEADERS_ENABLED
rate_limit          off       RATELIMIT_ENABLED=false, not in this version
webhook_verify      enforce   WEBHOOK_VERIFY_ALL, not in this version
abuse_guards        enforce   ABUSE_GUARDS_ENABLED, not in this version
queue               enforce   NEW_QUEUE_ENABLED, not in this version

Attention
  FAIL  certificate of shop.example.com expired 2 days ago
"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_runtime_switch_is_shown_where_no_flag_counts_more() {
    let mut status = sample::status();
    let set = CapabilityOverride {
        mode: Mode::Observe,
        set_by: "alice".into(),
        set_at: "2026-11-21T20:00:00Z".into(),
        until: None,
        left_s: None,
    };
    let first = status.capabilities.first_mut().expect("listed");
    (first.mode, first.runtime) = (Mode::Observe, Some(set));
    let text = full(&status).plain();
    let row = "security_headers    observe   set by alice (configured: enforce)\n";
    assert!(text.contains(row), "{text}");
    let first = status.capabilities.first_mut().expect("listed");
    (first.mode, first.flag_value) = (Mode::Off, Some(false));
    let row =
        "security_headers    off       SECURITY_HEADERS_ENABLED=false (configured: enforce)\n";
    let text = full(&status).plain();
    assert!(text.contains(row), "{text}");
}

#[test]
fn plain_palisade_is_short_and_leads_with_the_verdict() {
    let mut status = sample::status();
    status.attention.clear();
    status.sites.truncate(1);
    status.sites_total = 1;
    assert_eq!(
        short(&status).plain(),
        "\
palisade 0.1.0  OK  up 12d 4h  pid 4242  2 workers
  app.example.com +1        127.0.0.1:3000       served 63 d

Nothing needs attention.
"
    );
}

#[test]
fn the_certificate_column_says_what_is_served_and_when_that_changes() {
    use crate::ops::api::CertificateState::{Missing, StandIn};
    let words = |info: &CertificateInfo| certificate(info);
    let mut info = sample::renewed("a", 60);
    assert_eq!(words(&info), (Tone::Plain, "served 60 d, renews in 30 d".into()));
    assert_eq!(words(&sample::renewed("a", 5)), (Tone::Plain, "served 5 d, renews now".into()));
    info.failure = sample::failing("a", Missing).failure;
    assert_eq!(words(&info), (Tone::Warn, "served 60 d, next try in 10 min".into()));
    assert_eq!(words(&sample::certificate("a", 5)), (Tone::Warn, "served 5 d".into()));
    assert_eq!(words(&sample::certificate("a", -100)), (Tone::Bad, "expired 100 d ago".into()));
    let none = (Tone::Bad, "missing, next try in 10 min".into());
    assert_eq!(words(&sample::failing("a", Missing)), none);
    let stand_in = (Tone::Warn, "stand-in, next try in 10 min".into());
    assert_eq!(words(&sample::failing("a", StandIn)), stand_in);
}

#[test]
fn an_attempt_that_was_only_a_try_is_nothing_that_needs_attention() {
    use crate::ops::api::CertificateState::Missing;
    let mut status = sample::status();
    let site = &mut status.sites[0].certificate;
    *site = sample::renewed("a", 60);
    site.failure = sample::failing("a", Missing).failure;
    let Some(failure) = &mut site.failure else { panic!("it has failed") };
    failure.early = true;
    assert_eq!(certificate(site), (Tone::Plain, "served 60 d, renews in 30 d".into()));
    status.attention.clear();
    let mut page = Page::new();
    attention(&mut page, &status, true);
    assert!(page.plain().contains("Nothing needs attention."), "{}", page.plain());
}

#[test]
fn status_shows_what_the_ca_said_and_not_for_ever() {
    let mut status = sample::status();
    let site = status.sites[0].clone();
    status.sites = (0..5).map(|_| site.clone()).collect();
    status.sites_total = 5;
    for (number, site) in status.sites.iter_mut().enumerate() {
        let name = format!("{number}.example.com");
        site.certificate = sample::failing(&name, CertificateState::Missing);
    }
    let text = full(&status).plain();
    let shown = "\
  certificate for 0.example.com: not issued (attempt 2, next in 10 min)
    CA says: urn:ietf:params:acme:error:connection - 203.0.113.7: Fetching http://0.example.com/.well-known/…: Timeout
";
    assert!(text.contains(shown), "{text}");
    assert!(!text.contains("certificate for 3.example.com"), "{text}");
    assert!(
        text.lines()
            .filter(|line| line.contains("127.0.0.1"))
            .all(|line| line.chars().count() <= 80)
    );
    assert!(text.ends_with("  2 more: palisade cert list\n"), "{text}");
    assert!(!short(&status).plain().contains("CA says"));
}

#[test]
fn a_refused_reload_needs_attention_until_one_succeeds() {
    let mut status = sample::status();
    status.attention.clear();
    status.reload.last_error = Some("error: no site\n  --> palisade.toml".into());
    assert!(short(&status).plain().contains("error: no site\n        all of it: palisade status"));
    let text = full(&status).plain();
    assert!(text.starts_with("palisade 0.1.0  WARN"), "{text}");
    assert!(
        text.contains("the last reload was refused") && text.contains("\n        error: no site\n"),
        "{text}"
    );
}

#[test]
fn a_hostile_name_cannot_forge_a_line_or_reach_the_terminal() {
    let mut status = sample::status();
    status.sites[0].name = "a\x1b]0;title\x07\nOK all is well".into();
    status.attention[0].message = "x\n  OK  forged\u{9b}2J".into();
    let text = full(&status).plain();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("OK")), "{text}");
}

#[test]
fn without_a_daemon_the_next_commands_are_named() {
    let text = absent("/run/palisade/control.sock", "there is no such socket");
    assert!(
        text.starts_with("palisade is not running: nothing answers at /run/palisade/control.sock")
    );
    assert!(text.contains("palisade demo") && text.contains("systemctl start palisade"));
    assert!(text.lines().skip(1).all(|line| line.len() <= 80));
}

#[test]
fn a_reload_lists_its_changes() {
    let reloaded = Reloaded { generation: 4, changes: vec!["site localhost added".into()] };
    assert_eq!(
        taken(&reloaded).plain(),
        "reloaded: generation 4 is in force\n  site localhost added\n"
    );
    let same = Reloaded { generation: 5, changes: vec![] };
    assert_eq!(taken(&same).plain(), "reloaded: generation 5 is in force\n  nothing changed\n");
}

#[test]
fn a_site_says_how_many_of_its_upstreams_are_up() {
    let mut status = sample::status();
    let [first, second] = &mut status.sites[..] else { panic!("two sites") };
    first.upstreams = ["127.0.0.1:3000", "127.0.0.1:3001", "127.0.0.1:3002"].map(Into::into).into();
    (first.upstreams_out, second.upstreams_out) = (1, 1);
    let text = full(&status).plain();
    assert!(
        text.contains("app.example.com +1          2 of 3 up            served 63 d\n"),
        "{text}"
    );
    let alone = "shop.example.com            out: 127.0.0.1:3000  expired 2 d ago\n";
    assert!(text.contains(alone), "{text}");
    let short = short(&status).plain();
    assert!(
        short.contains("  app.example.com +1        2 of 3 up            served 63 d\n"),
        "{short}"
    );
}
