//! Texts that settings are read from, and places in them.
//!
//! Promises: a place always lies inside its text and on character borders; a secret written into the file by mistake
//! is never shown again (the shown text has asterisks of the same length).
//! Refuses: files that are not regular, not UTF-8, or larger than [`FILE_MAX`].

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::Report;

/// Largest configuration file that is read.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// What a text is, which decides how a message about it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file: messages show the line and point at the place.
    File,
    /// The value of a command line flag: messages name the flag.
    Flag,
}

/// One text with its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub kind: Kind,
    /// The path as given, or the flag with its dashes.
    pub name: String,
    pub text: String,
    /// The same length as `text`, with what looks like a secret blotted out.
    shown: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// Part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub source: Arc<Source>,
    pub span: Range<usize>,
}

/// Where a place begins, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position<'a> {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line as it may be shown, without its end.
    pub text: &'a str,
    /// First and last byte inside `text`; the end stays on the line.
    pub from: usize,
    pub to: usize,
}

impl Source {
    pub fn file(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let shown = blotted(&text);
        let lines = line_starts(&text);
        Arc::new(Self { kind: Kind::File, name: name.into(), text, shown, lines })
    }

    pub fn flag(name: &str, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let (shown, lines) = (text.clone(), line_starts(&text));
        Arc::new(Self { kind: Kind::Flag, name: name.to_owned(), shown, text, lines })
    }

    /// The folder that relative paths in this text start from; flags start where the command runs.
    pub fn folder(&self) -> PathBuf {
        match self.kind {
            Kind::File => Path::new(&self.name).parent().map(Path::to_owned).unwrap_or_default(),
            Kind::Flag => PathBuf::new(),
        }
    }
}

impl Place {
    /// Clamps the span to the text and to character borders.
    pub fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let floor = |at: usize| {
            let mut at = at.min(source.text.len());
            while !source.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        Self { source: Arc::clone(source), span: start..floor(span.end).max(start) }
    }

    /// Whether the other place begins inside this one.
    pub fn contains(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && self.span.contains(&other.span.start)
    }

    /// The whole text.
    pub fn whole(source: &Arc<Source>) -> Self {
        Self { source: Arc::clone(source), span: 0..source.text.len() }
    }

    pub fn position(&self) -> Position<'_> {
        let Source { text, lines, .. } = &*self.source;
        let index = lines.partition_point(|start| *start <= self.span.start);
        let line_start = index.checked_sub(1).and_then(|i| lines.get(i)).copied().unwrap_or(0);
        let line_end = lines.get(index).map_or(text.len(), |next| next - 1);
        let before = text.get(line_start..self.span.start).unwrap_or_default();
        let line = self.source.shown.get(line_start..line_end).unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let from = (self.span.start - line_start).min(line.len());
        Position {
            line: index.max(1),
            column: before.chars().count() + 1,
            text: line,
            from,
            to: (self.span.end.saturating_sub(line_start)).min(line.len()).max(from),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.source.name;
        match self.source.kind {
            Kind::Flag => f.write_str(name),
            Kind::File => {
                let position = self.position();
                write!(f, "{name}:{}:{}", position.line, position.column)
            }
        }
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// Keys whose literal value is never repeated in a message.
const SECRET_WORDS: [&str; 8] =
    ["secret", "password", "passphrase", "token", "hmac", "private", "env", "master_key"];
/// Fewest hexadecimal digits that are taken for a key: 128 bits.
const KEY_DIGITS_MIN: usize = 32;
/// Fewest letters of base64 that are: 192 bits.
const KEY_LETTERS_MIN: usize = 32;

/// Replaces quoted text behind keys that sound like secrets, and private keys, by as many asterisks.
fn blotted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let word = SECRET_WORDS.iter().filter_map(|word| lower.find(word)).min();
        let equals = word.and_then(|word| line.get(word..)?.find('=').map(|at| word + at));
        let (kept, hidden) = line.split_at(equals.unwrap_or(line.len()));
        shown.push_str(kept);
        push_blotted(&mut shown, hidden);
    }
    without_users(&shown)
}

/// Blots what stands before the `@` of a URL: it may be a password.
fn without_users(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("://");
        let end = part.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c));
        let authority = part.get(..end.unwrap_or(part.len())).unwrap_or_default();
        let user = authority.rfind('@').unwrap_or(0);
        shown.push_str(&"*".repeat(user));
        shown.push_str(part.get(user..).unwrap_or_default());
    }
    shown
}

/// Blots quoted text, except where it says in which place a secret is kept.
fn push_blotted(shown: &mut String, hidden: &str) {
    let mut rest = hidden;
    while let Some(open) = rest.find(['"', '\'']) {
        let (before, quoted) = rest.split_at(open);
        let quote = if quoted.starts_with('"') { '"' } else { '\'' };
        let inner = quoted.get(1..).unwrap_or_default();
        let end = inner.find([quote, '\r', '\n']).unwrap_or(inner.len());
        let (inner, after) = inner.split_at(end);
        shown.push_str(before);
        shown.push(quote);
        if names_a_place(before, inner) {
            shown.push_str(inner);
        } else {
            shown.push_str(&"*".repeat(inner.len()));
        }
        let closed = after.strip_prefix(quote);
        shown.extend(closed.map(|_| quote));
        rest = closed.unwrap_or(after);
    }
    shown.push_str(rest);
}

/// `file = "…"`, `credential = "…"` and `env = "NAME"`.
fn names_a_place(before: &str, inner: &str) -> bool {
    let key = before.trim_end().trim_end_matches('=').trim_end();
    let is_name = inner.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let place = key.ends_with("file") || key.ends_with("credential");
    (place || (key.ends_with("env") && is_name)) && !is_key(inner)
}

/// Whether a text is surely a key, in hexadecimal or base64url, and no place of one.
pub(super) fn is_key(text: &str) -> bool {
    let hexadecimal =
        text.len() >= KEY_DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = || text.trim_end_matches('=').bytes();
    // Names of files and variables keep to one case, or have a dot or a slash.
    let mixed = [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit];
    hexadecimal
        || (text.len() >= KEY_LETTERS_MIN
            && bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte))
            && mixed.iter().all(|kind| bytes().any(|byte| kind(&byte))))
}

/// Whether a private key was pasted into the text.
pub(super) fn private_key_at(text: &str) -> Option<usize> {
    let marker = "PRIVATE KEY-----";
    let end = text.find(marker)?;
    text.get(..end)?.rfind("-----BEGIN")
}

/// Reads one configuration file.
pub(super) fn read_file(path: &Path) -> Result<Arc<Source>, Report> {
    let shown = path.display();
    let fail = |what: String, help: &str| Err(Report::error(format!("{shown}: {what}"), help));
    let file = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            return fail("it is a directory".into(), "name the file in it, such as palisade.toml");
        }
        Ok(meta) if !meta.is_file() => {
            return fail("it is not a regular file".into(), "name a plain text file");
        }
        Ok(meta) if meta.len() > FILE_MAX => {
            return fail("it is larger than 4MiB".into(), "split it into files in conf.d");
        }
        Ok(_) => std::fs::File::open(path),
        Err(error) => Err(error),
    };
    let mut bytes = Vec::new();
    if let Err(error) = file.and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes)) {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "write one with `palisade init`, or start without a file: palisade run --site NAME --upstream ADDR"
            }
            std::io::ErrorKind::PermissionDenied => {
                "let the user palisade runs as read it, for example: chown root:palisade and chmod 640"
            }
            _ => "check the path and the disk",
        };
        return fail(reason(&error), help);
    }
    text_of(&path.to_string_lossy(), bytes)
}

/// The operating system's words without its error number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// Decodes a file: UTF-8, with or without a byte order mark.
pub(super) fn text_of(name: &str, bytes: Vec<u8>) -> Result<Arc<Source>, Report> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let message = format!("{name}: it is written in UTF-16");
        return Err(Report::error(message, "save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = good.split(|b| *b == b'\n').count();
        Report::error(format!("{name}: line {line} is not UTF-8"), "save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned);
    let source = Source::file(name, text);
    match private_key_at(&source.text) {
        None => Ok(source),
        Some(at) => Err(Report::at(
            &Place::new(&source, at..at).to_string(),
            "a private key stands in the configuration",
            "move it to a file of mode 0600 and write: key = { file = \"/etc/palisade/site.key\" }",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_file_is_never_shown() {
        let text =
            "a = 1\nsecret = \"hunter2\"\nwebhook = { secret = { env = 'NAME' }, token = 'é' }\n";
        let source = Source::file("x", text);
        assert_eq!(source.shown.len(), source.text.len());
        assert!(!source.shown.contains("hunter2"), "{}", source.shown);
        assert!(source.shown.contains("'NAME'"), "{}", source.shown);
        assert!(!source.shown.contains('é'), "{}", source.shown);
    }

    #[test]
    fn who_stands_before_the_host_of_a_url_is_never_shown() {
        let text =
            "a = [\"https://é:hunter2@a.b\", 'https://x@y@z/p@q', \"http://c/d@e\", 'f@g']\n://@";
        let source = Source::file("x", text);
        let shown =
            "a = [\"https://**********@a.b\", 'https://***@z/p@q', \"http://c/d@e\", 'f@g']\n://@";
        assert_eq!(source.shown, shown);
        assert_eq!(source.shown.len(), source.text.len());
    }

    #[test]
    fn a_position_counts_characters_and_stays_on_its_line() {
        let source = Source::file("x", "a\r\nñ = 'b'\r\nc");
        let at = source.text.find("'b'").expect("the value");
        let place = Place::new(&source, at..source.text.len());
        assert_eq!(place.to_string(), "x:2:5");
        let position = place.position();
        let marked = position.text.get(position.from..position.to);
        assert_eq!((position.text, marked), ("ñ = 'b'", Some("'b'")));
        assert_eq!(Place::new(&source, 999..1_000).to_string(), "x:3:2");
    }
}
