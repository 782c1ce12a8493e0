//! What becomes of many rows.

use super::*;
use crate::tui::event::Event;
use crate::tui::keys_tests::press;
use crate::tui::sample;
use crate::tui::screen;
use crate::tui::text::Charset;
use crate::tui::theme::Look;

fn sites(keys: &str) -> State {
    let look = Look { colour: false, charset: Charset::Utf8 };
    let mut state = State::new(look, (80, 24), 2_000);
    for event in sample::events(&str::to_owned) {
        state.fold(event);
    }
    press(&mut state, "3");
    press(&mut state, keys);
    state
}

fn marked(state: &State) -> Vec<String> {
    state.arranged().marked.into_iter().collect()
}

fn renew(site: &str) -> Option<Effect> {
    Some(Effect::Mutate(Mutation::RenewCertificate { site: site.into() }))
}

fn done(state: &mut State) -> Option<Effect> {
    state.fold(Event::Done(Ok("It has a certificate.".into()))).1
}

fn note(state: &State) -> (String, String) {
    match state.popups.last() {
        Some(Popup::Note { title, text }) => (title.clone(), text.clone()),
        other => panic!("no note: {other:?}"),
    }
}

fn asked(state: &State) -> (Vec<Target>, LeftOut) {
    match state.popups.last() {
        Some(Popup::ConfirmAll { targets, left_out }) => (targets.clone(), *left_out),
        other => panic!("no question: {other:?}"),
    }
}

#[test]
fn one_marked_row_is_asked_about_as_any_other() {
    let mut state = sites(" e\nr");
    let (targets, left_out) = asked(&state);
    assert_eq!(question(&targets), "Renew the certificate of app.example.com now");
    assert_eq!(touches(&targets, left_out), targets[0].mutation.touches());
    assert_eq!(press(&mut state, "y"), renew("app.example.com"));
    let words: String = screen::notice(&state).into_iter().map(|(_, text)| text).collect();
    assert!(words.ends_with("Renew the certificate of app.example.com now ..."), "{words}");
    assert_eq!(done(&mut state), None);
    assert_eq!(note(&state), ("Done".into(), "It has a certificate.".into()));
    assert!(marked(&state).is_empty());
    press(&mut state, "\ng ry");
    state.fold(Event::Done(Err("port 80 is closed".into())));
    assert_eq!(note(&state), ("FAIL: nothing was changed".into(), "port 80 is closed".into()));
    assert_eq!(marked(&state), ["app.example.com"], "what failed stays marked");
}

#[test]
fn what_nothing_can_be_done_to_is_not_marked_and_is_counted() {
    let mut state = sites("*");
    assert_eq!(marked(&state), ["app.example.com", "new.example.com", "shop.example.com"]);
    assert_eq!(state.said.as_deref(), Some("left out 1 row: nothing can be done there"));
    press(&mut state, "\x1bgjj ");
    assert!(marked(&state).is_empty() && state.arranged().cursor == Some(2));
    let said = state.said.as_deref().unwrap_or_default();
    assert!(said.starts_with("not ordered: it is from files"), "{said}");
    press(&mut state, ":cap\n*");
    assert_eq!(marked(&state), ["security_headers", "webhook_verify"]);
    assert_eq!(state.said.as_deref(), Some("left out 3 rows: nothing can be done there"));
}

#[test]
fn a_marked_row_that_an_act_is_not_for_is_left_out_of_its_question() {
    let mut state = sites(":cap\n*e\nc");
    let (targets, left_out) = asked(&state);
    assert_eq!(targets.len(), 1);
    assert_eq!(left_out, LeftOut { hidden: 0, unfit: 1 });
    assert!(
        touches(&targets, left_out).ends_with("Left out: 1 marked row that it cannot be done to.")
    );
    press(&mut state, "n\x1bgjj ");
    press(&mut state, "c");
    assert!(state.popups.is_empty());
    let said = "nothing to take back: webhook_verify is as configured";
    assert_eq!(state.said.as_deref(), Some(said));
}

#[test]
fn an_elevation_by_a_code_is_not_made_longer_by_a_change_of_many_rows() {
    let mut state = sites("  ");
    state.fold(Event::Key(Key::Char('e')));
    state.fold(Event::Who(Ok(sample::me(true, &str::to_owned))));
    press(&mut state, "123456\n");
    let granted = crate::tui::event::Granted { for_ms: 5_000 };
    state.fold(Event::Elevated(Ok(granted)));
    assert_eq!(press(&mut state, "ry"), renew("app.example.com"));
    state.fold(Event::Tick { now_ms: 5_000 });
    assert!(!state.elevated());
}

#[test]
fn space_marks_and_goes_on_and_esc_unmarks() {
    let mut state = sites("  ");
    assert_eq!(marked(&state), ["app.example.com", "shop.example.com"]);
    assert_eq!(state.arranged().cursor, Some(2));
    press(&mut state, "k ");
    assert_eq!(marked(&state), ["app.example.com"], "the same key takes the mark back");
    press(&mut state, "/shop\n*");
    assert_eq!(marked(&state), ["app.example.com", "shop.example.com"], "what is shown");
    press(&mut state, "\x1b");
    assert!(marked(&state).is_empty() && state.filter().is_some(), "first the marks");
    press(&mut state, "\x1b");
    assert!(state.filter().is_none(), "then the filter");
    press(&mut state, "2 ");
    assert!(marked(&state).is_empty(), "nothing is done to requests, so none is marked");
}

#[test]
fn one_question_names_them_and_they_are_done_one_after_another() {
    let mut state = sites("  j ");
    assert_eq!(press(&mut state, "r"), None);
    assert_eq!(state.said.as_deref(), Some("read-only: press e to elevate first"));
    press(&mut state, "e\nr");
    let Some(Popup::ConfirmAll { targets, .. }) = state.popups.last() else { panic!("a question") };
    assert_eq!(question(targets), "Renew the certificates of 3 sites now");
    assert!(
        touches(targets, LeftOut::default())
            .starts_with("app.example.com\nshop.example.com\nnew.example.com")
    );
    assert_eq!(press(&mut state, "\n"), None, "Enter is no answer");
    assert_eq!(press(&mut state, "y"), renew("app.example.com"));
    let words = |state: &State| -> String {
        screen::notice(state).into_iter().map(|(_, text)| text).collect()
    };
    assert!(words(&state).contains("1 of 3: Renew the certificate of app.example.com now"));
    press(&mut state, "R");
    assert!(state.popups.is_empty(), "nothing else meanwhile");
    assert_eq!(done(&mut state), renew("shop.example.com"));
    assert_eq!(marked(&state), ["new.example.com", "shop.example.com"]);
    assert!(words(&state).contains("2 of 3"), "{}", words(&state));
    assert_eq!(done(&mut state), renew("new.example.com"));
    assert_eq!(done(&mut state), None);
    let (title, text) = note(&state);
    assert_eq!((title.as_str(), state.busy), ("Done", false));
    assert_eq!(text, "Done, 3:\napp.example.com\nshop.example.com\nnew.example.com");
    assert!(marked(&state).is_empty());
}

#[test]
fn the_first_that_fails_ends_it_and_the_rest_stays_marked() {
    let mut state = sites("*e\nry");
    assert_eq!(done(&mut state), renew("shop.example.com"));
    let (_, next) = state.fold(Event::Done(Err("port 80 is closed".into())));
    assert_eq!(next, None);
    let (title, text) = note(&state);
    assert_eq!(title, "FAIL: 1 of 3 done");
    assert_eq!(
        text,
        "shop.example.com: port 80 is closed\n\nDone, 1:\napp.example.com\n\n\
         Not done, and still marked, 2:\nshop.example.com\nnew.example.com"
    );
    assert_eq!(marked(&state), ["new.example.com", "shop.example.com"]);
    press(&mut state, "\n");
    assert_eq!(press(&mut state, "ry"), renew("shop.example.com"), "and can go on");
}

#[test]
fn esc_and_the_end_of_the_elevation_let_nothing_more_begin() {
    for (stop, why) in [("\x1b", "It was stopped."), ("e", "The elevation has ended.")] {
        let mut state = sites("  e\nry");
        press(&mut state, stop);
        assert_eq!(done(&mut state), None, "{why}");
        let (title, text) = note(&state);
        assert!(title == "FAIL: 1 of 2 done" && text.starts_with(why), "{title}: {text}");
        assert_eq!(marked(&state), ["shop.example.com"]);
    }
}

#[test]
fn a_mark_that_is_not_shown_is_left_out_and_said() {
    let mut state = sites("*e\n/app|shop\nr");
    let (targets, left_out) = asked(&state);
    assert_eq!((targets.len(), left_out.hidden), (2, 1));
    assert!(touches(&targets, left_out).contains("Left out: 1 marked row that is not shown"));
    press(&mut state, "n/");
    state.fold(Event::Key(Key::Ctrl('u')));
    press(&mut state, "nothing\nr");
    assert!(state.popups.is_empty());
    assert_eq!(
        state.said.as_deref(),
        Some("none of the marked rows is shown here now; Esc unmarks")
    );
}

#[test]
fn a_page_that_is_open_is_what_an_act_is_for() {
    let mut state = sites("*e\ng\n");
    press(&mut state, "r");
    assert!(matches!(state.popups.last(), Some(Popup::Confirm { .. })));
    assert_eq!(press(&mut state, "y"), renew("app.example.com"));
}

#[test]
fn many_names_are_counted() {
    let target = |number: usize| Target { id: number.to_string(), mutation: Mutation::Reload };
    let targets: Vec<Target> = (0..9).map(target).collect();
    assert!(touches(&targets, LeftOut::default()).starts_with("0\n1\n2\n3\n4\nand 4 more\n"));
}
