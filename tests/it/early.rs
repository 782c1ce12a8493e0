//! Apps that answer before they have read, or say more than they were asked, with victims behind each: on the same
//! connection and on another one (promises 13, 14). The notation is told in `tests/fixtures/http/README.md`.

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use crate::support::Daemon;
use crate::support::notation::unescaped;
use crate::support::wire::{RawApp, drain, head, send};

#[derive(Debug, Default, Clone)]
struct Case {
    name: String,
    send: Vec<u8>,
    /// What is sent once the client was told to go on.
    continued: Option<Vec<u8>>,
    app: Vec<u8>,
    /// Bytes of the body that the app reads before its answer.
    waits: usize,
    /// Those that it reads after it, and then goes on.
    reads: usize,
    status: u16,
    body: String,
    open: bool,
    kept: bool,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/http/early.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "case" {
            cases.push(Case { name: rest.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case first");
        match word {
            "send" => case.send = unescaped(rest),
            "continue" => case.continued = Some(unescaped(rest)),
            "app" => case.app = unescaped(rest),
            "waits" => case.waits = rest.parse().unwrap(),
            "reads" => case.reads = rest.parse().unwrap(),
            "answer" => {
                let (status, body) = rest.split_once(' ').unwrap_or((rest, ""));
                (case.status, case.body) = (status.parse().unwrap(), body.to_owned());
            }
            "open" => case.open = true,
            "kept" => case.kept = true,
            _ => panic!("{line}"),
        }
    }
    cases
}

/// Answers `/early` as the case says and everything else with its own path; reports who came on which connection.
fn app(mut stream: TcpStream, number: usize, reports: &Sender<String>, case: &Mutex<Case>) {
    loop {
        let seen = head(&mut stream);
        let Some(target) = seen.split(' ').nth(1) else { return };
        let _ = reports.send(format!("{number} {target}"));
        if target != "/early" {
            let length = target.len();
            send(
                &mut stream,
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}"),
            );
            continue;
        }
        let case = case.lock().unwrap().clone();
        let (_, begun) = seen.split_once("\r\n\r\n").expect("a whole head");
        let missing = |wanted: usize| vec![0; wanted.saturating_sub(begun.len())];
        stream.read_exact(&mut missing(case.waits)).expect("the body");
        send(&mut stream, &case.app);
        if !case.kept {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            let rest = String::from_utf8_lossy(&rest);
            assert!(
                !rest.contains("/victim"),
                "{}: a request where none belongs: {rest}",
                case.name
            );
            drain(&mut stream);
            return;
        }
        stream.read_exact(&mut missing(case.reads)).expect("the rest of the body");
    }
}

#[test]
fn nobody_gets_what_an_app_says_too_early_or_too_much() {
    let now = Arc::new(Mutex::new(Case::default()));
    let told = Arc::clone(&now);
    let app =
        RawApp::start(move |stream, number, reports| self::app(stream, number, reports, &told));
    let daemon = Daemon::one_pool(&app.address());
    let all = cases();
    assert!(all.len() > 15);
    for (number, case) in all.iter().enumerate() {
        *now.lock().unwrap() = case.clone();
        let name = &case.name;
        let mut client = daemon.http1();
        client.send(&case.send).unwrap();
        if let Some(rest) = &case.continued {
            let interim = client.read_until("\r\n\r\n").unwrap();
            assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n", "{name}");
            client.send(rest).unwrap();
        }
        let method = String::from_utf8_lossy(&case.send);
        let method = method.split(' ').next().unwrap_or_default();
        let answer = client.answer(method).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((answer.status, answer.text()), (case.status, case.body.clone()), "{name}");
        let report = app.report();
        let (on, target) = report.split_once(' ').unwrap();
        assert_eq!(target, "/early", "{name}");
        let mut victims = vec![daemon.http1()];
        if case.open {
            victims.insert(0, client);
        } else {
            let _ = client.send("GET /smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n");
            assert_eq!(String::from_utf8_lossy(&client.rest()), "", "{name}: closed");
        }
        for (at, mut victim) in victims.into_iter().enumerate() {
            let path = format!("/victim/{number}/{at}");
            let page = victim.get("app.localhost", &path).unwrap();
            assert_eq!(
                (page.status, page.text()),
                (200, path.clone()),
                "{name}: the victim's page"
            );
            let report = app.report();
            let (whose, target) = report.split_once(' ').unwrap();
            assert_eq!(target, path, "{name}");
            assert_eq!(whose == on, case.kept, "{name}: {on}, then {whose}");
        }
    }
    assert_eq!(app.reported(), Vec::<String>::new());
    let lines = daemon.wait_for_requests(all.len());
    assert!(lines.iter().all(|line| line["path"] != "/smuggled"), "{lines:?}");
}
