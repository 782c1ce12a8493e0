//! `token`: what stands for an operator on the ops address.
//!
//! Promises: a secret goes to standard output alone in its line, and nowhere else; everything about it goes to standard
//! error.

use super::args::ClientArgs;
use super::connect::{ask, fail};
use super::output::{Page, Tone};
use super::token_args::{TokenCreateArgs, TokenRevokeArgs};
use super::words::column;
use super::{Exit, Output};
use crate::base::Scope;
use crate::config::Environment;
use crate::ops::api::access::{CreateToken, TokenInfo};
use crate::ops::{Client, ClientError};

pub(super) fn create(args: &TokenCreateArgs, environment: &Environment, out: &Output) -> Exit {
    let json = args.client.json;
    let wanted = CreateToken {
        name: args.name.clone(),
        role: args.role,
        scopes: args.scope.clone(),
        // Anything shorter than a second is none, which the daemon refuses.
        expires_in_s: args.expires.map(|time| time.0.as_secs()),
    };
    let wanted = &wanted;
    let call = |client: Client| async move { client.create_token(wanted).await };
    match ask(&args.client, environment, call) {
        Ok(made) if json => out.json(&made),
        Ok(made) => {
            out.complain_page(&created(&made.token));
            out.say(&made.secret);
        }
        Err(error) => return fail(&error, json, out),
    }
    Exit::Done
}

fn created(token: &TokenInfo) -> Page {
    let mut page = Page::new();
    page.line(format!("token {} ({}): {}", token.name, token.id, may(token)));
    page.line(format!("  {}", until(token)));
    page.line("  its secret is shown now and never again; keep it where only its user can read it");
    page
}

pub(super) fn list(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    match ask(args, environment, all) {
        Ok(tokens) if args.json => out.json(&tokens),
        Ok(tokens) => out.page(&table(&tokens)),
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

/// All of them, oldest first.
async fn all(client: Client) -> Result<Vec<TokenInfo>, ClientError> {
    let mut tokens = client.tokens().await?;
    tokens.sort_by(|a, b| (&a.created_at, &a.name).cmp(&(&b.created_at, &b.name)));
    Ok(tokens)
}

fn table(tokens: &[TokenInfo]) -> Page {
    let mut page = Page::new();
    if tokens.is_empty() {
        page.line("there is no token");
        return page;
    }
    page.line(row("NAME", "ID", "ROLE", "LAST USED"));
    for token in tokens {
        let used = token.last_used_at.as_deref().unwrap_or("-");
        page.line(row(&token.name, &token.id, token.role.word(), used));
        let mut line = |tone, text| page.broken(6, [(tone, format!("    {text}"))]);
        line(if token.expired { Tone::Warn } else { Tone::Plain }, until(token));
        if !token.scopes.is_empty() {
            line(Tone::Plain, format!("only {}", scopes(&token.scopes)));
        }
        line(Tone::Plain, format!("made by {} at {}", token.created_by, token.created_at));
    }
    page
}

fn row(name: &str, id: &str, role: &str, used: &str) -> String {
    format!("{}  {}  {}  {used}", column(name, 28), column(id, 12), column(role, 8))
}

fn until(token: &TokenInfo) -> String {
    match &token.expires_at {
        None => "it never ends; give the next one an end with --expires".to_owned(),
        Some(at) if token.expired => format!("expired at {at}"),
        Some(at) => format!("ends at {at}"),
    }
}

fn may(token: &TokenInfo) -> String {
    match token.scopes.as_slice() {
        [] => token.role.word().to_owned(),
        some => format!("{}, only {}", token.role.word(), scopes(some)),
    }
}

fn scopes(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.word()).collect::<Vec<_>>().join(", ")
}

pub(super) fn revoke(args: &TokenRevokeArgs, environment: &Environment, out: &Output) -> Exit {
    let json = args.client.json;
    let call = |client: Client| async move { client.revoke_token(&args.which).await };
    match ask(&args.client, environment, call) {
        Ok(token) if json => out.json(&token),
        Ok(token) => {
            let mut page = Page::new();
            page.line(format!("token {} ({}) is revoked", token.name, token.id));
            out.page(&page);
        }
        Err(error) => return fail(&error, json, out),
    }
    Exit::Done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Role;

    fn token(name: &str) -> TokenInfo {
        TokenInfo {
            id: "3f9a01c4b77e".into(),
            name: name.into(),
            role: Role::Operator,
            scopes: Vec::new(),
            created_at: "2026-11-21T20:17:46Z".into(),
            created_by: "root".into(),
            expires_at: None,
            expired: false,
            last_used_at: None,
        }
    }

    #[test]
    fn the_list_says_what_each_may_until_when_and_when_it_was_used() {
        let mut brief = token("grafana");
        brief.role = Role::Viewer;
        brief.scopes = vec![Scope::Status, Scope::Live];
        brief.expires_at = Some("2026-12-21T20:17:46Z".into());
        brief.last_used_at = Some("2026-11-22T08:00:00Z".into());
        let mut ended = brief.clone();
        ended.expired = true;
        ended.scopes.clear();
        assert_eq!(
            table(&[token("ci"), brief, ended]).plain(),
            "\
NAME                          ID            ROLE      LAST USED
ci                            3f9a01c4b77e  operator  -
    it never ends; give the next one an end with --expires
    made by root at 2026-11-21T20:17:46Z
grafana                       3f9a01c4b77e  viewer    2026-11-22T08:00:00Z
    ends at 2026-12-21T20:17:46Z
    only status, live
    made by root at 2026-11-21T20:17:46Z
grafana                       3f9a01c4b77e  viewer    2026-11-22T08:00:00Z
    expired at 2026-12-21T20:17:46Z
    made by root at 2026-11-21T20:17:46Z
"
        );
        assert_eq!(table(&[]).plain(), "there is no token\n");
    }

    #[test]
    fn a_name_from_elsewhere_writes_one_line_and_no_escape() {
        let text = table(&[token("a\x1b]0;x\x07\nb")]).plain();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert_eq!(text.lines().count(), 4);
    }
}
