//! Rules about single Rust files, on a small scanner that knows comments, strings and words.

use super::File;

/// A word, a number, a punctuation mark (`::` is one) or a string literal.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    /// Counted from 1.
    pub line: usize,
    text: String,
    string: bool,
}

impl Token {
    /// The text, or nothing for the inside of a string literal.
    pub fn code(&self) -> &str {
        if self.string { "" } else { &self.text }
    }
}

/// Splits Rust source; comments are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    Scanner { rest: text.chars().collect(), at: 0, line: 1, out: Vec::new() }.run()
}

struct Scanner {
    rest: Vec<char>,
    at: usize,
    line: usize,
    out: Vec<Token>,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> char {
        self.rest.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) -> char {
        let c = self.peek(0);
        if c == '\n' {
            self.line += 1;
        }
        self.at += 1;
        c
    }

    fn push(&mut self, line: usize, text: String, string: bool) {
        self.out.push(Token { line, text, string });
    }

    fn run(mut self) -> Vec<Token> {
        while self.at < self.rest.len() {
            let line = self.line;
            match self.peek(0) {
                c if c.is_whitespace() => {
                    self.bump();
                }
                '/' if self.peek(1) == '/' => {
                    while self.at < self.rest.len() && self.peek(0) != '\n' {
                        self.bump();
                    }
                }
                '/' if self.peek(1) == '*' => self.block_comment(),
                '"' => self.quoted(),
                '\'' => self.quote_or_lifetime(),
                c if c.is_alphanumeric() || c == '_' => self.word(),
                ':' if self.peek(1) == ':' => {
                    self.at += 2;
                    self.push(line, "::".to_owned(), false);
                }
                _ => {
                    let c = self.bump();
                    self.push(line, c.to_string(), false);
                }
            }
        }
        self.out
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.rest.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.at += 2;
                }
                ('*', '/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {
                    self.bump();
                }
            }
        }
    }

    fn quoted(&mut self) {
        let line = self.line;
        let mut text = String::new();
        self.bump();
        while self.at < self.rest.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.bump();
            }
            text.push(self.bump());
        }
        self.bump();
        self.push(line, text, true);
    }

    /// `'a'`, `'\''` or the lifetime `'a`.
    fn quote_or_lifetime(&mut self) {
        self.bump();
        if self.peek(0) == '\\' {
            self.at += 2;
            while self.at < self.rest.len() && self.bump() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.at += 2;
        }
    }

    /// A word, or a string with a prefix: `r#"…"#`, `b"…"`, `c"…"`.
    fn word(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            text.push(self.bump());
        }
        let raw = matches!(text.as_str(), "r" | "br" | "cr");
        let hashes = (0..).take_while(|&n| self.peek(n) == '#').count();
        if raw && self.peek(hashes) == '"' {
            self.raw(hashes);
        } else if matches!(text.as_str(), "b" | "c") && self.peek(0) == '"' {
            self.quoted();
        } else {
            self.push(line, text, false);
        }
    }

    fn raw(&mut self, hashes: usize) {
        let line = self.line;
        let mut text = String::new();
        self.at += hashes + 1;
        while self.at < self.rest.len() {
            let c = self.bump();
            if c == '"' && (0..hashes).all(|n| self.peek(n) == '#') {
                self.at += hashes;
                break;
            }
            text.push(c);
        }
        self.push(line, text, true);
    }
}

/// Files that hold tests and nothing else.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

/// The lines before the test module at the end of the file.
fn production(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.windows(2).position(|pair| {
        pair[0].trim_end() == "#[cfg(test)]"
            && pair[1].starts_with("mod ")
            && pair[1].trim_end().ends_with('{')
    });
    lines[..end.unwrap_or(lines.len())].to_vec()
}

/// Production code of more than `lines_max` lines in one file; tests are not counted.
pub fn too_long(sources: &[File], lines_max: usize) -> Vec<String> {
    let judged = sources.iter().filter(|file| !is_test_file(&file.path));
    judged
        .filter_map(|file| {
            let lines = production(&file.text).len();
            (lines > lines_max).then(|| {
                format!("{}: {lines} lines, at most {lines_max}: split it by subject", file.path)
            })
        })
        .collect()
}

/// Modules that do not begin with `//!`, or whose head is a placeholder.
pub fn without_head(sources: &[File]) -> Vec<String> {
    let head = |file: &File| -> Option<&'static str> {
        let first = file.text.lines().next().unwrap_or_default();
        match first.strip_prefix("//!") {
            None => Some("begin with `//!`: what it promises, what it refuses, what it bounds"),
            Some(text) if text.trim().is_empty() || text.contains("(to come)") => {
                Some("its `//!` head says nothing yet")
            }
            Some(_) => None,
        }
    };
    sources
        .iter()
        .filter_map(|file| head(file).map(|why| format!("{}: {why}", file.path)))
        .collect()
}

/// Metric names, and the library that encodes them, outside their owners.
pub fn stray_metric_names(sources: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in sources.iter().filter(|file| !is_test_file(&file.path)) {
        let code = production(&file.text).join("\n");
        for token in tokens(&code) {
            let at = format!("{}:{}", file.path, token.line);
            if token.string
                && token.text.starts_with("palisade_")
                && file.path != "src/telemetry/names.rs"
            {
                let name = &token.text;
                findings.push(format!("{at}: \"{name}\" belongs in src/telemetry/names.rs"));
            }
            if token.code() == "prometheus_client" && !file.path.starts_with("src/telemetry/") {
                findings.push(format!("{at}: metrics are registered in src/telemetry/ only"));
            }
        }
    }
    findings
}

/// The word `unsafe` as code, outside src/sys/.
pub fn unsafe_outside_sys(sources: &[File]) -> Vec<String> {
    let judged = sources.iter().filter(|file| !file.path.starts_with("src/sys/"));
    judged
        .flat_map(|file| {
            let found = tokens(&file.text).into_iter().filter(|token| token.code() == "unsafe");
            found.map(|token| {
                format!("{}:{}: unsafe code belongs in src/sys/", file.path, token.line)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_long_is_found_and_its_tests_are_not_counted() {
        let body = "fn f() {}\n".repeat(4);
        let tests = format!("{body}#[cfg(test)]\nmod tests {{\n{body}}}\n");
        assert_eq!(too_long(&[File::made("src/a.rs", &body)], 3).len(), 1);
        assert_eq!(too_long(&[File::made("src/a.rs", &tests)], 3).len(), 1);
        assert_eq!(too_long(&[File::made("src/a.rs", &tests)], 4), [""; 0]);
        assert_eq!(too_long(&[File::made("src/a/tests.rs", &body)], 3), [""; 0]);
    }

    #[test]
    fn a_missing_empty_or_promised_head_is_found() {
        for text in ["use std::fmt;\n", "//!\nfn f() {}", "//! (to come)\n", ""] {
            assert_eq!(without_head(&[File::made("src/a.rs", text)]).len(), 1, "{text:?}");
        }
        assert_eq!(without_head(&[File::made("src/a.rs", "//! Reads heads.\n")]), [""; 0]);
    }

    #[test]
    fn a_metric_name_outside_its_file_is_found() {
        let named = "//! x\nconst A: &str = \"palisade_requests\";";
        let raw = "const A: &str = r\"palisade_requests\";";
        let library = "use prometheus_client::registry::Registry;";
        for text in [named, raw, library] {
            assert_eq!(stray_metric_names(&[File::made("src/edge/a.rs", text)]).len(), 1);
        }
        assert_eq!(stray_metric_names(&[File::made("src/telemetry/names.rs", named)]), [""; 0]);
        assert_eq!(stray_metric_names(&[File::made("src/telemetry/metrics.rs", library)]), [""; 0]);
        let harmless =
            "// \"palisade_x\"\nfn palisade_x() {}\n#[cfg(test)]\nmod tests {\n\"palisade_y\"\n}";
        assert_eq!(stray_metric_names(&[File::made("src/edge/a.rs", harmless)]), [""; 0]);
    }

    #[test]
    fn unsafe_code_in_another_folder_is_found() {
        let text = "fn f() {\n    unsafe { g() }\n}";
        let found = unsafe_outside_sys(&[File::made("src/edge/a.rs", text)]);
        assert_eq!(found, ["src/edge/a.rs:2: unsafe code belongs in src/sys/"]);
        assert_eq!(unsafe_outside_sys(&[File::made("src/sys/fds.rs", text)]), [""; 0]);
        let words = "// unsafe\nconst A: &str = \"unsafe\"; #[expect(unsafe_code)] fn f() {}";
        assert_eq!(unsafe_outside_sys(&[File::made("src/edge/a.rs", words)]), [""; 0]);
    }

    #[test]
    fn characters_and_lifetimes_do_not_open_strings() {
        let words: Vec<String> = tokens("fn f<'a>(x: &'a str) { '\"'; '\\''; '\\u{41}'; done }")
            .into_iter()
            .map(|token| token.text)
            .collect();
        assert!(words.contains(&"done".to_owned()), "{words:?}");
        assert!(!words.contains(&"\"".to_owned()));
    }
}
