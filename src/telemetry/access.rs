//! One line per request, written into the worker's own buffer and handed to the log in chunks.
//!
//! Refuses: query strings, header values and bodies. Bounds: a chunk is handed over at 48 KiB or at the next tick.

use std::time::Duration;

use super::json::Object;
use super::log::Log;
use crate::base::timestamp::Stamp;

/// Handed over when this full.
const CHUNK_BYTES: usize = 48 * 1024;

/// What a line says (FEATURES O3). Absent texts are written as `null` where the field is always there.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub unix: Duration,
    pub request_id: &'a [u8],
    pub site: Option<&'a str>,
    pub route: Option<&'a str>,
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    pub protocol: &'static str,
    pub status_code: u16,
    pub latency_us: u64,
    pub response_bytes: u64,
    pub client_ip: &'a str,
    pub upstream: Option<&'a str>,
    pub upstream_us: Option<u64>,
    pub tenant_id: Option<&'a str>,
    pub user_id: Option<&'a str>,
    /// Label and words of a refusal, or why the response broke off.
    pub denied: Option<&'a str>,
    pub why: Option<&'a str>,
    pub aborted: Option<&'a str>,
}

/// The lines of one worker that the log has not got yet.
pub struct AccessLog {
    log: Log,
    stamp: Stamp,
    buffer: Vec<u8>,
    lines: u64,
    enabled: bool,
}

impl AccessLog {
    #[must_use]
    pub fn new(log: Log, enabled: bool) -> Self {
        Self { log, stamp: Stamp::default(), buffer: Vec::new(), lines: 0, enabled }
    }

    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Adds one line.
    pub fn push(&mut self, entry: &Entry<'_>) {
        if !self.enabled {
            return;
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(CHUNK_BYTES + 4 * 1024);
        }
        write(&mut self.buffer, self.stamp.millis(entry.unix), entry);
        self.lines += 1;
        if self.buffer.len() >= CHUNK_BYTES {
            self.hand_over();
        }
    }

    /// Gives what there is to the log.
    pub fn hand_over(&mut self) {
        if self.lines > 0 {
            self.log.lines(std::mem::take(&mut self.buffer), self.lines);
            self.lines = 0;
        }
    }
}

fn write(out: &mut Vec<u8>, timestamp: &str, entry: &Entry<'_>) {
    let level: &[u8] = if entry.status_code >= 500 { b"error" } else { b"info" };
    let mut line = Object::begin(out, timestamp);
    line.plain("level", level).plain("event", b"request").plain("request_id", entry.request_id);
    optional(&mut line, "site", entry.site);
    optional(&mut line, "route", entry.route);
    line.text("method", entry.method)
        .text("path", entry.path)
        .plain("protocol", entry.protocol.as_bytes())
        .number("status_code", u64::from(entry.status_code))
        .millis("latency_ms", entry.latency_us)
        .number("response_bytes", entry.response_bytes)
        .plain("client_ip", entry.client_ip.as_bytes());
    optional(&mut line, "user_id", entry.user_id);
    optional(&mut line, "tenant_id", entry.tenant_id);
    if let Some(upstream) = entry.upstream {
        line.text("upstream", upstream);
    }
    if let Some(micros) = entry.upstream_us {
        line.millis("upstream_ms", micros);
    }
    for (name, value) in [("denied", entry.denied), ("why", entry.why), ("aborted", entry.aborted)]
    {
        if let Some(value) = value {
            line.text(name, value);
        }
    }
    line.finish();
}

fn optional(line: &mut Object<'_>, name: &str, value: Option<&str>) {
    match value {
        Some(value) => line.text(name, value),
        None => line.null(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_fields_that_operators_search_for() {
        let entry = Entry {
            unix: Duration::from_millis(1_795_292_266_359),
            request_id: b"019-id",
            site: Some("app.example.com"),
            route: None,
            method: "POST",
            path: "/login\"",
            protocol: "h2",
            status_code: 502,
            latency_us: 412,
            response_bytes: 12,
            client_ip: "203.0.113.9",
            upstream: Some("127.0.0.1:3000"),
            upstream_us: Some(300),
            tenant_id: None,
            user_id: None,
            denied: Some("upstream_unreachable"),
            why: Some("Connection refused"),
            aborted: None,
        };
        let mut out = Vec::new();
        write(&mut out, "2026-11-21T20:17:46.359Z", &entry);
        assert_eq!(
            String::from_utf8(out).expect("ASCII"),
            concat!(
                r#"{"timestamp":"2026-11-21T20:17:46.359Z","level":"error","event":"request","#,
                r#""request_id":"019-id","site":"app.example.com","route":null,"method":"POST","#,
                r#""path":"/login\"","protocol":"h2","status_code":502,"latency_ms":0.412,"#,
                r#""response_bytes":12,"client_ip":"203.0.113.9","user_id":null,"tenant_id":null,"#,
                r#""upstream":"127.0.0.1:3000","upstream_ms":0.300,"#,
                r#""denied":"upstream_unreachable","why":"Connection refused"}"#,
                "\n"
            )
        );
    }
}
