//! What keys and data make of the state.

use super::*;
use crate::base::{Mode, Role};
use crate::ops::api::access::WhoAmI;
use crate::ops::api::live;
use crate::tui::event::{Effect, Event, Granted, Key, Lost, Mutation};
use crate::tui::keys_tests::press;
use crate::tui::popup::{self, Consent, Popup};
use crate::tui::sample;
use crate::tui::table::Fact;
use crate::tui::text::Charset;

const LOOK: Look = Look { colour: false, charset: Charset::Utf8 };

fn told() -> State {
    let mut state = State::new(LOOK, (80, 24), 2_000);
    for event in sample::events(&str::to_owned) {
        state.fold(event);
    }
    state
}

fn name(state: &State) -> &'static str {
    state.view().about().name
}

#[test]
fn a_daemon_of_another_version_is_told_of_once() {
    let mut state = told();
    assert_eq!(state.said, None, "the same version");
    let mut status = sample::status(&str::to_owned);
    status.version = "0.0.9".into();
    state.fold(Event::Status(Box::new(status.clone())));
    let said = state.said.clone().unwrap_or_default();
    assert!(said.starts_with("the daemon is palisade 0.0.9, this dashboard "), "{said}");
    press(&mut state, "2");
    state.fold(Event::Status(Box::new(status)));
    assert_eq!(state.said, None, "a key has taken it away, and it stays away");
}

#[test]
fn a_status_that_lacks_sites_is_not_taken_for_all_of_them() {
    let mut state = told();
    let mut status = sample::status(&str::to_owned);
    status.sites_total = 5_000;
    state.fold(Event::Status(Box::new(status)));
    press(&mut state, "3");
    let notice: String = screen::notice(&state).into_iter().map(|(_, text)| text).collect();
    assert!(notice.contains("4 of 5,000 sites"), "{notice}");
}

#[test]
fn numbers_never_shift_and_only_views_that_exist_are_reached() {
    let mut state = told();
    for (key, view) in [("2", "requests"), ("3", "sites"), ("7", "audit"), ("1", "overview")] {
        press(&mut state, key);
        assert_eq!(name(&state), view);
    }
    press(&mut state, "4");
    assert_eq!(name(&state), "overview");
    assert_eq!(state.said.as_deref(), Some("there is no view 4 in this version"));
    press(&mut state, &"\t".repeat(VIEWS.len()));
    assert_eq!(name(&state), "overview");
}

#[test]
fn the_palette_completes_jumps_and_filters() {
    let mut state = told();
    press(&mut state, ":req /404\n");
    assert_eq!(name(&state), "requests");
    assert_eq!(state.filter().map(|filter| filter.text.as_str()), Some("404"));
    assert!(state.arranged().rows.iter().all(|row| row.cells[1].text == "404"));
    press(&mut state, ":si\t");
    let Some(Popup::Prompt(prompt)) = state.popups.last() else { panic!("the palette is open") };
    assert_eq!(prompt.text, "sites ");
    press(&mut state, "\n");
    assert_eq!(name(&state), "sites");
    assert_eq!(press(&mut state, ":quit\n"), Some(Effect::Quit));
    press(&mut state, ":nonsense\n");
    assert_eq!(name(&state), "sites");
}

#[test]
fn a_filter_shows_while_it_is_typed_and_esc_takes_it_back() {
    let mut state = told();
    press(&mut state, "2/404");
    let found = state.arranged().rows.len();
    assert!(found > 0 && found < 40);
    press(&mut state, "\x1b");
    assert_eq!(state.arranged().rows.len(), 40);
    press(&mut state, "/!404\n");
    assert_eq!(state.arranged().rows.len(), 40 - found);
    press(&mut state, "/(");
    let Some(Popup::Prompt(prompt)) = state.popups.last() else { panic!("the prompt is open") };
    assert!(prompt.fault.is_some());
    press(&mut state, "\x1b\x1b");
    assert!(state.filter().is_none(), "Esc in a list drops its filter");
}

#[test]
fn narrowing_in_one_view_narrows_them_all() {
    let mut state = told();
    press(&mut state, "2n");
    let Some(Popup::Narrow { facts, .. }) = state.popups.last() else { panic!("a choice") };
    let site = facts.iter().position(|(fact, _)| *fact == Fact::Site).expect("a site");
    let name = facts[site].1.clone();
    press(&mut state, &"j".repeat(site));
    press(&mut state, "\n3");
    let sites = state.arranged();
    assert_eq!(sites.rows.iter().map(|row| &row.id).collect::<Vec<_>>(), [&name]);
    press(&mut state, "N");
    assert_eq!(state.arranged().rows.len(), 4);
}

#[test]
fn the_cursor_stays_on_its_row_while_new_ones_come_in() {
    let mut state = told();
    press(&mut state, "2jj");
    let chosen = |state: &State| state.arranged().chosen().map(|row| row.id.clone());
    let before = chosen(&state);
    let request = state.data().requests[7].as_ref().clone();
    let new = live::RequestSeen { id: "new".into(), ..request };
    state.fold(Event::Live(live::Event::Request(Box::new(new))));
    assert_eq!((chosen(&state), state.arranged().cursor), (before, Some(3)));
    press(&mut state, "g");
    assert_eq!(chosen(&state).as_deref(), Some("new"), "the first row follows the tail");
    press(&mut state, "G");
    assert_eq!(state.arranged().cursor, Some(40));
    press(&mut state, "\n");
    assert!(state.page().is_some());
    press(&mut state, "h");
    assert!(state.page().is_none());
}

#[test]
fn a_frozen_screen_stays_and_catches_up_when_thawed() {
    let mut state = told();
    press(&mut state, "2f");
    let request = state.data().requests[0].as_ref().clone();
    state.fold(Event::Live(live::Event::Request(Box::new(request))));
    assert_eq!(state.data().requests.len(), 40);
    press(&mut state, "f");
    assert_eq!(state.data().requests.len(), 41);
}

#[test]
fn the_tail_is_bounded() {
    let mut state = told();
    let request = state.data().requests[0].as_ref().clone();
    for _ in 0..1_500 {
        state.fold(Event::Live(live::Event::Request(Box::new(request.clone()))));
    }
    assert_eq!(state.data().requests.len(), 1_000);
}

#[test]
fn nothing_changes_without_elevation_and_an_answer() {
    let mut state = told();
    assert_eq!(press(&mut state, "R"), None);
    assert!(state.popups.is_empty());
    assert_eq!(press(&mut state, "e\nRn"), None);
    assert_eq!(press(&mut state, "R\n"), None, "Enter is no answer");
    assert_eq!(press(&mut state, "y"), Some(Effect::Mutate(Mutation::Reload)));
    assert_eq!(press(&mut state, "R"), None, "one at a time");
    assert!(state.popups.is_empty() && state.busy);
    state.fold(Event::Done(Ok("Generation 4 is in force.".into())));
    assert!(matches!(state.popups.last(), Some(Popup::Note { .. })));
    press(&mut state, "\n3j");
    let renew = Mutation::RenewCertificate { site: "shop.example.com".into() };
    assert_eq!(press(&mut state, "ry"), Some(Effect::Mutate(renew)));
}

#[test]
fn an_elevation_ends_by_itself_even_before_an_open_question() {
    let mut state = told();
    press(&mut state, "e\nR");
    state.fold(Event::Tick { now_ms: ELEVATED_MS });
    assert_eq!(press(&mut state, "y"), None);
    assert_eq!(state.said.as_deref(), Some("the elevation has ended; nothing was changed"));
    press(&mut state, "e\n");
    assert!(state.elevated());
    press(&mut state, "e");
    assert!(!state.elevated());
}

/// Presses `e` at a daemon that has second factors.
fn asked_for_a_code() -> State {
    let mut state = told();
    assert_eq!(state.fold(Event::Key(Key::Char('e'))).1, Some(Effect::WhoAmI));
    state.fold(Event::Who(Ok(sample::me(true, &str::to_owned))));
    state
}

#[test]
fn a_daemon_with_second_factors_wants_a_code_and_its_elevation_ends_when_it_says() {
    let mut state = asked_for_a_code();
    assert_eq!(press(&mut state, "12x345 \n"), None, "five digits are no code");
    assert!(!state.elevated());
    assert_eq!(press(&mut state, "67\n"), Some(Effect::Elevate("123456".into())));
    assert_eq!(press(&mut state, "1\n"), None, "it has one to look at");
    state.fold(Event::Elevated(Err("a code works once".into())));
    let Some(Popup::Code(prompt)) = state.popups.last() else { panic!("the prompt stays") };
    assert_eq!((prompt.fault.as_deref(), prompt.typed.as_str()), (Some("a code works once"), ""));
    press(&mut state, "654321\n");
    assert_eq!(state.fold(Event::Elevated(Ok(Granted { for_ms: 5_000 }))).1, None);
    assert!(state.elevated() && state.popups.is_empty());
    state.fold(Event::Tick { now_ms: 4_000 });
    assert_eq!(press(&mut state, "Ry"), Some(Effect::Mutate(Mutation::Reload)));
    state.fold(Event::Tick { now_ms: 5_000 });
    assert!(!state.elevated(), "a change does not begin it anew");
}

#[test]
fn an_elevation_that_nobody_waits_for_or_that_the_daemon_forgot_is_none() {
    let mut state = asked_for_a_code();
    press(&mut state, "123456\n\x1b");
    let granted = Event::Elevated(Ok(Granted { for_ms: 600_000 }));
    assert_eq!(state.fold(granted.clone()).1, Some(Effect::Lower));
    assert!(!state.elevated());
    state = asked_for_a_code();
    press(&mut state, "123456\n");
    state.fold(granted);
    assert!(state.elevated());
    state.fold(Event::Lapsed);
    assert!(!state.elevated());
}

#[test]
fn a_viewer_hears_which_role_is_needed_and_an_answer_never_comes_over_another_question() {
    let mut state = told();
    let me = sample::me(true, &str::to_owned);
    let viewer = WhoAmI { role: Role::Viewer, ..me.clone() };
    let said = Some("this needs the role operator; deploy is viewer");
    state.fold(Event::Me(viewer.clone()));
    press(&mut state, "R");
    assert_eq!(state.said.as_deref(), said, "without a way round over e");
    state.fold(Event::Key(Key::Char('e')));
    state.fold(Event::Who(Ok(viewer)));
    assert_eq!((state.said.as_deref(), state.popups.len()), (said, 0));
    state.fold(Event::Key(Key::Char('e')));
    state.fold(Event::Who(Err("the daemon is gone: cut".into())));
    assert_eq!(state.said.as_deref(), Some("not elevated: the daemon is gone: cut"));
    state.fold(Event::Key(Key::Char('e')));
    press(&mut state, "\x1b:");
    state.fold(Event::Who(Ok(me)));
    assert!(matches!(state.popups.as_slice(), [Popup::Prompt(_)]));
    press(&mut state, "\x1bR");
    assert_eq!(state.said.as_deref(), Some("read-only: press e to elevate first"));
}

#[test]
fn an_operator_hears_at_once_that_a_switch_is_for_an_admin() {
    let mut state = told();
    press(&mut state, "e\n");
    let me = sample::me(false, &str::to_owned);
    state.fold(Event::Me(WhoAmI { role: Role::Operator, ..me }));
    press(&mut state, ":cap\no");
    assert!(state.popups.is_empty());
    assert_eq!(state.said.as_deref(), Some("this needs the role admin; deploy is operator"));
    press(&mut state, "R");
    assert!(matches!(state.popups.last(), Some(Popup::Confirm { .. })));
}

#[test]
fn what_is_typed_while_the_daemon_is_asked_who_this_is_opens_nothing() {
    let mut state = told();
    press(&mut state, "3");
    assert_eq!(state.fold(Event::Key(Key::Char('e'))).1, Some(Effect::WhoAmI));
    press(&mut state, "\n\nr");
    assert!(state.page().is_none() && !state.elevated());
    assert!(matches!(state.popups.as_slice(), [Popup::Asking]));
    state.fold(Event::Who(Ok(sample::me(false, &str::to_owned))));
    assert!(matches!(state.popups.as_slice(), [Popup::Elevate]));
    press(&mut state, "\x1b");
    state.fold(Event::Key(Key::Char('e')));
    press(&mut state, "\x1b");
    assert!(state.popups.is_empty(), "Esc leaves the question");
    state.fold(Event::Who(Ok(sample::me(false, &str::to_owned))));
    assert!(state.popups.is_empty(), "nobody waits for the answer");
}

#[test]
fn where_the_daemon_is_gone_a_key_for_a_change_says_so() {
    let mut state = told();
    let lost = Lost { why: "cut".into(), place: None, gone: true };
    state.fold(Event::Lost { lost: lost.clone(), retry_ms: 4_000 });
    for keys in ["e", "R", ":reload\n", "3r", " r"] {
        state.said = None;
        assert_eq!(press(&mut state, keys), None, "{keys:?}");
        let said = Some("no change now: the daemon is gone");
        assert_eq!((state.said.as_deref(), state.popups.len()), (said, 0), "{keys:?}");
    }
    let refused = Lost { gone: false, ..lost };
    state.fold(Event::Lost { lost: refused, retry_ms: 4_000 });
    press(&mut state, "R");
    assert_eq!(state.said.as_deref(), Some("read-only: press e to elevate first"));
}

#[test]
fn a_certificate_that_palisade_does_not_order_is_not_asked_about() {
    let mut state = told();
    let mut status = sample::status(&str::to_owned);
    status.sites[0].certificate.source = "local".into();
    status.sites[1].certificate.source = "imported".into();
    state.fold(Event::Status(Box::new(status)));
    press(&mut state, "e\n3");
    for (keys, said) in [
        ("r", "not renewed by hand: it is of the local CA, palisade does that itself"),
        ("jr", "not ordered: it was imported; bring the next with palisade cert import"),
        ("jr", "not ordered: it is from files; replace them, palisade takes the new ones"),
    ] {
        press(&mut state, keys);
        assert_eq!((state.said.as_deref(), state.popups.len()), (Some(said), 0));
        assert!(keys::offers(&state).iter().all(|offer| offer.key != "r"));
    }
    press(&mut state, "jr");
    assert!(matches!(state.popups.last(), Some(Popup::Confirm { .. })));
}

#[test]
fn a_name_that_is_none_keeps_the_palette_and_is_told() {
    let mut state = told();
    press(&mut state, ":foo\n");
    let fault = |state: &State| match state.popups.last() {
        Some(Popup::Prompt(prompt)) => prompt.fault.clone(),
        other => panic!("no palette: {other:?}"),
    };
    assert_eq!(fault(&state).as_deref(), Some("there is no view foo"));
    state.fold(Event::Key(Key::Ctrl('u')));
    assert_eq!(fault(&state), None);
    press(&mut state, "sites\n");
    assert_eq!((name(&state), state.popups.len()), ("sites", 0));
}

#[test]
fn the_clock_is_the_daemons_and_no_history_sets_it_back() {
    let mut state = told();
    let clock = |state: &State| state.data().clock_s.expect("a clock");
    let from = clock(&state);
    let history = |ago: i64| {
        let history = History { end_s: from - ago, ..sample::history() };
        Event::History(Some(Box::new(history)))
    };
    let answer = || Event::Status(Box::new(sample::status(&str::to_owned)));
    state.fold(history(35));
    assert_eq!(clock(&state), from, "the last whole minute has ended before");
    state.fold(Event::Tick { now_ms: 4_000 });
    assert_eq!(clock(&state), from, "a daemon that does not answer has a clock that stands");
    state.fold(answer());
    assert_eq!(clock(&state), from + 4);
    state.fold(history(35));
    assert_eq!(clock(&state), from + 4);
    let alive = live::Event::Alive { now_ms: (from - 60) * 1_000 };
    state.fold(Event::Live(alive));
    assert_eq!(clock(&state), from - 60, "it was set back, by its own word");
    state.fold(Event::Tick { now_ms: 6_000 });
    state.fold(answer());
    assert_eq!(clock(&state), from - 58);
}

#[test]
fn what_would_hurt_wants_its_name_typed() {
    let mut state = told();
    press(&mut state, "e\n");
    popup::ask_for(&mut state, Mutation::Reload, Consent::Word("web-1".into()));
    assert_eq!(press(&mut state, "y\n"), None);
    state.fold(Event::Key(Key::Backspace));
    assert_eq!(press(&mut state, "web-1\n"), Some(Effect::Mutate(Mutation::Reload)));
}

#[test]
fn a_daemon_that_stalls_is_told_by_the_age_of_its_data() {
    let mut state = told();
    let words =
        |state: &State| screen::notice(state).into_iter().map(|(_, text)| text).collect::<String>();
    state.fold(Event::Tick { now_ms: 4_000 });
    assert_eq!(words(&state), "");
    let (changed, _) = state.fold(Event::Tick { now_ms: 4_500 });
    assert!(!changed, "time alone draws nothing");
    let (changed, _) = state.fold(Event::Tick { now_ms: 12_000 });
    assert!(changed);
    assert_eq!(words(&state), "WARN  last data 12 s ago");
    let lost = Lost { why: "cut".into(), place: Some("/run/p.sock".into()), gone: true };
    state.fold(Event::Lost { lost, retry_ms: 4_000 });
    let told = "FAIL  cut   next try in 4 s; last data 12 s ago   at /run/p.sock";
    assert_eq!(words(&state), told);
    press(&mut state, "3");
    assert_eq!(name(&state), "sites", "keys work all the same");
    state.fold(Event::Status(Box::new(sample::status(&str::to_owned))));
    assert_eq!(words(&state), "");
}

#[test]
fn a_sample_is_called_one() {
    let mut state = told();
    state.fold(Event::Live(live::Event::Sampling { one_in: 12 }));
    state.fold(Event::Live(live::Event::Dropped { count: 1_204 }));
    assert!(screen::notice(&state).is_empty(), "only beside the requests themselves");
    press(&mut state, "2");
    let words: String = screen::notice(&state).into_iter().map(|(_, text)| text).collect();
    assert_eq!(words, "SAMPLE 1 of 12 requests   MISSED 1,204");
}

#[test]
fn the_mouse_is_off_until_it_is_asked_for() {
    let mut state = told();
    assert!(!state.mouse);
    assert_eq!(press(&mut state, "m"), Some(Effect::Mouse(true)));
    press(&mut state, "2");
    state.fold(Event::Wheel(3));
    assert_eq!(state.arranged().cursor, Some(3));
    state.fold(Event::Click { x: 9, y: 2 });
    assert_eq!(state.arranged().cursor, Some(0));
    state.fold(Event::Click { x: 25, y: 23 });
    assert_eq!(name(&state), "sites");
}

#[test]
fn the_id_under_the_cursor_is_copied() {
    let mut state = told();
    assert_eq!(press(&mut state, "3y"), Some(Effect::Copy("app.example.com".into())));
}

#[test]
fn sorting_goes_through_the_columns_and_turns_around() {
    let mut state = told();
    let first = |state: &State| state.arranged().rows[0].id.clone();
    press(&mut state, "3s");
    assert_eq!(first(&state), "app.example.com");
    press(&mut state, "S");
    assert_eq!(first(&state), "shop.example.com");
    press(&mut state, &"s".repeat(7));
    assert!(state.pane().is_some_and(|pane| pane.sort.is_none()), "then its own order again");
}

#[test]
fn only_keys_that_work_are_offered() {
    let mut state = told();
    let words = |state: &State| {
        keys::offers(state).into_iter().map(|offer| offer.word).collect::<Vec<_>>().join(" ")
    };
    assert!(words(&state).contains("elevate") && !words(&state).contains("reload"));
    assert!(!words(&state).contains("widen"));
    press(&mut state, "3");
    assert!(!words(&state).contains("renew") && !words(&state).contains("time"));
    press(&mut state, "e\n");
    assert!(words(&state).contains("renew") && words(&state).contains("reload"));
    press(&mut state, "R");
    assert_eq!(words(&state), "yes no");
}

#[test]
fn a_view_can_keep_data_of_its_own() {
    let mut state = told();
    state.fold(Event::Document { view: "sites", document: Arc::new(7_u32) });
    assert_eq!(state.data().document::<u32>("sites"), Some(&7));
    assert_eq!(state.data().document::<String>("sites"), None);
    assert_eq!(state.data().document::<u32>("queue"), None);
}

#[test]
fn a_capability_is_switched_only_when_elevated_and_only_after_a_yes() {
    let mut state = told();
    press(&mut state, ":cap\n");
    assert_eq!(name(&state), "capabilities");
    for (key, mode) in [
        ("o", Some(Mode::Off)),
        ("b", Some(Mode::Observe)),
        ("E", Some(Mode::Enforce)),
        ("c", None),
    ] {
        assert_eq!(press(&mut state, key), None);
        assert!(state.popups.is_empty() && state.said.is_some(), "read-only");
        press(&mut state, "e\n");
        assert_eq!(press(&mut state, key), None, "asked first");
        let wanted = Mutation::SetCapability { name: "security_headers".into(), mode };
        assert_eq!(press(&mut state, "y"), Some(Effect::Mutate(wanted)));
        state.fold(Event::Done(Ok("done".into())));
        press(&mut state, "\ne");
        assert!(!state.elevated() && state.popups.is_empty());
    }
}
