//! The running program: built once, in dependency order, in `build`; changed by `reload`; ended by `drain`.
//!
//! Promises: nothing is served before everything is bound and every certificate is loaded (H11); a configuration
//! that cannot be used never replaces one that can (58); what was accepted is finished before the end (59).

mod access;
mod activity;
mod audit;
mod build;
mod certificates;
mod control;
mod crowd;
mod drain;
mod factors;
mod listen;
mod live;
mod master;
mod materials;
mod owner;
mod peers;
mod reach;
mod refusals;
mod reload;
mod sites;
mod sockets;
mod standing;
mod state;
mod supervise;
mod switches;
mod tokens;
mod trust;
mod upkeep;

use std::path::PathBuf;

use crate::config::{self, Environment, Flags, Loaded, Report};
use crate::ops::api::Status;

pub use build::run;

/// Where the configuration comes from, at the start and at every reload.
#[derive(Debug, Clone)]
pub enum Source {
    File(PathBuf),
    Flags(Box<Flags>),
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self, environment: &Environment) -> Result<Loaded, Report> {
        match self {
            Self::File(path) => config::load_file(path, environment),
            Self::Flags(flags) => config::from_flags(flags, environment),
        }
    }

    /// The path, if it is a file.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match self {
            Self::File(path) => Some(path.display().to_string()),
            Self::Flags(_) => None,
        }
    }
}

/// Called once, when everything serves, with what there is to say about this start alone, a sentence each.
pub type Announce = Box<dyn FnOnce(&Status, &[String]) + Send>;

/// What a start needs.
pub struct Start {
    pub source: Source,
    pub environment: Environment,
    pub announce: Option<Announce>,
}

/// Why nothing was started. The text is complete: the thing, the reason, the next step.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Config(Report),
    #[error("{0}")]
    Failed(String),
}

/// Loads the keys and certificates of a configuration as a start would, and changes nothing.
///
/// # Errors
/// Everything that a start would refuse.
pub fn check(loaded: &Loaded, environment: &Environment) -> Result<(), Report> {
    let clock = crate::ports::system::SystemClock;
    materials::check(&loaded.settings, environment, &clock)
}
