//! The options of `totp` as typed.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::args::ClientArgs;

#[derive(Debug, Subcommand)]
pub(super) enum TotpVerb {
    /// Make a second factor: shows its secret once, and counts once the device has shown a code
    ///
    /// With --json the secret is printed and nothing asked; `palisade totp activate` is the second step then.
    #[command(
        after_help = "Examples:\n  palisade totp enroll anna-phone\n  palisade totp enroll ci-key --json | jq -r .secret"
    )]
    Enroll(TotpArgs),
    /// Make an enrolled factor count, by a code of it; within 10 minutes
    #[command(
        after_help = "Examples:\n  palisade totp activate anna-phone\n  oathtool --totp -b \"$SECRET\" | palisade totp activate ci-key"
    )]
    Activate(TotpActivateArgs),
    /// Second factors: name, since when, by whom, and when a code was last used
    #[command(after_help = "Example:\n  palisade totp list --json | jq -r '.[].name'")]
    List(ClientArgs),
    /// Remove a second factor, by a code of any; with --state and the daemon stopped, without one
    #[command(
        after_help = "Every device is lost: stop the daemon, then let root remove a factor from the state itself.\n\nExamples:\n  palisade totp remove anna-phone\n  sudo palisade totp remove anna-phone --state /var/lib/palisade"
    )]
    Remove(TotpRemoveArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct TotpArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Names the device or its owner: letters, digits, -, _ and .
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
}

#[derive(Debug, Clone, Args)]
pub(super) struct TotpActivateArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Name of the factor
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// What the device shows [default: asked for, or a line of standard input]
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct TotpRemoveArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Name of the factor
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Remove it from this state directory, without a code; the daemon must be stopped
    #[arg(long, value_name = "DIR", conflicts_with_all = ["socket", "totp"])]
    pub state: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
