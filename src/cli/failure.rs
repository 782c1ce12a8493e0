//! An attempt to get a certificate that failed, as the operator reads it (promise 9): the CA's words, ours, what to do.

use super::output::{Page, Tone};
use super::words::soon;
use crate::ops::api::{CertificateFailure, CertificateInfo, CertificateState};

/// The failure of a site in four lines, indented by `indent`; nothing where the last attempt worked.
pub(super) fn block(page: &mut Page, info: &CertificateInfo, indent: &str) {
    let Some(failure) = &info.failure else { return };
    let hang = indent.len() + 4;
    let say = |page: &mut Page, text| page.broken(hang, [(Tone::Plain, text)]);
    say(page, format!("{indent}{}", headline(info, failure)));
    match &failure.kind {
        Some(kind) => say(page, format!("{indent}  CA says: {kind} - {}", failure.detail)),
        None => say(page, format!("{indent}  reason: {}", failure.detail)),
    }
    for (word, text) in [("likely", &failure.likely), ("try", &failure.next)] {
        if !text.is_empty() {
            say(page, format!("{indent}  {word}: {text}"));
        }
    }
}

fn headline(info: &CertificateInfo, failure: &CertificateFailure) -> String {
    let what = match info.state {
        CertificateState::Served => "not renewed",
        CertificateState::StandIn | CertificateState::Missing => "not issued",
    };
    let next = match failure.retry_in_s {
        None => String::new(),
        Some(..=0) => ", next now".to_owned(),
        Some(in_s) => format!(", next in {}", soon(in_s)),
    };
    format!("certificate for {}: {what} (attempt {}{next})", info.site, failure.attempts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample;

    fn text(info: &CertificateInfo) -> String {
        let mut page = Page::new();
        block(&mut page, info, "");
        page.plain()
    }

    #[test]
    fn a_failure_says_whose_words_are_whose_and_what_to_do() {
        let info = sample::failing("app.example.com", CertificateState::Missing);
        assert_eq!(
            text(&info),
            "\
certificate for app.example.com: not issued (attempt 2, next in 10 min)
  CA says: urn:ietf:params:acme:error:connection - 203.0.113.7: Fetching http://app.example.com/.well-known/…: Timeout
  likely: port 80 is closed in front of this machine (DNS does point here)
  try: open port 80, or set acme.challenges = [\"tls-alpn-01\"]; then `palisade cert renew app.example.com`
"
        );
    }

    #[test]
    fn what_the_ca_did_not_say_is_not_put_into_its_mouth() {
        let mut info = sample::failing("app.example.com", CertificateState::Served);
        let failure = info.failure.as_mut().expect("failing");
        failure.kind = None;
        failure.detail = "connection refused".into();
        failure.retry_in_s = Some(-3);
        failure.likely = String::new();
        let text = text(&info);
        assert!(text.starts_with(
            "certificate for app.example.com: not renewed (attempt 2, next now)\n  reason: connection refused\n  try: "
        ));
        info.failure = None;
        assert_eq!(self::text(&info), "");
    }

    #[test]
    fn a_hostile_ca_writes_one_line_and_no_escape() {
        let mut info = sample::failing("app.example.com", CertificateState::Missing);
        let failure = info.failure.as_mut().expect("failing");
        failure.detail = "no\x1b]0;owned\x07\n  likely: all is well\u{9b}2J".into();
        failure.kind = Some("urn:\x1b[31m\nx".into());
        let text = text(&info);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }
}
