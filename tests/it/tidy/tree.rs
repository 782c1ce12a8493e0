//! What may lie where, and what no file may give away.

use super::File;

/// Names that may stand at the top of the repository, besides dotfiles and `LICENSE…`.
const TOP: [&str; 13] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "src",
    "assets",
    "templates",
    "tests",
    "packaging",
    "systemd",
    "docs",
    "benches",
    "fuzz",
];

/// Paths whose first part is none of them.
pub fn strays(paths: &[String]) -> Vec<String> {
    paths
        .iter()
        .filter(|path| {
            let top = path.split('/').next().unwrap_or_default();
            !(TOP.contains(&top) || top.starts_with('.') || top.starts_with("LICENSE"))
        })
        .map(|path| format!("{path}: not a place for files; see the tree in docs/ARCHITECTURE.md"))
        .collect()
}

/// Pieces of text that only a developer's machine or its package source would have; put together here so that this
/// file does not hold them.
const TRACES: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/w", "t-"),
    concat!("artif", "actory"),
    concat!("registry.", "npm"),
    concat!("index.", "crates"),
];

/// Lines that name a path of one machine or the host of a package registry.
pub fn machine_traces(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(trace) = TRACES.iter().find(|trace| stands_in(line, trace)) {
                findings.push(format!("{}:{}: `{trace}`", file.path, number + 1));
            }
        }
    }
    findings
}

/// Whether the text stands in the line; a path only from its root, so that `docs/home/` is none.
fn stands_in(line: &str, trace: &str) -> bool {
    line.match_indices(trace).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '*');
        !trace.starts_with('/') || !before.is_some_and(inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_outside_the_known_folders_is_found() {
        let paths =
            ["src/lib.rs", "LICENSE", ".ci/run", "notes.txt", "scripts/x"].map(str::to_owned);
        let found = strays(&paths);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("notes.txt") && found[1].starts_with("scripts/x"));
    }

    #[test]
    fn a_path_of_a_machine_and_a_package_host_are_found() {
        for trace in TRACES {
            let text = format!("first\nsee `{trace}x`\n");
            let found = machine_traces(&[File::made("docs/A.md", &text)]);
            assert_eq!(found, [format!("docs/A.md:2: `{trace}`")]);
        }
    }

    #[test]
    fn a_folder_of_the_same_name_further_down_is_no_path_of_a_machine() {
        let text = format!("src{}certs and ${{dir}}{}x", TRACES[0], TRACES[1]);
        assert_eq!(machine_traces(&[File::made("docs/A.md", &text)]), [""; 0]);
    }
}
