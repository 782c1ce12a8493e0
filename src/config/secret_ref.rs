//! Where a secret is kept, as written: every key that names a secret is read here.
//!
//! Refuses: the secret itself, two places for one secret.

use std::path::PathBuf;

use super::read::{Cx, Fault, Section};
use super::source::is_key;
use super::values;
use super::wire::{Entry, Node, Value};
use crate::base::SecretRef;

/// A path, or `{ file | credential | env = "…" }`; `path` is the key's own, with `*` for names.
pub(super) fn read(cx: &mut Cx, entry: &Entry, path: &'static str) -> Option<SecretRef> {
    let Value::Table(table) = &entry.node.value else {
        return match bare(&entry.node, path) {
            Ok(path) => Some(SecretRef::File(path)),
            Err(fault) => {
                cx.error(&entry.node.place, fault.message, fault.label);
                None
            }
        };
    };
    let mut section = Section::new(path, table);
    let before = cx.report.errors();
    let file = section.optional(cx, "file", path_of).map(SecretRef::File);
    let credential = section.optional(cx, "credential", credential_name).map(SecretRef::Credential);
    let env = section.optional(cx, "env", variable_name).map(SecretRef::Env);
    section.finish(cx);
    let mut given = [file, credential, env].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(secret), None) => {
            if let SecretRef::Env(name) = &secret {
                cx.secret_env.push(name.clone());
            }
            return Some(secret);
        }
        (None, _) if cx.report.errors() > before => {}
        _ => cx.error(
            &entry.node.place,
            "a secret is kept in exactly one place",
            "write { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }",
        ),
    }
    None
}

/// The text of a place, unless the secret itself was written there.
fn place(node: &Node) -> Result<&str, Fault> {
    let text = values::text(node)?;
    if is_key(text) { Err(in_the_file()) } else { Ok(text) }
}

fn in_the_file() -> Fault {
    let label = "keep it in a file of mode 0600 and write { file = \"…\" }";
    Fault::new("a secret does not stand in the file", label)
}

/// Without a table around it: a path. What an authority hands out as a key may be short and look like anything, so
/// there only what has a slash is one.
fn bare(node: &Node, path: &str) -> Result<PathBuf, Fault> {
    match &node.value {
        Value::Text(text) if path == "acme.eab.hmac" && !text.contains('/') => Err(in_the_file()),
        _ => path_of(node),
    }
}

fn path_of(node: &Node) -> Result<PathBuf, Fault> {
    place(node).and_then(|_| values::path(node))
}

fn credential_name(node: &Node) -> Result<String, Fault> {
    let text = place(node)?;
    if text.contains(['/', '\0']) || text == "." || text == ".." {
        return Err(Fault::new(
            "a credential has a name, not a path",
            "write the name from LoadCredential=",
        ));
    }
    Ok(text.to_owned())
}

fn variable_name(node: &Node) -> Result<String, Fault> {
    let text = place(node)?;
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(text.to_owned());
    }
    Err(Fault::new("this is no name of an environment variable", "write the name, not the value"))
}
