//! What an inspector lets through and what it keeps: a buffer that exists only while there is something to keep.

use super::{At, Inspector, Limits, Refused, Then};

/// What is kept behind a request for an upgrade before the client is not read any more.
const HELD_MAX: usize = 16 * 1024;
/// Takes the place of a refused head, so that its refusal leaves in turn, through the exchange that this makes.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
/// The same where the answer must have no body.
const STAND_IN_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// What to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// Anything, into the reader's own buffer, to be passed to [`Gate::look`].
    Direct,
    /// At most so many bytes, to be passed to [`Gate::add`]. 0: nothing until the upgrade is decided.
    More(usize),
    /// Nothing ever again: a head was refused.
    Silence,
    /// Nothing ever again: the body that is being read broke this rule.
    Fault(&'static str),
}

/// The inspector of a connection with the bytes that it keeps.
#[derive(Debug)]
pub struct Gate {
    inspector: Inspector,
    /// Judged bytes up to `clear`, of which `given` were taken; behind them what waits for its verdict.
    kept: Vec<u8>,
    given: usize,
    clear: usize,
    refused: Option<Box<Refused>>,
    fault: Option<&'static str>,
}

impl Gate {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let inspector = Inspector::new(limits);
        Self { inspector, kept: Vec::new(), given: 0, clear: 0, refused: None, fault: None }
    }

    /// Asked when [`ready`](Self::ready) is empty.
    #[must_use]
    pub fn wants(&self) -> Wants {
        let waiting = self.kept.len() - self.clear;
        match &self.inspector.at {
            At::Over => self.fault.map_or(Wants::Silence, Wants::Fault),
            At::Upgrade => Wants::More(HELD_MAX.saturating_sub(waiting)),
            _ if waiting > 0 => {
                Wants::More(self.inspector.limits.head_max.saturating_sub(waiting).max(1))
            }
            _ => Wants::Direct,
        }
    }

    /// Judges bytes where they lie. So many of them may stay there; the rest is kept here or forgotten.
    pub fn look(&mut self, bytes: &[u8]) -> usize {
        let verdict = self.inspector.judge(bytes);
        let rest = bytes.get(verdict.pass..).unwrap_or_default();
        match verdict.then {
            Then::Keep | Then::Hold => self.kept.extend_from_slice(rest),
            Then::Refused(refused) => self.refuse(refused),
            Then::Broken(rule) => self.fault = Some(rule),
        }
        verdict.pass
    }

    /// Adds bytes to those that wait, and judges.
    pub fn add(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        self.judge_kept();
    }

    /// The request for an upgrade is over and nothing came of it: what is behind it are requests.
    pub fn release(&mut self) {
        if matches!(self.inspector.at, At::Upgrade) {
            self.inspector.at = At::Head;
            self.judge_kept();
        }
    }

    fn judge_kept(&mut self) {
        let waiting = self.kept.get(self.clear..).unwrap_or_default();
        let verdict = self.inspector.judge(waiting);
        self.clear += verdict.pass;
        match verdict.then {
            Then::Keep | Then::Hold => {}
            Then::Refused(refused) => self.refuse(refused),
            Then::Broken(rule) => {
                self.kept.truncate(self.clear);
                self.fault = Some(rule);
            }
        }
    }

    fn refuse(&mut self, refused: Box<Refused>) {
        let no_body = refused.method == Some(http::Method::HEAD);
        self.kept.truncate(self.clear);
        self.kept.extend_from_slice(if no_body { STAND_IN_HEAD } else { STAND_IN });
        self.clear = self.kept.len();
        self.refused = Some(refused);
    }

    /// Judged bytes that nobody has taken yet.
    #[must_use]
    pub fn ready(&self) -> &[u8] {
        self.kept.get(self.given..self.clear).unwrap_or_default()
    }

    /// They were taken, so many from the beginning.
    pub fn took(&mut self, bytes: usize) {
        self.given += bytes;
        if self.given < self.clear {
            return;
        }
        if self.clear == self.kept.len() {
            self.kept = Vec::new();
        } else {
            self.kept.drain(..self.clear);
        }
        (self.given, self.clear) = (0, 0);
    }

    /// Heads that went on since the last call.
    pub fn passed(&mut self) -> u64 {
        std::mem::take(&mut self.inspector.passed)
    }

    /// The head that was refused, once.
    pub fn refused(&mut self) -> Option<Box<Refused>> {
        self.refused.take()
    }

    /// Whether everything that came has gone on, and the next byte begins a head.
    #[must_use]
    pub fn is_between(&self) -> bool {
        matches!(self.inspector.at, At::Head) && self.kept.is_empty()
    }

    /// Whether the beginning of a head waits for its end.
    #[must_use]
    pub fn has_half_head(&self) -> bool {
        matches!(self.inspector.at, At::Head) && self.kept.len() > self.clear
    }

    /// Whether what comes waits until an upgrade is decided.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.inspector.at, At::Upgrade)
    }

    /// Memory that is in use for bytes that wait.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.kept.capacity()
    }

    /// What came behind a request that has become a tunnel.
    #[must_use]
    pub fn into_held(mut self) -> Vec<u8> {
        self.kept.split_off(self.given.min(self.kept.len()))
    }
}
