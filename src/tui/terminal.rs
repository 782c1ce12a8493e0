//! The terminal: taken over, written to, and put back.
//!
//! Promises: it is put back when this is dropped and when anything panics; one flush is one write.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::canvas::Canvas;
use super::screen;
use super::state::State;

/// Buttons and wheel in SGR form (xterm, ctlseqs); not every move of the mouse, which a slow line would carry.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// Whether there is something to put back. There is one terminal, and a panic anywhere has to find it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Standard output, gathered until it is flushed.
struct Wire {
    pending: Vec<u8>,
    sent: Rc<Cell<u64>>,
    /// The terminal was put back: what the library sends after that goes nowhere.
    is_over: Rc<Cell<bool>>,
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        if self.is_over.get() {
            return Ok(());
        }
        self.sent.set(self.sent.get().saturating_add(bytes.len() as u64));
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()
    }
}

pub struct Screen {
    terminal: Terminal<CrosstermBackend<Wire>>,
    sent: Rc<Cell<u64>>,
    is_over: Rc<Cell<bool>>,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// What the terminal does not do; it is as it was then.
    pub fn open() -> io::Result<Self> {
        restore_on_panic();
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let (sent, is_over) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (counted, over) = (Rc::clone(&sent), Rc::clone(&is_over));
        let mut wire = Wire { pending: Vec::new(), sent: counted, is_over: over };
        let opened = execute!(wire, EnterAlternateScreen, EnableBracketedPaste)
            .and_then(|()| Terminal::new(CrosstermBackend::new(wire)))
            .and_then(|mut terminal| blank(&mut terminal).map(|()| terminal));
        match opened {
            Ok(terminal) => Ok(Self { terminal, sent, is_over }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Sends what differs from the last frame, and returns how many bytes that were.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, state: &State) -> io::Result<u64> {
        let before = self.sent.get();
        self.terminal
            .draw(|frame| screen::draw(state, &mut Canvas::new(frame.buffer_mut(), state.look)))?;
        Ok(self.sent.get() - before)
    }

    /// Forgets what the terminal shows.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn forget(&mut self) -> io::Result<()> {
        blank(&mut self.terminal)
    }

    /// Whether the wheel and clicks come here, or select text.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn mouse(&mut self, on: bool) -> io::Result<()> {
        let wire = self.terminal.backend_mut();
        wire.write_all(if on { MOUSE_ON } else { MOUSE_OFF })?;
        Write::flush(wire)
    }

    /// To the clipboard, by OSC 52 (xterm, ctlseqs): base64, so no byte of the text is seen by the terminal.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let wire = self.terminal.backend_mut();
        write!(wire, "\x1b]52;c;{}\x07", base64(text.as_bytes()))?;
        Write::flush(wire)
    }
}

/// The library's own way asks the terminal for its cursor first: the answer would come among the keys, or never.
fn blank(terminal: &mut Terminal<CrosstermBackend<Wire>>) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(size.into())
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_over.set(true);
        restore();
    }
}

/// Puts the terminal back; what fails is left, since there is nobody to tell.
fn restore() {
    // Once: a terminal that leaves its other screen twice moves its cursor onto what was said in between.
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout().lock();
    let _ = out.write_all(MOUSE_OFF);
    let _ = queue!(out, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = out.flush();
    let _ = disable_raw_mode();
}

/// The message of a panic belongs on the operator's own screen.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: [char; 64] = letters();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| group.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * place) & 63) as usize);
            let padding = place > group.len();
            text.push(if padding { '=' } else { letter.copied().unwrap_or('=') });
        }
    }
    text
}

const fn letters() -> [char; 64] {
    let (mut letters, mut at) = (['/'; 64], 0_u8);
    while at < 63 {
        #[expect(clippy::indexing_slicing, reason = "a constant: out of bounds does not compile")]
        {
            letters[at as usize] = match at {
                0..26 => b'A' + at,
                26..52 => b'a' + at - 26,
                52..62 => b'0' + at - 52,
                _ => b'+',
            } as char;
        }
        at += 1;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, encoded) in pairs {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xef, 0xff]), "++//");
    }
}
