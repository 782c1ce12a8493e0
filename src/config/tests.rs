//! Golden tests of every kind of error, the template against the defaults, and arbitrary input.
//!
//! `tests/fixtures/config/NAME.toml` (with `NAME.conf.d/*.toml` beside it where there are several files) gives what
//! stands in `NAME.stderr`. `PALISADE_UPDATE_GOLDEN=1` rewrites the expectations. A line `# env: NAME=VALUE` sets a
//! variable.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const SITE: &str = "[site.\"localhost\"]\nupstream = \"127.0.0.1:3000\"\n";

pub(in crate::config) fn load(text: &str) -> Result<Loaded, Report> {
    let source = Source::file("palisade.toml", text);
    load_sources(&[source], &Environment::default(), Report::default()).0
}

pub(in crate::config) fn settings(text: &str) -> Settings {
    match load(text) {
        Ok(loaded) => loaded.settings,
        Err(report) => panic!("{report}"),
    }
}

fn refusal(text: &str) -> Report {
    load(text).expect_err("refused")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config")
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    files
}

/// What the command line would print for a fixture.
fn printed(path: &Path) -> String {
    let mut sources = Vec::new();
    let mut unread = Report::default();
    for path in std::iter::once(path.to_owned()).chain(toml_files(&path.with_extension("conf.d"))) {
        let bytes = std::fs::read(&path).expect("the fixture");
        let name = path.strip_prefix(fixtures()).expect("inside").to_string_lossy().into_owned();
        match source::text_of(&name, bytes) {
            Ok(source) => sources.push(source),
            Err(report) => unread.extend(report),
        }
    }
    let lines = sources.iter().flat_map(|source| source.text.lines());
    let vars = lines.filter_map(|line| line.strip_prefix("# env: ")?.split_once('='));
    let env = Environment::new(vars.map(|(name, value)| (name.to_owned(), value.to_owned())));
    match load_sources(&sources, &env, unread).0 {
        Err(report) => report.to_string(),
        Ok(loaded) => format!("ok, {} site(s)\n{}", loaded.settings.sites.len(), loaded.warnings),
    }
}

fn line_diff(expected: &str, found: &str) -> String {
    let mut text = String::new();
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    for at in 0..expected.len().max(found.len()) {
        let (old, new) = (expected.get(at), found.get(at));
        if old != new {
            old.iter().for_each(|line| writeln!(text, "-{line}").expect("text"));
            new.iter().for_each(|line| writeln!(text, "+{line}").expect("text"));
        }
    }
    text
}

#[test]
fn every_fixture_gives_its_golden_message() {
    let update = std::env::var_os("PALISADE_UPDATE_GOLDEN").is_some();
    let files = toml_files(&fixtures());
    assert!(files.len() >= 25, "only {} fixtures", files.len());
    let mut failures = String::new();
    for path in files {
        let found = printed(&path);
        let golden = path.with_extension("stderr");
        if update {
            std::fs::write(&golden, &found).expect("the golden file");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if expected != found {
            write!(failures, "{}:\n{}", path.display(), line_diff(&expected, &found))
                .expect("text");
        }
    }
    assert!(failures.is_empty(), "{failures}\nPALISADE_UPDATE_GOLDEN=1 accepts the new messages");
}

#[test]
fn no_golden_message_shows_a_secret_or_a_control_character() {
    for path in toml_files(&fixtures()) {
        let text = std::fs::read_to_string(path.with_extension("stderr")).expect("the golden file");
        assert!(!text.contains("hunter2") && !text.contains("c2VjcmV0"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}

fn template(examples: bool) -> String {
    TEMPLATE.lines().map(|line| format!("{}\n", uncommented(line, examples))).collect()
}

#[test]
fn the_template_states_the_real_defaults() {
    let as_shipped = settings(TEMPLATE);
    assert_eq!(settings(&template(false)), as_shipped);
    let mut minimal = settings(SITE);
    minimal.sites[0].declared_at.clone_from(&as_shipped.sites[0].declared_at);
    assert_eq!(minimal, as_shipped);
    assert_eq!(TEMPLATE.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).count(), 2);
}

#[test]
fn the_template_names_every_key_once_as_a_default_or_an_example() {
    let keys = known_keys();
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        let name = key.rsplit('.').next().expect("a name");
        let named = TEMPLATE.lines().any(|line| {
            let line = line.trim_start_matches("## ").trim_start_matches("# ");
            line.starts_with(&format!("{name} = "))
                || line.starts_with(&format!("[{name}"))
                || line.contains(&format!("{{ {name} = "))
                || line.contains(&format!(", {name} = "))
                || line.contains(&format!(".{name}."))
        });
        assert!(named, "the template does not name {key}");
    }
}

#[test]
fn the_examples_of_the_template_are_valid_one_by_one() {
    let lines: Vec<&str> = TEMPLATE.lines().collect();
    let examples = lines.iter().filter(|line| line.starts_with("## ") && !line.starts_with("## ["));
    for example in examples {
        let at = lines.iter().position(|line| line == example).expect("the line");
        let section = lines[..at].iter().rev().find_map(|line| {
            let line = line.trim_start_matches("## ").trim_start_matches("# ");
            line.starts_with('[').then_some(line)
        });
        let example = example.trim_start_matches("## ");
        let site = "[site.\"localhost\"]";
        let text = match section {
            None => format!("{example}\n{SITE}"),
            Some(section) if section == site && example.starts_with("upstream = ") => {
                format!("{section}\n{example}\n")
            }
            Some(section) if section == site && example.starts_with("upstream_tls") => {
                format!("{section}\nupstream = \"https://a\"\n{example}\n")
            }
            Some(section) if section == site => format!("{SITE}{example}\n"),
            Some(section) => format!("{SITE}{section}\n{example}\n"),
        };
        if let Err(report) = load(&text) {
            panic!("{text}\n{report}");
        }
    }
}

#[test]
fn the_manual_names_every_key_and_every_flag() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
    let manual = std::fs::read_to_string(path).expect("the manual");
    for key in known_keys() {
        let name = key.rsplit('.').next().expect("a name");
        assert!(manual.contains(&format!("`{name}`")), "the manual does not name {key}");
    }
    for capability in crate::base::Capability::ALL {
        assert!(manual.contains(capability.flag()), "{}", capability.flag());
    }
}

#[test]
fn the_sites_of_the_manual_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
    let manual = std::fs::read_to_string(path).expect("the manual");
    let blocks = manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let is_site = |line: &str| line.starts_with("[site.") && !line.contains(".route.");
    let sites = blocks.filter(|block| {
        block.lines().next().is_some_and(is_site) && block.contains("\nupstream = ")
    });
    let (mut seen, mut failures) = (0, String::new());
    for block in sites {
        seen += 1;
        match load(block) {
            Ok(loaded) => write!(failures, "{}", loaded.warnings).expect("text"),
            Err(report) => write!(failures, "{block}{report}").expect("text"),
        }
    }
    assert!(seen >= 7, "{seen}");
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn routes_are_tried_longest_path_first_then_most_conditions_then_as_written() {
    let text = format!(
        "{SITE}[site.localhost.route]\n\
         \"/\" = {{}}\n\
         \"/api\" = {{ first_byte_timeout = \"5m\" }}\n\
         post.match = {{ path = \"/api/\", method = [\"post\", \"PUT\"] }}\n\
         two.match = {{ path = \"/api\", header = {{ X-Version = \"2\" }}, method = \"GET\" }}\n\
         get.match = {{ path = \"/api\", method = \"GET\" }}\n\
         \"/api/v2\" = {{}}\n\
         anywhere.match = {{ method = \"DELETE\" }}\n"
    )
    .replace("site.\"localhost\"", "site.localhost");
    let settings = settings(&text);
    let routes = &settings.sites[0].routes;
    let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["/api/v2", "two", "post", "get", "/api", "anywhere", "/"]);
    assert_eq!(routes[1].matcher.headers, [("x-version".to_owned(), "2".to_owned())]);
    assert_eq!(routes[2].matcher.methods, ["POST", "PUT"]);
    assert_eq!(routes[2].matcher.path_prefix, "/api");
    assert_eq!(routes[4].first_byte.as_secs(), 300);
    assert_eq!(routes[0].first_byte, settings.timeout.first_byte);
}

#[test]
fn values_come_out_as_they_are_meant() {
    let text = "[site.\"App.Example.COM\"]\n\
        upstream = [\"[::1]:3000\", \"App:80\", \"unix:run/app.sock\", \"unix:/a\"]\n\
        tls = { cert = \"a.pem\", key = { env = \"KEY\" } }\n\
        websocket_origins = [\"HTTPS://Shop.example.com:443\", \"http://a:8080\"]\n\
        [listen]\nhttps = [\":8443\", \"9443\", 0]\ncontrol = \"/run/x/c.sock\"\n\
        trusted_proxies = [\"11.1.2.3/8\", \"cloudflare\", \"private\", \"loopback\"]\n\
        [dns]\nservers = [\"127.0.0.53\", \"::1\", \"[::1]:5353\"]\n";
    let source = Source::file("/etc/palisade/palisade.toml", text);
    let loaded = load_sources(&[source], &Environment::default(), Report::default()).0;
    let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
    let site = &loaded.settings.sites[0];
    assert_eq!(site.name.as_str(), "app.example.com");
    assert_eq!(site.declared_at, "/etc/palisade/palisade.toml:1:7");
    let upstreams: Vec<String> = site.upstreams.list.iter().map(ToString::to_string).collect();
    assert_eq!(upstreams, ["[::1]:3000", "app:80", "unix:/etc/palisade/run/app.sock", "unix:/a"]);
    assert_eq!(
        site.tls,
        settings::TlsSource::Files {
            cert: "/etc/palisade/a.pem".into(),
            key: crate::base::SecretRef::Env("KEY".into())
        }
    );
    assert_eq!(loaded.secret_env, ["ENCRYPTION_KEY", "KEY", "PALISADE_MASTER_KEY"]);
    let origins = ["https://shop.example.com", "http://a:8080"].map(str::to_owned).to_vec();
    assert_eq!(site.origins, settings::Origins::SiteAnd(origins));
    let listen = &loaded.settings.listen;
    let https: Vec<String> = listen.https.iter().map(ToString::to_string).collect();
    assert_eq!(https, ["[::]:8443", "[::]:9443", "[::]:0"]);
    assert_eq!(listen.app, Path::new("/run/x/c-app.sock"));
    let trusts = |text: &str| listen.trusted_proxies.contains(text.parse().expect("an address"));
    let inside = "104.16.0.1 11.200.0.1 10.0.0.1 172.16.0.1 172.31.255.255 192.168.9.9 fd00::1 127.0.0.9 ::1";
    let outside =
        "104.0.0.1 12.0.0.1 172.15.255.255 172.32.0.1 100.64.0.1 169.254.0.1 fe80::1 fe00::1 ::2";
    assert!(inside.split(' ').all(trusts));
    assert!(!outside.split(' ').any(trusts));
    let servers = loaded.settings.dns.servers.iter().map(ToString::to_string);
    assert_eq!(servers.collect::<Vec<_>>(), ["127.0.0.53:53", "[::1]:53", "[::1]:5353"]);
}

#[test]
fn a_flag_switches_a_capability_off_whatever_the_file_says() {
    let env = Environment::new([("RATELIMIT_ENABLED".to_owned(), "false".to_owned())]);
    let source = Source::file("x", SITE);
    let loaded = load_sources(&[source], &env, Report::default()).0.expect("settings");
    use crate::base::{Capability, Mode};
    assert_eq!(loaded.settings.capabilities.mode(Capability::RateLimit), Mode::Off);
    assert_eq!(loaded.settings.capabilities.mode(Capability::Queue), Mode::Enforce);
}

#[test]
fn json_says_the_same_as_the_text() {
    let report = refusal("[site.\"localhost\"]\nupsteam = \"127.0.0.1:3000\"\n");
    let json = report.to_json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["errors"], 2);
    let first = &json["diagnostics"][1];
    assert_eq!(first["message"], "unknown key `upsteam`");
    assert_eq!(first["severity"], "error");
    let place = &first["places"][0];
    assert_eq!(place["file"], "palisade.toml");
    assert_eq!(
        (&place["line"], &place["column"], &place["length"]),
        (&2.into(), &1.into(), &7.into())
    );
    assert_eq!(place["label"], "did you mean `upstream`?");
}

#[test]
fn a_report_about_material_points_at_its_site() {
    let report =
        Report::at("/etc/p.toml:4:7", "the certificate does not match the key", "renew it");
    let text = report.with_outcome("the running configuration is unchanged").to_string();
    assert!(text.contains("--> /etc/p.toml:4:7"), "{text}");
    assert!(text.ends_with("1 error; the running configuration is unchanged.\n"), "{text}");
}

#[test]
fn files_that_cannot_be_read_say_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let env = Environment::default();
    let said = |path: &Path| load_file(path, &env).expect_err("refused").to_string();
    let path = dir.path().join("palisade.toml");
    assert!(said(&path).contains("palisade init"), "{}", said(&path));
    assert!(said(dir.path()).contains("it is a directory"), "{}", said(dir.path()));
    assert!(said(Path::new("/dev/null")).contains("not a regular file"));
    std::fs::write(&path, b"a = 1\nb = \"\xff\"\n").expect("a file");
    assert!(said(&path).contains("line 2 is not UTF-8"), "{}", said(&path));
    std::fs::write(&path, b"\xff\xfea\0").expect("a file");
    assert!(said(&path).contains("UTF-16"), "{}", said(&path));
    std::fs::write(&path, SITE).expect("a file");
    load_file(&path, &env).expect("settings");
    std::fs::create_dir(dir.path().join("conf.d")).expect("a directory");
    for (name, text) in [
        ("20-log.toml", "[log]\naccess = false\n"),
        ("10-b.toml", "[site.\"b.localhost\"]\nupstream = \"x:1\"\n"),
        (".hidden.toml", "?"),
        ("notes.txt", "?"),
    ] {
        std::fs::write(dir.path().join("conf.d").join(name), text).expect("a file");
    }
    let loaded = load_file(&path, &env).expect("settings").settings;
    assert!(!loaded.log.access);
    let names: Vec<&str> = loaded.sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["localhost", "b.localhost"]);
}

/// Renders everything that a result can show.
fn show(result: &Result<Loaded, Report>) {
    let report = match result {
        Ok(loaded) => &loaded.warnings,
        Err(report) => report,
    };
    let text = report.to_string();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert_eq!(result.is_err(), report.errors() > 0);
    let _ = report.to_json().to_string();
}

proptest! {
    #[test]
    fn any_text_is_settings_or_a_report(text in "(?s).{0,200}") {
        show(&load(&text));
    }

    #[test]
    fn any_toml_like_text_is_settings_or_a_report(
        lines in proptest::collection::vec(
            "(\\[(site|listen|http2?|site\\.a|site\\.a\\.route\\.\"/x\")\\]|(upstream|tls|https|match|ops|head_max|also) ?= ?(\"[a-z0-9:./]{0,12}\"|[0-9-]{1,3}|\\[\\]|\\{\\}|\\[\"x\", [0-9]\\]|true)|.{0,12})",
            0..12,
        )
    ) {
        show(&load(&lines.join("\n")));
    }

    #[test]
    fn any_keys_beside_an_upstream_are_settings_or_a_report(
        upstream in "(\"(h2c?:|https:)?(//|unix:)?[a-z0-9:./]{1,8}\"|\\{ ?((to|weight|requests_max) = (\"a:1\"|[0-9]{1,5}),? ?){0,3}\\}|\\[\\])",
        lines in proptest::collection::vec(
            "(upstream_tls|balance|wait_queue|retry|breaker|health|keep_awake|route\\.\"/x\"\\.(upstream|health|retry)) = (\"(off|/|[0-9]{1,4}(%|ms|s|m|d)?|[a-z0-9:./-]{0,12})\"|[0-9-]{1,4}|true|\\[\\]|\\{ ?((name|ca_file|requests|wait|failures|open|path|every|timeout|status|host|rise) = (\"[a-z0-9/*.-]{0,6}\"|[0-9]{1,4})(, )?)?\\})",
            0..8,
        )
    ) {
        show(&load(&format!("[site.\"*.localhost\"]\nupstream = {upstream}\n{}", lines.join("\n"))));
    }

    #[test]
    fn a_damaged_template_is_settings_or_a_report(
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), 0..12_usize, "(?s).{0,3}"), 1..6),
    ) {
        let mut text: Vec<char> = template(false).chars().collect();
        for (at, length, insert) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.chars());
        }
        show(&load(&text.into_iter().collect::<String>()));
    }
}
