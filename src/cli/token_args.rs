//! The options of `token` as typed.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::args::ClientArgs;
use crate::base::units::HumanDuration;
use crate::base::{Role, Scope};

#[derive(Debug, Subcommand)]
pub(super) enum TokenVerb {
    /// Make a token; its secret is printed once, alone on standard output
    ///
    /// The secret is what `Authorization: Bearer` carries on the ops address. It is kept nowhere: a token that is lost
    /// is revoked and made anew.
    #[command(
        after_help = "Examples:\n  TOKEN=$(palisade token create ci --role operator --expires 90d)\n  palisade token create grafana --role viewer --scope status,live\n  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:9180/v1/status"
    )]
    Create(TokenCreateArgs),
    /// Every token: what it may do, until when, and when it was last used; never a secret
    #[command(after_help = "Example:\n  palisade token list --json | jq '.[] | select(.expired)'")]
    List(ClientArgs),
    /// End a token; it stops working before this command ends
    #[command(
        after_help = "Examples:\n  palisade token revoke ci\n  palisade token revoke 3f9a01c4b77e"
    )]
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct TokenCreateArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// For people: letters, digits, `-`, `_` and `.`
    #[arg(value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub name: String,
    /// What it may do; each includes the ones before it
    #[arg(long, value_name = "ROLE", value_parser = roles())]
    pub role: Role,
    /// Only these groups of calls; repeat or separate by commas [default: all that the role may make]
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = scopes())]
    pub scope: Vec<Scope>,
    /// When it ends, from now on, such as 30d [default: never]
    #[arg(long, value_name = "TIME")]
    pub expires: Option<HumanDuration>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct TokenRevokeArgs {
    #[command(flatten)]
    pub client: ClientArgs,
    /// Its id, or its name
    #[arg(value_name = "ID|NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub which: String,
}

fn roles() -> impl TypedValueParser<Value = Role> {
    let find = |word: String| Role::ALL.into_iter().find(|role| role.word() == word);
    // The parser before it lets no other word through.
    PossibleValuesParser::new(Role::ALL.map(Role::word))
        .map(move |word| find(word).unwrap_or(Role::Viewer))
}

fn scopes() -> impl TypedValueParser<Value = Scope> {
    let find = |word: String| Scope::ALL.into_iter().find(|scope| scope.word() == word);
    PossibleValuesParser::new(Scope::ALL.map(Scope::word))
        .map(move |word| find(word).unwrap_or(Scope::Status))
}
