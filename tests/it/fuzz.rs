//! Every target of the fuzzer as an ordinary test: the kept inputs, then a bounded number of mutations of them, the same
//! ones in every run. What must hold is written in `fuzz/entries`.
//!
//! An input that fails is written beside the kept ones, as `failed-…`: it stays there, under a better name, as a case.

#[path = "../../fuzz/entries/mod.rs"]
mod entries;
mod mutate;

use std::hash::{DefaultHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::support::notation::unescaped;
use mutate::Mutator;

/// How many mutations the soak tests make of what an ordinary run makes one of.
const SOAK: u64 = 20;

/// One target: what it does with bytes, what its inputs are made of, and how many mutations an ordinary run tries.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    words: &'static [&'static [u8]],
    /// Bounded so that all targets together take seconds in a debug build.
    mutations: u64,
}

const HTTP1: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" HTTP/1.1\r\n",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"content-length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 x\r\n",
    b"HTTP/1.1 204 x\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"Trailer: x\r\n",
];
const FIELDS: &[&[u8]] = &[
    b"\nConnection:",
    b"\nconnection: x-a, host, cookie, x-forwarded-for",
    b"\nX-Forwarded-For: 6.6.6.6",
    b"\nX-Forwarded-Anything: 1",
    b"\nForwarded: for=6.6.6.6",
    b"\nX-Real-IP: 6.6.6.6",
    b"\nX_A: 1",
    b"\nHost: b.example",
    b"\nCookie: a=1",
    b"\nTE: trailers",
    b"\nTransfer-Encoding: chunked",
    b"\nKeep-Alive: 5",
    b"\nProxy-Connection: x",
    b"\nX-Request-ID: theirs",
    b"http://a.example/",
    b", ",
    b"10.0.0.3",
];
const LISTS: &[&[u8]] = &[
    b",",
    b", ",
    b"for=",
    b";proto=https",
    b"\"",
    b"\\\"",
    b"10.0.0.1",
    b"10.0.0.127",
    b"10.0.0.128",
    b"203.0.113.9",
    b"[2001:db8::1]",
    b"::ffff:10.0.0.1",
    b":80",
    b"unknown",
    b"_hidden",
    b"\n",
];
const PATHS: &[&[u8]] = &[
    b"/", b"//", b"/.", b"/..", b"/./", b"/../", b"%2e", b"%2E%2e", b"%2f", b"%5c", b"\\", b";",
    b"..;x", b"%41", b"%c3%a9", b"%00", b"%", b"?", b"#",
];
const FRAMES: &[&[u8]] = &[
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\x08\x06\0\0\0\0\0pingping",
    b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    b"\0\0\0\x00\0\0\0\0\x01",
    b"\0\0\x01\x01\x04\0\0\0\x03\x82",
    b"\0\0\x01\x01\0\0\0\0\x03\x82",
    b"\0\0\0\x09\x04\0\0\0\x03",
    b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
];

const TARGETS: &[Target] = &[
    Target {
        name: "activity",
        run: entries::activity::run,
        words: &[
            b"\"action\":",
            b"\"actor\":",
            b"\"subject\":",
            b"{}",
            b"\"",
            b"\\u0000",
            b"null",
            b",",
        ],
        mutations: 20_000,
    },
    Target {
        name: "client_hello",
        run: entries::client_hello::run,
        words: &[
            b"\x16\x03\x01",
            b"GET / HTTP/1.1\r\n",
            b"\0\0",
            b"\0\x10",
            b"\x01\0",
            b"\x02h2",
            b"a.example",
        ],
        mutations: 8000,
    },
    Target {
        name: "config",
        run: entries::config::run,
        words: &[
            b"[site.\"a.example\"]\n",
            b"upstream = \"127.0.0.1:1\"\n",
            b"tls = \"local\"\n",
            b"[listen]\n",
            b"[[",
            b"\"\"\"",
            b"= ",
            b"{ ",
            b"}",
            b"\x1b[31m",
            b"\xe2\x80\xae",
            b"\n",
        ],
        mutations: 600,
    },
    Target {
        name: "forwarded_for",
        run: entries::forwarded_for::run,
        words: LISTS,
        mutations: 15_000,
    },
    Target { name: "h2_watch", run: entries::h2_watch::run, words: FRAMES, mutations: 20_000 },
    Target {
        name: "host",
        run: entries::host::run,
        words: &[b".", b"*.", b":443", b"[::1]", b"xn--", b"127.0.0.1", b"..", b"_", b"a.example"],
        mutations: 40_000,
    },
    Target { name: "inspect", run: entries::inspect::run, words: HTTP1, mutations: 2500 },
    Target { name: "path", run: entries::path::run, words: PATHS, mutations: 40_000 },
    Target {
        name: "proxy_protocol",
        run: entries::proxy_protocol::run,
        words: &[
            b"PROXY TCP4 ",
            b"PROXY UNKNOWN\r\n",
            b"\r\n",
            b"\r\n\r\n\0\r\nQUIT\n",
            b" 1 2\r\n",
            b"\x21\x11\0\x0c",
        ],
        mutations: 8000,
    },
    Target {
        name: "record",
        run: entries::record::run,
        words: &[
            b"\x01",
            b"\x80",
            b"\xc0",
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\xa2id",
        ],
        mutations: 40_000,
    },
    Target { name: "response", run: entries::response::run, words: HTTP1, mutations: 3000 },
    Target { name: "rewriting", run: entries::rewriting::run, words: FIELDS, mutations: 10_000 },
    Target {
        name: "top",
        run: entries::top::run,
        words: &[
            b"\x1b]0;x\x07",
            b"\x1b[2J",
            b"\xe2\x80\xae",
            b"\xe2\x80\x8b",
            b"\xc2\x9b",
            b"\r\n",
            b"\xf0\x9f\x91\xa9",
        ],
        mutations: 12,
    },
];

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder)
}

/// Every file of a folder with this ending, by name.
fn files(folder: &Path, ending: &str) -> Vec<(String, Vec<u8>)> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| name.ends_with(ending))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// What the cases of `tests/fixtures/http` send.
fn sent() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for (file, text) in files(&fixtures("http"), ".txt") {
        for line in String::from_utf8(text).unwrap().lines() {
            match line.split_once(' ') {
                Some(("case", name)) => all.push((format!("{file}: {name}"), Vec::new())),
                Some(("send", bytes)) => {
                    all.last_mut().expect("a case first").1.extend(unescaped(bytes))
                }
                _ => {}
            }
        }
    }
    all
}

/// The second word of a request line.
fn target_of(request: &[u8]) -> Vec<u8> {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.split(|byte| *byte == b' ').nth(1).unwrap_or_default().to_vec()
}

/// The kept inputs of a target, and those that other tests have for the same parser.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = files(&fixtures("fuzz").join(target), "");
    assert!(!all.is_empty(), "{target} has no kept input");
    match target {
        "inspect" => all.extend(sent()),
        "path" => all.extend(sent().into_iter().map(|(name, bytes)| (name, target_of(&bytes)))),
        // What is framed wrongly as a request is as wrong as a response.
        "response" => all.extend(sent().into_iter().map(|(name, bytes)| {
            let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap_or(bytes.len());
            (name, [b"\x06HTTP/1.1 200 OK", &bytes[end..]].concat())
        })),
        "config" => all.extend(files(&fixtures("config"), ".toml")),
        _ => {}
    }
    all
}

/// Why this input does not do, if it does not.
fn fault(run: fn(&[u8]), input: &[u8]) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| run(input))).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
}

/// The first input that does not do, and where it came from: the kept ones first, then mutations.
fn search(
    target: &Target,
    corpus: &[(String, Vec<u8>)],
    mutations: u64,
) -> Result<(), (String, Vec<u8>, String)> {
    for (name, input) in corpus {
        if let Some(why) = fault(target.run, input) {
            return Err((name.clone(), input.clone(), why));
        }
    }
    let inputs: Vec<&[u8]> = corpus.iter().map(|(_, input)| &input[..]).collect();
    for seed in 0..mutations {
        let input = Mutator::new(seed).mutate(&inputs, target.words);
        if let Some(why) = fault(target.run, &input) {
            return Err((format!("seed {seed}"), input, why));
        }
    }
    Ok(())
}

fn play(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let soak = std::env::var_os("PALISADE_SOAK").is_some();
    let mutations = if soak { target.mutations * SOAK } else { target.mutations };
    let Err((from, input, why)) = search(target, &corpus(name), mutations) else { return };
    let mut hasher = DefaultHasher::new();
    hasher.write(&input);
    let kept = fixtures("fuzz").join(name).join(format!("failed-{:016x}", hasher.finish()));
    let _ = std::fs::write(&kept, &input);
    panic!("{from}: {why}\n{}\nkept as {}", input.escape_ascii(), kept.display());
}

macro_rules! played {
    ($($test:ident: $target:literal,)*) => {
        $(
            #[test]
            fn $test() {
                play($target);
            }
        )*
        const PLAYED: &[&str] = &[$($target),*];
    };
}

played! {
    any_bytes_are_an_activity_or_are_refused: "activity",
    a_client_hello_is_judged_alike_however_it_comes: "client_hello",
    any_text_is_settings_or_messages_that_can_be_shown: "config",
    nobody_left_of_an_untrusted_proxy_chooses_the_client: "forwarded_for",
    frames_get_one_verdict_however_they_come: "h2_watch",
    a_host_that_was_read_is_read_the_same_again: "host",
    no_split_changes_what_the_inspector_says_or_passes: "inspect",
    an_app_reads_in_a_path_what_was_matched: "path",
    a_proxy_header_ends_where_it_says: "proxy_protocol",
    any_bytes_are_a_record_or_are_refused: "record",
    no_split_changes_how_a_response_is_read: "response",
    what_a_client_says_of_itself_or_its_connection_reaches_no_app: "rewriting",
    no_text_of_a_daemon_controls_the_terminal: "top",
}

#[test]
fn every_target_is_fuzzed_tested_kept_and_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| -> Vec<String> {
        let files = files(&root.join(folder), ".rs").into_iter();
        files.map(|(name, _)| name.replace(".rs", "")).filter(|name| name != "mod").collect()
    };
    let (manual, manifest) = (root.join("README.md"), root.join("Cargo.toml"));
    let [manual, manifest] = [manual, manifest].map(|path| std::fs::read_to_string(path).unwrap());
    let here: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names("fuzz_targets"), here);
    assert_eq!(names("entries"), here);
    assert_eq!(PLAYED, here);
    for name in here {
        assert!(manual.contains(&format!("| `{name}` |")), "fuzz/README.md does not list {name}");
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "fuzz/Cargo.toml does not list {name}"
        );
        assert!(!corpus(name).is_empty(), "{name}");
    }
}

#[test]
fn a_defect_behind_a_word_is_found_and_told_by_its_seed() {
    fn hates_frogs(input: &[u8]) {
        assert!(!input.windows(4).any(|word| word == b"frog"), "a frog");
    }
    let target = Target { name: "", run: hates_frogs, words: &[b"fr", b"og"], mutations: 12 };
    let corpus = [("one".to_owned(), b"dog".to_vec()), ("two".to_owned(), b"frigid".to_vec())];
    let (from, input, why) = search(&target, &corpus, 20_000).expect_err("it is there");
    assert!(from.starts_with("seed ") && why == "a frog", "{from}: {why}");
    assert_eq!(search(&target, &corpus, 20_000), Err((from, input, why)), "the same every time");
    assert_eq!(search(&target, &corpus, 0), Ok(()));
}
