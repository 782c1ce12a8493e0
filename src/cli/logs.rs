//! `logs`: what happens, line by line, until Ctrl-C.

use std::time::Duration;

use super::args::{ClientArgs, LogsArgs};
use super::connect::{ask, fail, tell_skew};
use super::output::{Page, Tone};
use super::words::column;
use super::{Exit, Output};
use crate::base::timestamp::Stamp;
use crate::config::Environment;
use crate::ops::api::live::{Event, EventsQuery, LogLine, RequestSeen, StateChange};
use crate::ops::{ClientError, EventStream};

/// Why nothing more is shown.
enum Ended {
    /// Ctrl-C, or nobody reads the output any more.
    Enough,
    /// The daemon has ended the stream.
    Stopped,
    Broken(ClientError),
}

pub(super) fn logs(args: &LogsArgs, environment: &Environment, out: &Output) -> Exit {
    let query = query(args);
    let watch = |client: crate::ops::Client| {
        let query = &query;
        async move { Ok(follow(client.events(query).await?, &args.client, out).await) }
    };
    match ask(&args.client, environment, watch) {
        Ok(Ended::Enough) => Exit::Done,
        Ok(Ended::Stopped) => {
            out.complain("palisade has stopped, so there is nothing more to show");
            Exit::Unreachable
        }
        // The lines before it were JSON; a fault in the midst of them is for people.
        Ok(Ended::Broken(error)) => fail(&error, false, out),
        Err(error) => fail(&error, args.client.json, out),
    }
}

fn query(args: &LogsArgs) -> EventsQuery {
    EventsQuery {
        kinds: args.kind.clone(),
        site: args.site.clone(),
        route: args.route.clone(),
        ip: args.ip.map(|ip| ip.to_string()),
        status: args.status.clone(),
        path: args.path.clone(),
        denied: args.denied.clone(),
        slower_us: args.slower.map(|limit| u64::try_from(limit.0.as_micros()).unwrap_or(u64::MAX)),
    }
}

async fn follow(mut events: EventStream, args: &ClientArgs, out: &Output) -> Ended {
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let event = tokio::select! {
            _ = &mut stop => return Ended::Enough,
            event = events.next() => event,
        };
        let read_on = match event {
            Ok(Some(event)) if args.json => out.json_line(&event),
            Ok(Some(Event::Hello { version, .. })) => {
                // Not into what is shown: that may be a file.
                out.complain(format!("watching palisade {version}; times are UTC; Ctrl-C ends"));
                tell_skew(args, &version, out);
                true
            }
            Ok(Some(event)) => line(&event).is_none_or(|page| out.stream(&page)),
            Ok(None) => return Ended::Stopped,
            Err(error) => return Ended::Broken(error),
        };
        if !read_on {
            return Ended::Enough;
        }
    }
}

/// An event for people; `None` for what only programs need.
fn line(event: &Event) -> Option<Page> {
    let mut page = Page::new();
    match event {
        Event::Hello { .. } | Event::Alive { .. } => return None,
        Event::Request(seen) => request(&mut page, seen),
        Event::Log(line) => log_line(&mut page, line),
        Event::State(change) => state(&mut page, change),
        Event::Dropped { count } => note(&mut page, &format!("{count} events were left out here")),
        Event::Sampling { one_in: 1 } => note(&mut page, "from here on every request is shown"),
        Event::Sampling { one_in } => note(
            &mut page,
            &format!("there are many: from here on one of {one_in} requests is shown, and errors"),
        ),
    }
    Some(page)
}

fn note(page: &mut Page, text: &str) {
    page.spans([(Tone::Warn, "WARN".into()), (Tone::Plain, format!("  {text}"))]);
}

fn request(page: &mut Page, seen: &RequestSeen) {
    let (tone, word) = verdict(seen);
    let site = seen.site.as_deref().unwrap_or("-");
    let mut rest = format!(
        "  {}  {:>9}  {}  {site}{}",
        column(&seen.method, 7),
        milliseconds(seen.duration_us),
        column(&seen.client_ip, 15),
        seen.path
    );
    for (name, value) in [("denied", &seen.denied), ("why", &seen.why), ("aborted", &seen.aborted)]
    {
        if let Some(value) = value {
            rest.push_str(&format!("  {name}={value}"));
        }
    }
    page.spans([
        (Tone::Plain, format!("{}  ", clock(seen.at_ms))),
        (tone, column(&format!("{} {word}", seen.status), 12)),
        (Tone::Plain, rest),
    ]);
}

fn verdict(seen: &RequestSeen) -> (Tone, &'static str) {
    match seen.status {
        499 => (Tone::Warn, "left"),
        500.. => (Tone::Bad, "error"),
        400.. if seen.denied.is_some() => (Tone::Warn, "refused"),
        400.. => (Tone::Warn, "not ok"),
        300.. => (Tone::Plain, "redirect"),
        200.. => (Tone::Good, "ok"),
        _ => (Tone::Good, "tunnel"),
    }
}

fn log_line(page: &mut Page, line: &LogLine) {
    let tone = match line.level.as_str() {
        "error" => Tone::Bad,
        "warn" => Tone::Warn,
        _ => Tone::Plain,
    };
    let fields = line.fields.iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => format!("  {name}={text}"),
        other => format!("  {name}={other}"),
    });
    page.spans([
        (Tone::Plain, format!("{}  ", clock(line.at_ms))),
        (tone, column(&format!("log {}", line.level), 12)),
        (Tone::Plain, format!("  {}{}", line.event, fields.collect::<String>())),
    ]);
}

fn state(page: &mut Page, change: &StateChange) {
    let subject = change.subject.as_ref().map(|subject| format!(" {subject}")).unwrap_or_default();
    page.spans([
        (Tone::Plain, format!("{}  ", clock(change.at_ms))),
        (Tone::Strong, column("state", 12)),
        (Tone::Plain, format!("  {}{subject}: {}", change.what, change.text)),
    ]);
}

/// `20:17:46.359`, UTC.
fn clock(at_ms: i64) -> String {
    let unix = Duration::from_millis(u64::try_from(at_ms).unwrap_or(0));
    let mut stamp = Stamp::default();
    let text = stamp.millis(unix);
    text.get(11..23).unwrap_or(text).to_owned()
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> RequestSeen {
        RequestSeen {
            id: "019-id".into(),
            at_ms: 1_795_292_266_359,
            site: Some("app.example.com".into()),
            route: None,
            method: "GET".into(),
            path: "/login".into(),
            protocol: "h2".into(),
            status: 200,
            duration_us: 12_345,
            response_bytes: 5,
            client_ip: "203.0.113.9".into(),
            upstream: None,
            upstream_us: None,
            denied: None,
            why: None,
            aborted: None,
            steps: Vec::new(),
        }
    }

    fn plain(event: &Event) -> String {
        line(event).expect("a line").plain()
    }

    #[test]
    fn a_request_is_one_aligned_line_with_a_word() {
        let ok = plain(&Event::Request(Box::new(seen())));
        assert_eq!(
            ok,
            "20:17:46.359  200 ok        GET        12.3 ms  203.0.113.9      app.example.com/login\n"
        );
        let refused = RequestSeen {
            site: None,
            status: 404,
            denied: Some("unknown_host".into()),
            why: Some("no site".into()),
            ..seen()
        };
        let refused = plain(&Event::Request(Box::new(refused)));
        assert!(refused.contains("404 refused   GET"), "{refused}");
        assert!(refused.ends_with("-/login  denied=unknown_host  why=no site\n"), "{refused}");
    }

    #[test]
    fn no_client_can_steer_the_terminal_or_forge_a_line() {
        let hostile = RequestSeen { path: "/\x1b[2J\nWARN forged\u{9b}".into(), ..seen() };
        let text = plain(&Event::Request(Box::new(hostile)));
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
    }

    #[test]
    fn what_was_left_out_is_said() {
        assert_eq!(plain(&Event::Dropped { count: 7 }), "WARN  7 events were left out here\n");
        assert!(plain(&Event::Sampling { one_in: 8 }).contains("one of 8 requests"));
        assert!(plain(&Event::Sampling { one_in: 1 }).contains("every request"));
        assert!(line(&Event::Alive { now_ms: 0 }).is_none());
    }

    #[test]
    fn lines_of_the_log_and_changes_have_their_place() {
        let fields = [("why".to_owned(), "no".into()), ("n".to_owned(), 1.into())].into();
        let log = LogLine { at_ms: 0, level: "warn".into(), event: "attention".into(), fields };
        assert_eq!(plain(&Event::Log(log)), "00:00:00.000  log warn      attention  n=1  why=no\n");
        let change = StateChange {
            at_ms: 0,
            what: "certificate".into(),
            subject: Some("a.example".into()),
            text: "renewed".into(),
        };
        assert_eq!(
            plain(&Event::State(change)),
            "00:00:00.000  state         certificate a.example: renewed\n"
        );
    }
}
