//! Frames as they are, at 80x24 and 120x40. `PALISADE_BLESS=1 cargo nextest run --lib tui` writes them anew.

use std::path::Path;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend, TestBackend};
use ratatui::style::{Color, Modifier};

use super::canvas::Canvas;
use super::event::{Event, Key, Lost};
use super::keys_tests::press;
use super::state::State;
use super::text::Charset;
use super::theme::Look;
use super::{once, probe, sample, screen};

const UTF8: Look = Look { colour: false, charset: Charset::Utf8 };
const ASCII: Look = Look { colour: false, charset: Charset::Ascii };

/// A dashboard that has heard everything, after these keys.
fn after(look: Look, size: (u16, u16), keys: &str) -> State {
    let mut state = State::new(look, size, 2_000);
    for event in sample::events(&str::to_owned) {
        state.fold(event);
    }
    press(&mut state, keys);
    state
}

fn drawn(state: &State) -> TestBackend {
    let backend = TestBackend::new(state.size.0, state.size.1);
    let mut terminal = Terminal::new(backend).expect("a terminal");
    terminal
        .draw(|frame| screen::draw(state, &mut Canvas::new(frame.buffer_mut(), state.look)))
        .expect("drawn");
    terminal.backend().clone()
}

fn text(state: &State) -> String {
    let mut text = once::lines(drawn(state).buffer()).join("\n");
    text.push('\n');
    text
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tui").join(name);
    if std::env::var_os("PALISADE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        std::fs::write(&path, text).expect("written");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == text, "{} is not what is drawn now:\n{text}", path.display());
}

#[test]
fn every_view_is_drawn_as_agreed() {
    let views = [
        ("overview", ""),
        ("attention", "j\n"),
        ("requests", "2"),
        ("request", "2jjjj\n"),
        ("sites", "3"),
        ("certificate", "3j\n"),
        ("upstreams", "3\n"),
        ("help", "2?"),
        ("palette", ":"),
        ("narrowed", "2nj\n1"),
        ("confirm", "e\nR"),
        ("marked", "3 jj e\nr"),
        ("audit", "7"),
        ("record", "7jj\n"),
        ("capabilities", ":cap\n"),
        ("capability", ":cap\n\n"),
        ("switch", ":cap\ne\no"),
        ("elevated", ":cap\ne\n"),
        ("unknown", ":foo\n"),
    ];
    for (name, keys) in views {
        for size in [(80, 24), (120, 40)] {
            let (width, height) = size;
            let file = format!("{name}-{width}x{height}.txt");
            golden(&file, &text(&after(UTF8, size, keys)));
        }
        golden(&format!("{name}-80x24-ascii.txt"), &text(&after(ASCII, (80, 24), keys)));
    }
}

#[test]
fn a_code_is_asked_for_in_a_box_that_says_why_the_last_one_was_not_taken() {
    let mut state = after(UTF8, (80, 24), "");
    state.fold(Event::Key(Key::Char('e')));
    golden("asking-80x24.txt", &text(&state));
    state.fold(Event::Who(Ok(sample::me(true, &str::to_owned))));
    for c in "123".chars() {
        state.fold(Event::Key(Key::Char(c)));
    }
    golden("code-80x24.txt", &text(&state));
    let why = "a code works once\n  wait for the next one, at most 30 s";
    state.fold(Event::Elevated(Err(why.into())));
    golden("code-refused-80x24.txt", &text(&state));
}

#[test]
fn before_the_first_answer_the_screen_says_so() {
    golden("waiting-80x24.txt", &text(&State::new(UTF8, (80, 24), 2_000)));
}

#[test]
fn a_daemon_that_is_gone_is_told_without_losing_what_was_known() {
    let mut state = after(UTF8, (80, 24), "");
    state.fold(Event::Tick { now_ms: 12_000 });
    let why = "the socket was left behind by a daemon that is gone".into();
    let place = Some("/run/palisade/control.sock".into());
    state.fold(Event::Lost { lost: Lost { why, place, gone: true }, retry_ms: 4_000 });
    state.fold(Event::TailLost { why: "the stream broke off".into() });
    golden("gone-80x24.txt", &text(&state));
    press(&mut state, "R");
    let said = text(&state);
    for words in
        ["GONE", "left behind by a daemon that is gone\n", "next try in 4 s", "no change now"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn one_frame_for_scripts_has_no_keys() {
    let history = Some(sample::history());
    let snapshot = once::Snapshot { status: sample::status(&str::to_owned), history };
    golden("once-80.txt", &format!("{}\n", once::frame(snapshot, 80, Charset::Utf8)));
}

#[test]
fn without_colour_only_weight_and_reverse_are_left() {
    for keys in ["", "2", "2\n", "3", "?", "e\nR", ":cap\n\n"] {
        let backend = drawn(&after(UTF8, (120, 40), keys));
        for cell in backend.buffer().content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        }
        let chosen = |cell: &&ratatui::buffer::Cell| cell.modifier.contains(Modifier::REVERSED);
        assert!(backend.buffer().content().iter().find(chosen).is_some() || keys.len() != 1);
    }
}

#[test]
fn with_colour_the_background_stays_the_terminals_own() {
    let colour = Look { colour: true, ..UTF8 };
    let backend = drawn(&after(colour, (120, 40), ""));
    let cells = backend.buffer().content();
    assert!(cells.iter().all(|cell| cell.bg == Color::Reset));
    assert!(cells.iter().any(|cell| cell.fg == Color::Red));
    // What is red also says FAIL.
    let red: String = cells.iter().filter(|c| c.fg == Color::Red).map(|c| c.symbol()).collect();
    assert!(red.contains("FAIL"), "{red}");
}

#[test]
fn a_terminal_that_is_too_small_is_told_in_a_sentence() {
    for size in [(20, 5), (39, 24), (80, 9), (1, 1)] {
        for keys in ["", "2\n", "?", "e\nR", ":", "/"] {
            let state = after(UTF8, size, keys);
            let text = text(&state).replace('\n', " ");
            assert!(size.0 == 1 || text.contains("too small"), "{size:?}: {text}");
            assert!(size.0 == 1 || text.contains("q leaves"), "{size:?}: {text}");
        }
    }
}

#[test]
fn where_nothing_is_shown_q_leaves_whatever_is_open() {
    for keys in ["", "?", "e\nR", ":", "/"] {
        let mut state = after(UTF8, (80, 24), keys);
        state.fold(Event::Resize { width: 20, height: 5 });
        assert_eq!(press(&mut state, "q"), Some(super::event::Effect::Quit), "{keys:?}");
    }
}

#[test]
fn the_changes_that_can_be_made_are_in_the_bottom_line_of_any_terminal() {
    let bottom = |width, keys: &str| {
        let text = text(&after(UTF8, (width, 24), keys));
        text.lines().last().unwrap_or_default().to_owned()
    };
    let line = bottom(80, ":cap\ne\n");
    assert!(line.contains("o off  b observe  E enforce  c as configured"), "{line}");
    let line = bottom(40, ":cap\ne\n");
    assert!(line.contains("o/b/E/c act") && line.ends_with("q quit"), "{line}");
    let line = bottom(80, "3e\n");
    assert!(line.contains("3 sites") && line.contains("r renew  Enter"), "{line}");
}

#[test]
fn every_size_can_be_drawn_with_every_popup_open() {
    for keys in [
        "", "2", "2\n", "3j\n", "7", "7\n", ":cap\n\n", "?", "e", "e\nR", ":", "/x", "2n", "3*e\nr",
    ] {
        for width in (38..130).step_by(13) {
            for height in (8..45).step_by(3) {
                let mut state = after(UTF8, (120, 40), keys);
                state.fold(Event::Resize { width, height });
                drawn(&state);
            }
        }
    }
}

#[test]
fn an_unchanged_screen_costs_next_to_nothing() {
    let state = after(Look { colour: true, ..UTF8 }, (120, 40), "");
    let mut bytes = Vec::new();
    let mut terminal = Terminal::with_options(
        CrosstermBackend::new(&mut bytes),
        ratatui::TerminalOptions {
            viewport: ratatui::Viewport::Fixed(ratatui::layout::Rect::new(0, 0, 120, 40)),
        },
    )
    .expect("a terminal");
    let draw = |terminal: &mut Terminal<CrosstermBackend<&mut Vec<u8>>>, state: &State| {
        terminal
            .draw(|frame| screen::draw(state, &mut Canvas::new(frame.buffer_mut(), state.look)))
            .expect("drawn");
        terminal.backend_mut().flush().expect("memory");
    };
    draw(&mut terminal, &state);
    draw(&mut terminal, &state);
    let mut idle = after(Look { colour: true, ..UTF8 }, (120, 40), "");
    let mut history = sample::history();
    history.end_s += 2;
    history.points.rotate_left(2);
    idle.fold(Event::History(Some(Box::new(history))));
    draw(&mut terminal, &idle);
    drop(terminal);
    let text = String::from_utf8(bytes).expect("UTF-8");
    let frames: Vec<&str> = text.split("\x1b[?25l").collect();
    let (first, second, third) = (frames[0].len(), frames[1].len(), frames[2].len());
    assert!(first > 2_000, "{first}");
    assert!(second < 60, "the same again took {second} bytes");
    assert!(third < 800, "two seconds later took {third} bytes");
}

/// A step of somebody who tries everything.
#[derive(Debug, Clone)]
enum Step {
    Key(Key),
    Resize(u16, u16),
    /// One of all that a daemon may tell.
    Told(usize),
    Click(u16, u16),
    Tick,
}

fn any_step() -> impl Strategy<Value = Step> {
    let named = prop::sample::select(vec![
        Key::Enter,
        Key::Esc,
        Key::Tab,
        Key::BackTab,
        Key::Backspace,
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::Home,
        Key::End,
        Key::PageUp,
        Key::PageDown,
        Key::Ctrl('u'),
        Key::Ctrl('d'),
    ]);
    let working: Vec<char> = "1234567?:/nNsSfteRyrm* gGjkhlqxY(".chars().collect();
    prop_oneof![
        4 => named.prop_map(Step::Key),
        8 => prop::sample::select(working).prop_map(|c| Step::Key(Key::Char(c))),
        1 => any::<char>().prop_map(|c| Step::Key(Key::Char(c))),
        2 => (0..140_u16, 0..50_u16).prop_map(|(width, height)| Step::Resize(width, height)),
        2 => any::<usize>().prop_map(Step::Told),
        1 => (0..140_u16, 0..50_u16).prop_map(|(x, y)| Step::Click(x, y)),
        1 => Just(Step::Tick),
    ]
}

/// Draws into a part of a larger buffer, and looks at what is around it.
fn drawn_inside(state: &State) {
    const AROUND: u16 = 3;
    let (width, height) = state.size;
    let area = ratatui::layout::Rect::new(0, 0, width + 2 * AROUND, height + 2 * AROUND);
    let mut buffer = ratatui::buffer::Buffer::filled(area, ratatui::buffer::Cell::new("~"));
    let mut canvas = Canvas::new(&mut buffer, state.look);
    screen::draw(state, &mut canvas.part(AROUND, AROUND, width, height));
    for (at, cell) in buffer.content().iter().enumerate() {
        let at = u16::try_from(at).expect("small");
        let (x, y) = (at % area.width, at / area.width);
        let inside =
            (AROUND..AROUND + width).contains(&x) && (AROUND..AROUND + height).contains(&y);
        assert!(inside || *cell == ratatui::buffer::Cell::new("~"), "{x},{y} of {area:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_is_pressed_told_and_resized_nothing_is_drawn_outside(
        size in (0..140_u16, 0..50_u16),
        steps in prop::collection::vec(any_step(), 1..40),
        text in "(\\p{Cc}|\\p{M}|.){0,8}",
        ascii in any::<bool>(),
    ) {
        let say = |own: &str| format!("{own}{text}");
        let mut told = sample::events(&say);
        told.push(Event::History(None));
        let lost = Lost { why: say("gone"), place: Some(say("/run")), gone: true };
        told.push(Event::Lost { lost, retry_ms: 1_000 });
        told.push(Event::Who(Ok(sample::me(false, &say))));
        told.push(Event::TailLost { why: say("gone") });
        told.push(Event::Done(Ok(say(&"done ".repeat(200)))));
        told.push(Event::Done(Err(say("refused\n\n"))));
        let mut state = State::new(if ascii { ASCII } else { UTF8 }, size, 2_000);
        drawn_inside(&state);
        for step in steps {
            let now_ms = state.now_ms;
            let event = match step {
                Step::Key(key) => Event::Key(key),
                Step::Resize(width, height) => Event::Resize { width, height },
                Step::Told(which) => told[which % told.len()].clone(),
                Step::Click(x, y) => Event::Click { x, y },
                Step::Tick => Event::Tick { now_ms: now_ms + 61_000 },
            };
            state.fold(event);
            drawn_inside(&state);
        }
    }
}

fn no_control_reaches_a_cell(text: &str) {
    for charset in [Charset::Utf8, Charset::Ascii] {
        for size in [(80, 24), (120, 40)] {
            probe::cells(text, charset, size, |symbol| {
                for c in symbol.chars() {
                    let turned = matches!(u32::from(c), 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2069 | 0xfeff);
                    assert!(!c.is_control() && !turned, "{c:?} of {text:?}");
                    assert!(charset == Charset::Utf8 || c.is_ascii(), "{c:?} on an ASCII terminal");
                }
                assert!(symbol.chars().count() <= 3, "{symbol:?} piles up");
            });
        }
    }
}

#[test]
fn no_control_character_of_any_kind_reaches_a_cell() {
    for hostile in [
        "\x1b]0;title\x07",
        "\x1b[2J\x1b[31mFAIL",
        "\u{9b}31m\u{9d}52;c;eA==\u{9c}",
        "\r\n\x08\x7f\0\t",
        "\u{202e}evil\u{2066}\u{200f}\u{200b}\u{feff}",
        "e\u{301}\u{301}\u{301}\u{301}\u{301}",
        "\u{1f469}\u{200d}\u{1f469}\u{fe0f}\u{1f3fd}",
    ] {
        no_control_reaches_a_cell(hostile);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_a_daemon_says_no_control_reaches_a_cell(text in "(\\p{Cc}|\\p{Cf}|\\p{M}|.){0,24}") {
        no_control_reaches_a_cell(&text);
    }
}
