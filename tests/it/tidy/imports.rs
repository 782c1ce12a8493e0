//! The import table of docs/ARCHITECTURE.md against the paths that the source really uses.
//!
//! Reads tokens, not lines: `use` trees, paths in expressions, types and macros, `super::` chains. Comments and
//! strings do not count.

use super::File;
use super::source::{Token, tokens};

/// What each folder may import, the table's rows in order.
#[derive(Debug)]
pub struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    /// `["guard", "*"]`
    folder: Vec<String>,
    /// `["guard", "*", "settings"]` each
    allowed: Vec<Vec<String>>,
}

impl Table {
    /// The table between `<!-- imports:begin -->` and `<!-- imports:end -->`.
    pub fn parse(document: &str) -> Result<Self, String> {
        let (_, rest) = document
            .split_once("<!-- imports:begin -->")
            .ok_or("no line <!-- imports:begin --> before the table")?;
        let (table, _) = rest
            .split_once("<!-- imports:end -->")
            .ok_or("no line <!-- imports:end --> after the table")?;
        let mut rows = Vec::new();
        for line in table.lines().map(str::trim).filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [folder, allowed] = cells[..] else {
                return Err(format!("not two columns: {line}"));
            };
            let folder = folder.trim_matches('`').split('/').map(str::to_owned).collect();
            let allowed = if allowed == "nothing" { Vec::new() } else { entries(allowed)? };
            rows.push(Row { folder, allowed });
        }
        if rows.is_empty() { Err("the table has no rows".to_owned()) } else { Ok(Self(rows)) }
    }

    /// The row with the longest folder that covers the module.
    fn row(&self, module: &[String]) -> Option<&Row> {
        self.0.iter().filter(|row| covers(&row.folder, module)).max_by_key(|row| row.folder.len())
    }
}

fn entries(cell: &str) -> Result<Vec<Vec<String>>, String> {
    cell.split(',')
        .map(str::trim)
        .map(|entry| {
            let bare = entry.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            let bare = bare.ok_or_else(|| format!("not in backticks: {entry}"))?;
            Ok(bare.split("::").map(str::to_owned).collect())
        })
        .collect()
}

/// Whether `path` lies in or below what `pattern` names.
fn covers(pattern: &[String], path: &[String]) -> bool {
    path.len() >= pattern.len()
        && pattern.iter().zip(path).all(|(part, name)| part == "*" || part == name)
}

/// One finding per path that leaves the table.
pub fn check(table: &Table, sources: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in sources {
        let module = module_of(&file.path);
        let Some(row) = table.row(&module) else {
            if file.path != "src/lib.rs" {
                findings.push(format!("{}: no row of the import table covers it", file.path));
            }
            continue;
        };
        let own: Vec<String> = module.iter().take(row.folder.len()).cloned().collect();
        for (line, path) in used_paths(&file.text, &module) {
            let allowed = covers(&own, &path) || row.allowed.iter().any(|a| covers(a, &path));
            if !allowed {
                findings.push(format!(
                    "{}:{line}: {} may not import crate::{} (docs/ARCHITECTURE.md)",
                    file.path,
                    own.join("/"),
                    path.join("::")
                ));
            }
        }
    }
    findings
}

/// `src/guard/headers/core.rs` is `guard::headers::core`; `src/main.rs` is a row of its own.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/");
    match inner {
        "lib.rs" => return Vec::new(),
        "main.rs" => return vec!["main.rs".to_owned()],
        _ => {}
    }
    let inner = inner.trim_end_matches(".rs").trim_end_matches("/mod");
    inner.split('/').map(str::to_owned).collect()
}

/// Every path of this crate that the text names, from the crate's root, with its line.
fn used_paths(text: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", Token::code);
    let mut paths = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new(); // open `mod name {` and the depth outside it
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let line = tokens[at].line;
        match word(at) {
            "mod" if word(at + 2) == "{" => {
                inline.push((word(at + 1).to_owned(), depth));
                at += 1;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inline.last().is_some_and(|(_, outside)| *outside == depth) {
                    inline.pop();
                }
            }
            "crate" | "palisade" if word(at + 1) == "::" && word(at.wrapping_sub(1)) != "::" => {
                let mut tree = Vec::new();
                use_tree(&tokens, at + 2, &Vec::new(), &mut tree);
                paths.extend(tree.into_iter().map(|path| (line, path)));
            }
            "super" if word(at + 1) == "::" && word(at.wrapping_sub(1)) != "::" => {
                let here = inline.iter().map(|(name, _)| name.clone());
                let mut base: Vec<String> = module.iter().cloned().chain(here).collect();
                base.pop();
                let mut next = at + 2;
                while word(next) == "super" && word(next + 1) == "::" {
                    base.pop();
                    next += 2;
                }
                let mut tree = Vec::new();
                use_tree(&tokens, next, &base, &mut tree);
                paths.extend(tree.into_iter().map(|path| (line, path)));
                at = next - 1;
            }
            _ => {}
        }
        at += 1;
    }
    paths
}

/// Expands `a::{b, c::d, self}` after `base`; gives the index after the tree.
fn use_tree(tokens: &[Token], mut at: usize, base: &[String], out: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    loop {
        match tokens.get(at).map_or("", Token::code) {
            "{" => {
                at += 1;
                loop {
                    match tokens.get(at).map_or("", Token::code) {
                        "}" | "" => return at + 1,
                        "," => at += 1,
                        _ => at = use_tree(tokens, at, &path, out),
                    }
                }
            }
            "self" | "*" => {
                out.push(path);
                return at + 1;
            }
            name if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                path.push(name.to_owned());
                at += 1;
                if tokens.get(at).map_or("", Token::code) == "::" {
                    at += 1;
                    continue;
                }
                out.push(path);
                if tokens.get(at).map_or("", Token::code) == "as" {
                    at += 2;
                }
                return at;
            }
            // `a::<T>` or the end of the text: what stands before it is the path.
            _ => {
                out.push(path);
                return at + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "<!-- imports:begin -->\n| folder | may import |\n|---|---|\n| `base` | nothing |\n\
        | `guard` | nothing |\n| `guard/*` | `base` |\n| `config` | `base`, `guard::*::settings` |\n\
        | `ops` | `config` |\n| `ops/client` | `ops::api` |\n<!-- imports:end -->";

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&Table::parse(TABLE).unwrap(), &[File::made(path, text)])
    }

    #[test]
    fn a_forbidden_import_is_found_wherever_it_is_written() {
        for text in [
            "use crate::config::Settings;",
            "use crate::{base::Host, config::Settings};",
            "use crate::{base::{Host, Mode}, config::{self}};",
            "fn f() -> crate::config::Settings { todo!() }",
            "fn f() { let x = vec![crate::config::settings::DEFAULT]; }",
            "use super::super::config::Settings;",
            "mod tests { use super::super::super::config::Settings; }",
            "use palisade::config::Settings;",
            "macro_rules! m { () => { $crate::config::f() } }",
            "use crate::guard::cookies::Cookie;",
            "use super::cookies::Cookie;",
        ] {
            assert_eq!(findings("src/guard/headers/mod.rs", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn an_import_in_a_test_module_counts() {
        let text =
            "pub fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::config::Settings;\n}\n";
        let found = findings("src/base/host.rs", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/base/host.rs:4: base may not import crate::config"));
    }

    #[test]
    fn allowed_imports_comments_and_strings_are_left_alone() {
        for text in [
            "use crate::base::Host;",
            "use super::core::decide;",
            "use crate::guard::headers::core::decide;",
            "mod tests { use super::*; use super::super::hook::run; }",
            "// use crate::config::Settings;\n/* crate::config /* crate::ops */ */",
            "/// See [`crate::config::Settings`].\nconst A: &str = \"crate::config\"; const B: &str = r#\"crate::\"config\"#;",
            "pub(crate) fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' } // crate::config",
        ] {
            assert_eq!(findings("src/guard/headers/hook.rs", text), [""; 0], "{text}");
        }
        let settings = "use crate::guard::headers::settings::{Frame, Hsts};";
        assert_eq!(findings("src/config/wire.rs", settings), [""; 0]);
        assert_eq!(findings("src/config/wire.rs", "use crate::guard::headers::hook;").len(), 1);
    }

    #[test]
    fn the_most_specific_row_counts() {
        assert_eq!(findings("src/ops/client.rs", "use crate::ops::api::Status;"), [""; 0]);
        assert_eq!(findings("src/ops/client.rs", "use crate::config::Settings;").len(), 1);
        assert_eq!(findings("src/ops/server.rs", "use crate::config::Settings;"), [""; 0]);
        assert_eq!(findings("src/ops/server.rs", "use crate::ops::client::Client;"), [""; 0]);
    }

    #[test]
    fn a_folder_without_a_row_is_found() {
        assert_eq!(findings("src/store/mod.rs", "//! x").len(), 1);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_refused() {
        assert!(Table::parse("no marks").is_err());
        assert!(Table::parse("<!-- imports:begin --><!-- imports:end -->").is_err());
        let bare = TABLE.replace("`base`, `guard::*::settings`", "base");
        assert!(Table::parse(&bare).unwrap_err().contains("not in backticks"));
    }
}
