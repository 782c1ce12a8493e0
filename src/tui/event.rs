//! What happens to the dashboard, and what it wants done: both closed lists.

use crate::base::{Mode, Role};
use crate::ops::api::Status;
use crate::ops::api::access::WhoAmI;
use crate::ops::api::live::{self, History};

use super::data::Document;

/// A key, without what terminals disagree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
}

/// Everything that [`State`](super::state::State) folds.
#[derive(Debug, Clone)]
pub enum Event {
    Key(Key),
    /// Lines down; negative is up.
    Wheel(i32),
    Click {
        x: u16,
        y: u16,
    },
    Resize {
        width: u16,
        height: u16,
    },
    /// Milliseconds since the dashboard was started; comes before every other event and once a second.
    Tick {
        now_ms: u64,
    },
    Status(Box<Status>),
    /// `None`: this daemon keeps no history.
    History(Option<Box<History>>),
    /// What a view fetches for itself.
    Document {
        view: &'static str,
        document: Document,
    },
    Live(live::Event),
    /// The stream of events ended or is not offered.
    TailLost {
        why: String,
    },
    /// The daemon did not answer; the next try is in so many milliseconds.
    Lost {
        lost: Lost,
        retry_ms: u64,
    },
    /// Who this is to the daemon; asked once, whenever it is there again.
    Me(WhoAmI),
    /// A mutation has ended: what came of it, or why nothing did.
    Done(Result<String, String>),
    /// Who this is to the daemon, or why that is not known.
    Who(Result<WhoAmI, String>),
    /// A code was looked at.
    Elevated(Result<Granted, String>),
    /// The daemon knows of no elevation any more.
    Lapsed,
}

/// Why there was no answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// As short as it can be.
    pub why: String,
    /// Where the daemon should be; not said again where somebody answered.
    pub place: Option<String>,
    /// Nobody is there; else somebody answered, and not as hoped.
    pub gone: bool,
}

/// What a code has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    pub for_ms: u64,
}

/// What the loop does for the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Quit,
    Mutate(Mutation),
    /// Ask the daemon who this is.
    WhoAmI,
    /// Give the daemon a code.
    Elevate(String),
    /// Forget what the daemon gave for one.
    Lower,
    /// To the clipboard of whoever looks at the terminal.
    Copy(String),
    Mouse(bool),
    /// The terminal was scribbled on by somebody else: draw everything.
    Redraw,
}

/// What the dashboard may change. Each is asked about and needs elevation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    Reload,
    RenewCertificate {
        site: String,
    },
    /// Without a mode: as configured again.
    SetCapability {
        name: String,
        mode: Option<Mode>,
    },
}

impl Mutation {
    /// The question, without its mark.
    #[must_use]
    pub fn question(&self) -> String {
        match self {
            Self::Reload => "Reload the configuration".into(),
            Self::RenewCertificate { site } => format!("Renew the certificate of {site} now"),
            Self::SetCapability { name, mode } => match mode {
                Some(Mode::Off) => format!("Switch {name} off"),
                Some(Mode::Observe) => format!("Let {name} only observe"),
                Some(Mode::Enforce) => format!("Enforce {name}"),
                None => format!("Have {name} as configured again"),
            },
        }
    }

    /// Who may do it; the daemon has the last word.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Reload | Self::RenewCertificate { .. } => Role::Operator,
            Self::SetCapability { .. } => Role::Admin,
        }
    }

    /// What it will touch.
    #[must_use]
    pub fn touches(&self) -> &'static str {
        match self {
            Self::Reload => {
                "Everything is read anew and swapped once. On any error the running configuration stays. \
                 Connections of unchanged sites are not cut."
            }
            Self::RenewCertificate { .. } => {
                "One order at the CA, which counts towards its rate limits. The present certificate is served \
                 until the new one is there."
            }
            Self::SetCapability { mode: Some(Mode::Off), .. } => {
                "From the next request on nothing is looked at and nothing is refused. It stays so through reloads and \
                 restarts, until it is taken back (c)."
            }
            Self::SetCapability { mode: Some(Mode::Observe), .. } => {
                "From the next request on findings are counted and nothing is done about them. It stays so through \
                 reloads and restarts, until it is taken back (c)."
            }
            Self::SetCapability { mode: Some(Mode::Enforce), .. } => {
                "From the next request on findings are acted upon, whatever the file says, until it is taken back (c)."
            }
            Self::SetCapability { mode: None, .. } => {
                "What was set while running is taken back: from the next request on the file counts."
            }
        }
    }
}
