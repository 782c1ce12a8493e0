//! The options of `capability` as typed.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::args::ClientArgs;
use crate::base::units::{HumanDuration, UnitError};
use crate::base::{Capability, Mode};

/// Takes a runtime switch back.
const CONFIGURED: &str = "configured";
const DAY_S: u64 = 86_400;

#[derive(Debug, Subcommand)]
pub(super) enum CapabilityVerb {
    /// Every capability: the mode in force, the configured one, and what decides
    #[command(
        after_help = "Examples:\n  palisade capability list\n  palisade capability list --json | jq '.[] | select(.runtime)'"
    )]
    List(ClientArgs),
    /// Switch a capability while palisade runs: in force on the next request, and through reloads and restarts
    ///
    /// Counts more than [capability] in the file, and less than an emergency flag that says false. Needs no reload.
    #[command(
        after_help = "Modes: off (nothing is looked at), observe (findings are counted, nothing is changed or refused),\nenforce, configured (the file counts again).\n\nExamples:\n  palisade capability set security_headers observe --for 30m\n  palisade capability set security_headers off --yes\n  palisade capability set security_headers configured"
    )]
    Set(CapabilitySetArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct CapabilitySetArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Which
    #[arg(value_name = "NAME", value_parser = names())]
    pub name: Capability,
    /// How it should be
    #[arg(value_name = "MODE", value_parser = modes())]
    pub mode: Wanted,
    /// The configuration counts again after so long, from 1s to 30d [default: until somebody takes it back]
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    pub lasts: Option<HumanDuration>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// A mode, or as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted(pub Option<Mode>);

fn names() -> impl TypedValueParser<Value = Capability> {
    // The parser before it lets no other name through.
    PossibleValuesParser::new(Capability::ALL.map(Capability::key))
        .map(|key| Capability::of_key(&key).unwrap_or(Capability::SecurityHeaders))
}

fn modes() -> impl TypedValueParser<Value = Wanted> {
    let words = Mode::ALL.map(Mode::word).into_iter().chain([CONFIGURED]);
    PossibleValuesParser::new(words)
        .map(|word| Wanted(Mode::ALL.into_iter().find(|mode| mode.word() == word)))
}

/// Whole seconds: that is how an end is kept.
fn span(text: &str) -> Result<HumanDuration, String> {
    let span: HumanDuration = text.parse().map_err(|error: UnitError| error.to_string())?;
    let whole = span.0.subsec_nanos() == 0;
    let fits = (1..=30 * DAY_S).contains(&span.0.as_secs());
    if whole && fits { Ok(span) } else { Err("from 1s to 30d, in whole seconds".into()) }
}
