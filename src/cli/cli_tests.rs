//! The command line as a whole: what parses, what is refused, what each verb's help holds.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, ErrorKind> {
    Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_file_and_options_instead_of_one_do_not_mix() {
    assert_eq!(
        parse("palisade run --config p.toml --site a --upstream b:1").err(),
        Some(ErrorKind::ArgumentConflict)
    );
    assert_eq!(
        parse("palisade run --config p.toml --workers 2").err(),
        Some(ErrorKind::ArgumentConflict)
    );
    assert_eq!(parse("palisade run --site a").err(), Some(ErrorKind::MissingRequiredArgument));
    assert_eq!(parse("palisade run --workers 2").err(), Some(ErrorKind::MissingRequiredArgument));
}

fn run_args(line: &str) -> args::RunArgs {
    match parse(line).expect("parsed").verb {
        Some(Verb::Run(args)) => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn run_reads_a_file_or_every_option() {
    assert!(run_args("palisade run").flags().is_none());
    assert!(run_args("palisade run --config p.toml").flags().is_none());
    let line = "palisade run --site a --upstream b:1 --upstream c:2 --https :1 --http :2 --ops :3 --control c --app a --state s --tls local --workers 3 --log-file l";
    let flags = run_args(line).flags().expect("flags");
    assert_eq!(flags.site.as_deref(), Some("a"));
    assert_eq!(flags.upstream, ["b:1", "c:2"]);
    assert_eq!(flags.workers, Some(3));
    assert_eq!(flags.tls.as_deref(), Some("local"));
}

#[test]
fn every_client_verb_takes_socket_and_json() {
    for verb in [
        "",
        " status",
        " reload",
        " cert list",
        " cert trust",
        " logs",
        " explain https://a.example/",
        " explain --request 01938f7e-5b3a-7c1e-9d55-0f2b6f0a4c11",
        " cert renew a",
        " token list",
        " token create a --role viewer --scope status,live --expires 30d",
        " token revoke a",
        " cert import a --cert c --key k",
        " crypto rotate",
        " totp enroll a",
        " totp activate a 123456",
        " totp list",
        " totp remove a --yes",
    ] {
        assert!(parse(&format!("palisade{verb} --socket /run/p.sock --json")).is_ok(), "{verb}");
    }
    assert!(parse("palisade check --json").is_ok());
    let run = |line: &str| run(line.split(' ').map(OsString::from));
    for verb in [
        "status",
        "cert list",
        "cert trust",
        "cert renew a",
        "crypto rotate",
        "totp list",
        "totp remove a --yes",
    ] {
        let line = format!("palisade --socket /nonexistent/control.sock --json {verb}");
        assert_eq!(run(&line), Exit::Unreachable, "{line}");
    }
    assert_eq!(run("palisade --json check --config /nonexistent"), Exit::Config);
    assert_eq!(run("palisade --socket /run/p.sock check"), Exit::Usage);
    assert_eq!(run("palisade --json completions bash"), Exit::Usage);
    assert_eq!(run("palisade --totp 123456 completions bash"), Exit::Usage);
    let line = "palisade --totp 123456 crypto rotate --socket /nonexistent/control.sock";
    assert_eq!(run(line), Exit::Unreachable);
    assert_eq!(run("palisade totp enroll a --socket /nonexistent/control.sock"), Exit::Usage);
    assert_eq!(run("palisade totp remove a --state /nonexistent --totp 123456"), Exit::Usage);
    assert!(parse("palisade init --json p.toml").is_ok());
}

/// A line of each verb that asks a daemon, so that the walk below can be made.
const CLIENTS: [&str; 22] = [
    "reload",
    "status",
    "top",
    "logs",
    "explain https://a.example/",
    "cert list",
    "cert renew a",
    "cert import a --cert c --key k",
    "cert trust",
    "crypto rotate",
    "audit tail",
    "audit search",
    "audit verify",
    "audit export",
    "token create a --role viewer",
    "token list",
    "token revoke a",
    "totp enroll a",
    "totp activate a 123456",
    "totp list",
    "totp remove a --yes",
    "capability list",
];
const CAPABILITY_SET: &str = "capability set rate_limit off --yes";

#[test]
fn every_verb_that_asks_a_daemon_takes_what_is_written_before_it_and_between_its_words() {
    fn visit(command: &clap::Command, before: &str, found: &mut Vec<String>) {
        for verb in command.get_subcommands() {
            let name = format!("{before}{}", verb.get_name());
            if verb.get_subcommands().next().is_some() {
                visit(verb, &format!("{name} "), found);
            } else if verb.get_arguments().any(|arg| arg.get_long() == Some("socket")) {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    visit(&Cli::command(), "", &mut found);
    let options = "--socket /run/p.sock --totp 123456 --json";
    for verb in &found {
        let of = |line: &&str| {
            line.strip_prefix(verb.as_str()).is_some_and(|r| r.is_empty() || r.starts_with(' '))
        };
        let line = CLIENTS.into_iter().chain([CAPABILITY_SET]).find(of);
        let line = line.unwrap_or_else(|| panic!("no line for {verb}"));
        let mut lines = vec![format!("palisade {options} {line}")];
        if let Some((group, rest)) = line.split_once(' ').filter(|_| verb.contains(' ')) {
            lines.push(format!("palisade {group} {options} {rest}"));
        }
        for line in lines {
            let cli = parse(&line).expect("parsed");
            let mut verb = cli.verb.expect("a verb");
            verb.take_general(&cli.client).unwrap_or_else(|why| panic!("{line}: {why}"));
            // What the verb itself has now, and not only what stood before it.
            let told = format!("{verb:?}");
            let (_, own) = told.rsplit_once("ClientArgs").expect("options");
            assert!(own.contains("/run/p.sock") && own.contains("123456"), "{line}: {told}");
            assert!(own.contains("json: true"), "{line}: {told}");
        }
    }
    assert_eq!(found.len(), CLIENTS.len() + 1, "{found:?}");
    let nearest = "palisade --socket /a audit --socket /b tail --socket /c";
    let cli = parse(nearest).expect("parsed");
    let mut verb = cli.verb.expect("a verb");
    verb.take_general(&cli.client).expect("taken");
    let Verb::Audit(args::Group { verb: AuditVerb::Tail(args), .. }) = verb else { panic!() };
    assert_eq!(args.client.socket.as_deref(), Some(std::path::Path::new("/c")));
}

#[test]
fn every_verb_has_help_with_an_example() {
    fn visit(command: &clap::Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name} says nothing");
        assert!(
            command.get_after_help().is_some_and(|help| help.to_string().contains("palisade")),
            "{name} has no example"
        );
        command.get_subcommands().for_each(visit);
    }
    visit(&Cli::command());
}

#[test]
fn mistakes_end_with_2_and_help_with_0() {
    let run = |line: &str| run(line.split(' ').map(OsString::from));
    assert_eq!(run("palisade --no-such-option"), Exit::Usage);
    assert_eq!(run("palisade nothing"), Exit::Usage);
    assert_eq!(run("palisade man nothing"), Exit::Usage);
    assert_eq!(run("palisade audit verify /nonexistent --key ab"), Exit::Usage);
    let key = "a".repeat(64);
    assert_eq!(run(&format!("palisade audit verify /nonexistent --key {key}")), Exit::Failed);
    assert_eq!(run("palisade --version"), Exit::Done);
    assert_eq!(run("palisade cert renew"), Exit::Usage);
    assert_eq!(run("palisade cert import a --cert c"), Exit::Usage);
    assert_eq!(run("palisade crypto rotate --socket /nonexistent/control.sock"), Exit::Unreachable);
    assert_eq!(run("palisade cert renew a --socket /nonexistent/control.sock"), Exit::Unreachable);
    assert_eq!(run("palisade cert import a --cert /nonexistent --key /nonexistent"), Exit::Failed);
    assert_eq!(run("palisade status --socket /nonexistent/control.sock"), Exit::Unreachable);
    assert_eq!(run("palisade --socket /nonexistent/control.sock"), Exit::Unreachable);
    assert_eq!(run("palisade cert trust --state /nonexistent"), Exit::Failed);
}
