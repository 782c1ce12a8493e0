//! `completions` and `man`: what packages install.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::args::Cli;
use super::{Exit, Output};

pub(super) fn completions(shell: Shell, out: &Output) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "palisade", &mut script);
    out.verbatim(&script);
    Exit::Done
}

pub(super) fn man(verb: &[String], out: &Output) -> Exit {
    let Some(command) = find(verb) else {
        out.complain(format!(
            "error: there is no verb `{}`\n  see them all: palisade --help",
            verb.join(" ")
        ));
        return Exit::Usage;
    };
    let mut page = Vec::new();
    match manual(command.clone()).render(&mut page) {
        Ok(()) => {
            out.verbatim(with_values(&String::from_utf8_lossy(&page), &command).as_bytes());
            Exit::Done
        }
        Err(error) => {
            out.complain(format!("error: the manual page was not made: {error}"));
            Exit::Failed
        }
    }
}

/// Its foot names the program; a verb has no version of its own.
fn manual(command: Command) -> clap_mangen::Man {
    clap_mangen::Man::new(command).source(concat!("palisade ", env!("CARGO_PKG_VERSION")))
}

/// The line of options has what each of them takes, which clap_mangen leaves out.
fn with_values(page: &str, command: &Command) -> String {
    let Some((head, rest)) = page.split_once(".SH SYNOPSIS\n") else { return page.to_owned() };
    let (line, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    let mut line = line.to_owned();
    for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
        let (Some(long), Some([value, ..])) = (arg.get_long(), arg.get_value_names()) else {
            continue;
        };
        let option = format!("\\fB\\-\\-{}\\fR", long.replace('-', "\\-"));
        let (optional, required) = (format!("{option}]"), format!("<{option}>"));
        line = line.replace(&optional, &format!("{option} \\fI{value}\\fR]"));
        line = line.replace(&required, &format!("{option} \\fI{value}\\fR"));
    }
    format!("{head}.SH SYNOPSIS\n{line}\n{rest}")
}

/// The command of a verb, named as a page is: `palisade-cert-trust`.
fn find(verb: &[String]) -> Option<Command> {
    let mut command = Cli::command();
    command.build();
    for word in verb {
        command = command.find_subcommand(word)?.clone();
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(verb: &[&str]) -> Option<String> {
        let verb: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        let mut page = Vec::new();
        let command = find(&verb)?;
        manual(command.clone()).render(&mut page).expect("rendered");
        Some(with_values(&String::from_utf8(page).expect("text"), &command))
    }

    #[test]
    fn every_verb_has_a_page_with_an_example() {
        assert!(page(&[]).expect("a page").contains(".TH palisade 1"));
        for verb in [&["run"][..], &["check"], &["cert", "list"], &["cert", "trust"], &["man"]] {
            let text = page(verb).expect("a page");
            let head = format!(".TH palisade-{} 1  \"palisade 0.", verb.join("-"));
            assert!(text.contains(&head), "{text}");
            assert!(text.contains("Example"), "{text}");
        }
        assert!(page(&["nothing"]).is_none());
    }

    #[test]
    fn the_line_of_options_has_what_each_takes() {
        let text = page(&["token", "create"]).expect("a page");
        let (_, line) = text.split_once(".SH SYNOPSIS\n").expect("a synopsis");
        let line = line.lines().next().expect("a line").replace('\\', "");
        assert!(line.contains("[fB--socketfR fIPATHfR] [fB--jsonfR]"), "{line}");
        assert!(line.contains(" fB--rolefR fIROLEfR "), "{line}");
        let text = page(&["run"]).expect("a page").replace('\\', "");
        assert!(text.contains("[fB--acme-directoryfR fIURLfR]"), "{text}");
    }

    #[test]
    fn every_shell_has_completions() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "palisade", &mut script);
            assert!(String::from_utf8(script).expect("text").contains("palisade"));
        }
    }
}
