//! `palisade run --site … --upstream …`: the same checks as for a file, on a tree made of flags.

use std::path::{Path, PathBuf};

use super::check::Paths;
use super::env::{self, Environment};
use super::read::Cx;
use super::report::Report;
use super::source::{Place, Source};
use super::wire::{Entry, Node, Table, Value};
use super::{Loaded, check};

/// What `palisade run` takes instead of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    pub site: Option<String>,
    pub upstream: Vec<String>,
    pub https: Vec<String>,
    pub http: Vec<String>,
    pub ops: Option<String>,
    pub control: Option<PathBuf>,
    pub app: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub tls: Option<String>,
    pub acme_directory: Option<String>,
    pub acme_ca: Option<PathBuf>,
    pub workers: Option<usize>,
    pub log_file: Option<PathBuf>,
}

/// Settings from flags alone. Without privileges, state and sockets go where the user may write.
///
/// # Errors
/// Everything that is wrong, each naming its flag.
pub fn from_flags(flags: &Flags, env: &Environment) -> Result<Loaded, Report> {
    from_flags_as(flags, env, rustix::process::geteuid().is_root())
}

pub(super) fn from_flags_as(
    flags: &Flags,
    env: &Environment,
    root: bool,
) -> Result<Loaded, Report> {
    let mut cx = Cx { flags: true, ..Cx::default() };
    if flags.site.is_none() {
        cx.report.extend(Report::at("--site", "no site is named", "add --site localhost"));
    }
    if flags.upstream.is_empty() {
        cx.report.extend(Report::at(
            "--upstream",
            "no app is named",
            "add --upstream 127.0.0.1:3000",
        ));
    }
    let paths = if root { Paths::default() } else { user_paths(flags, env, &mut cx) };
    // The tree would only repeat that there is no site.
    cx.broken = flags.site.is_none();
    let switches = env::emergency_flags(env, &mut cx.report);
    let settings = check::build(&mut cx, &tree(flags), &paths, switches);
    Loaded::from_parts(cx, settings)
}

fn user_paths(flags: &Flags, env: &Environment, cx: &mut Cx) -> Paths {
    let state_dir = flags.state.clone().or_else(|| env::user_state_dir(env)).unwrap_or_else(|| {
        let message = "neither XDG_STATE_HOME nor HOME tells where to keep state";
        cx.report.extend(Report::at("--state", message, "add --state DIR"));
        PathBuf::new()
    });
    let control = env::user_control(env).unwrap_or_else(|| state_dir.join("control.sock"));
    Paths { state_dir, control }
}

fn tree(flags: &Flags) -> Table {
    let listen = Table(
        [
            list("--https", "https", &flags.https),
            list("--http", "http", &flags.http),
            flags.ops.as_deref().map(|ops| one("--ops", "ops", ops)),
            path("--control", "control", flags.control.as_deref()),
            path("--app", "app", flags.app.as_deref()),
        ]
        .into_iter()
        .flatten()
        .collect(),
    );
    let site = flags.site.as_deref().map(|name| {
        let keys = [
            list("--upstream", "upstream", &flags.upstream),
            flags.tls.as_deref().map(|tls| one("--tls", "tls", tls)),
        ];
        let site = entry("--site", name, Value::Table(Table(keys.into_iter().flatten().collect())));
        entry("--site", "site", Value::Table(Table(vec![site])))
    });
    let acme = [
        flags.acme_directory.as_deref().map(|text| one("--acme-directory", "directory", text)),
        path("--acme-ca", "ca_file", flags.acme_ca.as_deref()),
    ];
    let acme: Vec<Entry> = acme.into_iter().flatten().collect();
    let acme = entry("--acme-directory", "acme", Value::Table(Table(acme)));
    let workers = flags.workers.map(|workers| {
        let number = Value::Integer(i64::try_from(workers).ok());
        entry("--workers", "workers", number)
    });
    let log = path("--log-file", "file", flags.log_file.as_deref());
    let log = log.map(|file| entry("--log-file", "log", Value::Table(Table(vec![file]))));
    let listen = Some(entry("--https", "listen", Value::Table(listen)));
    let state = path("--state", "state_dir", flags.state.as_deref());
    Table([state, workers, listen, site, Some(acme), log].into_iter().flatten().collect())
}

fn entry(flag: &str, key: &str, value: Value) -> Entry {
    let source = Source::flag(flag, key);
    let place = Place::whole(&source);
    Entry { key: key.to_owned(), key_place: place.clone(), node: Node { value, place } }
}

fn one(flag: &str, key: &str, text: &str) -> Entry {
    entry(flag, key, Value::Text(text.to_owned()))
}

fn path(flag: &str, key: &str, path: Option<&Path>) -> Option<Entry> {
    path.map(|path| one(flag, key, &path.to_string_lossy()))
}

fn list(flag: &str, key: &str, texts: &[String]) -> Option<Entry> {
    let nodes = texts.iter().map(|text| Node::text(Place::whole(&Source::flag(flag, text)), text));
    let nodes: Vec<Node> = nodes.collect();
    (!nodes.is_empty()).then(|| entry(flag, key, Value::List(nodes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::TlsSource;

    fn flags() -> Flags {
        Flags {
            site: Some("localhost".into()),
            upstream: vec!["127.0.0.1:3000".into()],
            ..Flags::default()
        }
    }

    fn env() -> Environment {
        Environment::new([("HOME".to_owned(), "/home/u".to_owned())])
    }

    fn refusal(flags: &Flags) -> String {
        from_flags_as(flags, &env(), true).expect_err("refused").to_string()
    }

    #[test]
    fn two_flags_are_a_configuration() {
        let loaded = from_flags_as(&flags(), &env(), true).expect("settings");
        let listen = &loaded.settings.listen;
        assert_eq!(loaded.settings.state_dir.to_str(), Some("/var/lib/palisade"));
        assert_eq!(listen.control.to_str(), Some("/run/palisade/control.sock"));
        assert_eq!(listen.app.to_str(), Some("/run/palisade/app.sock"));
        assert_eq!(loaded.settings.sites.len(), 1);
        assert_eq!(loaded.settings.sites[0].declared_at, "--site");
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }

    #[test]
    fn a_user_without_privileges_gets_places_of_their_own() {
        let loaded = from_flags_as(&flags(), &env(), false).expect("settings");
        let state = "/home/u/.local/state/palisade";
        assert_eq!(loaded.settings.state_dir.to_str(), Some(state));
        assert_eq!(loaded.settings.listen.control, Path::new(state).join("control.sock"));
        assert_eq!(loaded.settings.listen.app, Path::new(state).join("app.sock"));
        let vars = [("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/r")];
        let env = Environment::new(vars.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let loaded = from_flags_as(&flags(), &env, false).expect("settings");
        assert_eq!(loaded.settings.state_dir.to_str(), Some("/s/palisade"));
        assert_eq!(loaded.settings.listen.control.to_str(), Some("/r/palisade/control.sock"));
        let nowhere = Environment::new([]);
        let refused = from_flags_as(&flags(), &nowhere, false).expect_err("refused").to_string();
        assert!(refused.contains("--state: neither XDG_STATE_HOME"), "{refused}");
    }

    #[test]
    fn four_flags_are_a_site_with_a_private_authority() {
        let flags = Flags {
            site: Some("app.example.com".into()),
            acme_directory: Some("https://ca.example.com/dir".into()),
            acme_ca: Some("ca.pem".into()),
            ..flags()
        };
        let settings = from_flags_as(&flags, &env(), true).expect("settings").settings;
        assert_eq!(settings.acme.directory.url, "https://ca.example.com/dir");
        assert_eq!(settings.acme.ca_file.as_deref(), Some(Path::new("ca.pem")));
        assert_eq!(settings.acme.staging, None);
        assert_eq!(settings.sites[0].tls, TlsSource::Acme { stand_in: false });
    }

    #[test]
    fn an_upstream_is_written_as_in_a_file() {
        let upstream = ["https://app.internal", "h2c:unix:/run/a.sock", "[::1]:3000"];
        let flags = Flags { upstream: upstream.map(str::to_owned).to_vec(), ..flags() };
        let settings = from_flags_as(&flags, &env(), true).expect("settings").settings;
        let list = settings.sites[0].upstreams.list.iter().map(ToString::to_string);
        let shown = ["https://app.internal:443", "h2c:unix:/run/a.sock", "[::1]:3000"];
        assert_eq!(list.collect::<Vec<_>>(), shown);
        let flags = Flags { upstream: vec!["h2:unix:/run/a.sock".into()], ..flags };
        let refused = refusal(&flags);
        assert!(refused.contains("--upstream: h2:unix:/run/a.sock has no name"), "{refused}");
        assert!(refused.contains("this needs a configuration file"), "{refused}");
    }

    #[test]
    fn every_error_names_its_flag() {
        let wrong = Flags {
            site: Some("app.example.com".into()),
            upstream: vec!["http://127.0.0.1:3000".into(), "3000".into()],
            https: vec!["443x".into()],
            acme_directory: Some("http://ca.example.com/dir".into()),
            workers: Some(0),
            ..Flags::default()
        };
        let refused = refusal(&wrong);
        for line in [
            "error: --upstream: an upstream in the clear has no scheme",
            "error: --upstream: a port alone is no upstream",
            "error: --https: \"443x\" is no address to listen on",
            "error: --workers: the number is out of bounds",
            "error: --acme-directory: an ACME directory is reached over TLS only",
            "5 errors; nothing was changed.",
        ] {
            assert!(refused.contains(line), "{line}\n{refused}");
        }
        let tls = Flags { tls: Some("bogus".into()), ..flags() };
        assert!(refusal(&tls).contains("write local, acme or imported"), "{}", refusal(&tls));
        assert!(!refusal(&tls).contains("tls = {"), "{}", refusal(&tls));
        let refused = refusal(&Flags::default());
        assert!(refused.contains("--site: no site is named"), "{refused}");
        assert!(refused.contains("--upstream: no app is named"), "{refused}");
        assert!(refused.contains("2 errors;"), "{refused}");
        let acme = Flags { tls: Some("acme".into()), ..flags() };
        assert!(refusal(&acme).contains("--site: localhost cannot have"), "{}", refusal(&acme));
    }
}
