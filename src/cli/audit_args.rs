//! The options of `audit` as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::ClientArgs;
use super::audit_words::Moment;

#[derive(Debug, Subcommand)]
pub(super) enum AuditVerb {
    /// The last records
    #[command(
        after_help = "Examples:\n  palisade audit tail -n 50\n  palisade audit tail --follow --json | jq .action"
    )]
    Tail(AuditTailArgs),
    /// Records that match; filters must all hold
    #[command(
        after_help = "Examples:\n  palisade audit search --action config --since 7d\n  palisade audit search --actor root --text refused --json"
    )]
    Search(AuditSearchArgs),
    /// Follow the whole chain; exit code 1 names the first record that is not as it was written
    #[command(
        after_help = "Without a file the daemon's own log is verified. A file is an export, and needs no daemon.\n\nExamples:\n  palisade audit verify\n  palisade audit verify audit.ndjson --key 9f1c…"
    )]
    Verify(AuditVerifyArgs),
    /// All records as lines of JSON, and a signed checkpoint as the last line
    #[command(
        after_help = "Examples:\n  palisade audit export > audit.ndjson\n  palisade audit export --since 30d | ssh vault 'cat > palisade-audit.ndjson'"
    )]
    Export(AuditExportArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct AuditTailArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub lines: u64,
    /// Go on with new ones until Ctrl-C
    #[arg(long)]
    pub follow: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct AuditSearchArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    #[command(flatten)]
    pub filter: AuditFilter,
}

#[derive(Debug, Clone, Args)]
pub(super) struct AuditFilter {
    /// What was done: config.reload, or config for all of these
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Who did it: name or number of a user, or system
    #[arg(long, value_name = "USER")]
    pub actor: Option<String>,
    /// What it was done to
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,
    /// Not before: 2026-11-21, 2026-11-21T20:17:46Z, or 3h for so long ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// What stands anywhere in a record
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct AuditVerifyArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// An export
    #[arg(value_name = "FILE", requires = "key")]
    pub file: Option<PathBuf>,
    /// Public key of the daemon that it came from, as `palisade audit verify` tells it there
    #[arg(long, value_name = "HEX", requires = "file")]
    pub key: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct AuditExportArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// From this time on: 2026-11-21, 2026-11-21T20:17:46Z, or 30d for so long ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
}
