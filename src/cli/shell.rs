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
    match manual(command).render(&mut page) {
        Ok(()) => {
            out.verbatim(&page);
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
        manual(find(&verb)?).render(&mut page).expect("rendered");
        Some(String::from_utf8(page).expect("text"))
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
    fn every_shell_has_completions() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "palisade", &mut script);
            assert!(String::from_utf8(script).expect("text").contains("palisade"));
        }
    }
}
