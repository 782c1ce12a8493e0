//! What only tests and the fuzzer touch: every cell of every view, to push hostile text through them, and the guard of
//! the terminal, to break off while it holds one.

use std::io;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::event::{Effect, Event, Key, Lost};
use super::sample;
use super::screen;
use super::state::State;
use super::terminal::Screen;
use super::text::Charset;
use super::theme::Look;
use super::views::VIEWS;

/// A terminal that is taken over like the dashboard's own, until this is dropped.
pub struct Taken(Screen);

impl Taken {
    /// With the mouse, so that there is all to put back that there can be.
    ///
    /// # Errors
    /// There is no terminal.
    pub fn open() -> io::Result<Self> {
        let mut screen = Screen::open()?;
        screen.mouse(true)?;
        Ok(Self(screen))
    }

    /// Bytes that a first frame takes.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, size: (u16, u16)) -> io::Result<u64> {
        let look = Look { colour: true, charset: Charset::Utf8 };
        self.0.draw(&State::new(look, size, 2_000))
    }
}

/// Draws a daemon all of whose texts end in `text`, in every view, page and popup, and hands over each cell.
pub fn cells(text: &str, charset: Charset, size: (u16, u16), mut see: impl FnMut(&str)) {
    let look = Look { colour: true, charset };
    let mut state = State::new(look, size, 2_000);
    // The end of short texts is seen, the begin of long ones.
    let say = |own: &str| {
        if own.len().is_multiple_of(2) { format!("{own}{text}") } else { format!("{text}{own}") }
    };
    for event in sample::events(&say) {
        state.fold(event);
    }
    let lost = Lost { why: text.to_owned(), place: Some(text.to_owned()), gone: false };
    state.fold(Event::Lost { lost, retry_ms: 1_000 });
    let mut look_at = |state: &State| {
        let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
        screen::draw(state, &mut Canvas::new(&mut buffer, look));
        buffer.content().iter().for_each(|cell| see(cell.symbol()));
    };
    let typed = text.chars().filter(|c| !c.is_control()).map(Key::Char);
    for at in 0..VIEWS.len() {
        state.go(at);
        look_at(&state);
        for keys in [
            vec![Key::Enter],
            vec![Key::Char('n')],
            vec![Key::Enter],
            vec![Key::Char('y')],
            vec![Key::Char('?')],
            vec![Key::Esc, Key::Esc, Key::Char('N'), Key::Char('/')],
            typed.clone().collect(),
            vec![Key::Esc, Key::Char(':')],
            typed.clone().collect(),
            vec![Key::Esc, Key::Char('e'), Key::Enter, Key::Char('r')],
            vec![Key::Esc, Key::Char('*'), Key::Char('r')],
            vec![Key::Char('y')],
            vec![Key::Esc],
        ] {
            for key in keys {
                if state.fold(Event::Key(key)).1 == Some(Effect::WhoAmI) {
                    state.fold(Event::Who(Ok(sample::me(false, &say))));
                }
            }
            look_at(&state);
        }
        state.fold(Event::Lapsed);
        state.fold(Event::Who(Ok(sample::me(true, &say))));
        state.fold(Event::Elevated(Err(text.to_owned())));
        look_at(&state);
        state.fold(Event::Key(Key::Esc));
        for outcome in [Ok(text.to_owned()), Err(text.to_owned())] {
            state.fold(Event::Done(outcome));
            look_at(&state);
            state.fold(Event::Key(Key::Esc));
        }
    }
}
