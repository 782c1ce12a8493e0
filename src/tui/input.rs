//! Keys from the terminal, read on a thread of their own.
//!
//! Promises: a terminal that is gone ends the thread, and the dashboard hears of it. The parser reads only when there
//! is something to read: it would spin on a terminal that has hung up.

use std::io;
use std::os::fd::AsFd;

use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

use super::event::{Event, Key};

/// What comes from the terminal.
#[derive(Debug)]
pub enum Input {
    Event(Event),
    /// Pasted text: for a prompt, never for a view.
    Paste(String),
    Gone(String),
}

/// Starts the thread. It ends with the terminal or with the first key that nobody wants.
pub fn start() -> mpsc::Receiver<Input> {
    let (to, from) = mpsc::channel(256);
    std::thread::spawn(move || {
        let why = loop {
            match wait() {
                Ok(true) => {}
                Ok(false) => break "the terminal has closed its input".to_owned(),
                Err(error) => break error.to_string(),
            }
            if let Err(error) = read(&to) {
                break error.to_string();
            }
            if to.is_closed() {
                return;
            }
        };
        let _ = to.blocking_send(Input::Gone(why));
    });
    from
}

/// Waits for input; `false` is the end of it.
fn wait() -> io::Result<bool> {
    let stdin = io::stdin();
    loop {
        let mut polled = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        match poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        return Ok(!polled.iter().any(|fd| fd.revents().intersects(gone)));
    }
}

fn read(to: &mpsc::Sender<Input>) -> io::Result<()> {
    while event::poll(std::time::Duration::ZERO)? {
        if let Some(input) = translate(event::read()?)
            && to.blocking_send(input).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

fn translate(event: event::Event) -> Option<Input> {
    let event = match event {
        event::Event::Key(key) => Event::Key(key_of(key)?),
        event::Event::Resize(width, height) => Event::Resize { width, height },
        event::Event::Paste(text) => return Some(Input::Paste(text)),
        event::Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::ScrollUp => Event::Wheel(-3),
            MouseEventKind::ScrollDown => Event::Wheel(3),
            MouseEventKind::Down(_) => Event::Click { x: mouse.column, y: mouse.row },
            _ => return None,
        },
        event::Event::FocusGained | event::Event::FocusLost => return None,
    };
    Some(Input::Event(event))
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Ctrl(c),
        KeyCode::Char(_) if key.modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        key_of(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_lose_what_terminals_disagree_about() {
        assert_eq!(key(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Key::Char('G')));
        assert_eq!(key(KeyCode::Char('d'), KeyModifiers::CONTROL), Some(Key::Ctrl('d')));
        assert_eq!(key(KeyCode::Char('x'), KeyModifiers::ALT), None);
        assert_eq!(key(KeyCode::F(5), KeyModifiers::NONE), None);
    }
}
