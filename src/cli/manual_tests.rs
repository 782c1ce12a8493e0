//! docs/CLI.md against the command line.

use clap::{Command, CommandFactory};

use super::args::Cli;

const MANUAL: &str = include_str!("../../docs/CLI.md");

/// What the manual says about one verb.
fn section(verb: &str) -> Option<&'static str> {
    let (_, rest) = MANUAL.split_once(&format!("\n### `{verb}`\n"))?;
    rest.split("\n## ").next()?.split("\n### ").next()
}

/// Everything in fences of JSON.
fn examples(text: &str) -> Vec<&str> {
    let fences = text.split("```json\n").skip(1);
    fences.map(|rest| rest.split("\n```").next().unwrap_or_default()).collect()
}

/// Full names of the verbs that take `--json`.
fn verbs(command: &Command, before: &str, found: &mut Vec<String>) {
    let name = format!("{before}{}", command.get_name());
    if command.get_subcommands().next().is_none() {
        let json = command.get_arguments().any(|arg| arg.get_long() == Some("json"));
        found.extend(json.then_some(name));
        return;
    }
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        verbs(verb, &format!("{name} "), found);
    }
}

#[test]
fn every_verb_that_answers_in_json_is_in_the_manual_with_an_example() {
    let mut found = Vec::new();
    verbs(&Cli::command(), "", &mut found);
    assert!(found.contains(&"palisade cert list".to_owned()), "{found:?}");
    let missing: Vec<&String> = found
        .iter()
        .filter(|verb| section(verb).is_none_or(|section| examples(section).is_empty()))
        .collect();
    assert!(missing.is_empty(), "docs/CLI.md has no section with an example for {missing:?}");
}

#[test]
fn every_example_of_the_manual_is_json_whole_or_by_the_line() {
    let all = examples(MANUAL);
    assert!(all.len() > 15, "{} examples", all.len());
    for text in all {
        let whole = serde_json::from_str::<serde_json::Value>(text);
        assert!(whole.is_ok(), "{text}\n{:?}", whole.err());
    }
}

#[test]
fn the_manual_says_what_each_exit_code_means() {
    use super::Exit;
    for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable, Exit::Config] {
        assert!(MANUAL.contains(&format!("\n| {} | ", exit as u8)), "{exit:?}");
    }
}
