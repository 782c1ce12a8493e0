//! `cert list`: the certificate of every site, its next renewal, and why the last attempt failed.

use super::args::ClientArgs;
use super::connect::{ask, fail};
use super::output::{Page, Tone};
use super::words::{column, expiry, soon};
use super::{Exit, Output, failure};
use crate::config::Environment;
use crate::ops::api::{CertificateInfo, CertificateState};

pub(super) fn list(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    match ask(args, environment, |client| async move { client.certificates().await }) {
        Ok(certificates) if args.json => out.json(&certificates),
        Ok(certificates) => out.page(&table(&certificates)),
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

/// The first line is for the eye; everything without a bound follows indented.
fn table(certificates: &[CertificateInfo]) -> Page {
    let mut page = Page::new();
    if certificates.is_empty() {
        page.line("there is no site");
        return page;
    }
    page.line(row("SITE", "SOURCE", "STATE", "EXPIRES"));
    for certificate in certificates {
        let expires = certificate.expires_in_s.map_or_else(|| "-".to_owned(), expiry);
        let state = state_word(certificate.state);
        page.line(row(&certificate.site, &certificate.source, state, &expires));
        details(&mut page, certificate);
        failure::block(&mut page, certificate, "    ");
    }
    page
}

fn row(site: &str, source: &str, state: &str, expires: &str) -> String {
    let (site, source, state) = (column(site, 40), column(source, 8), column(state, 8));
    format!("{site}  {source}  {state}  {expires}")
}

const fn state_word(state: CertificateState) -> &'static str {
    match state {
        CertificateState::Served => "served",
        CertificateState::StandIn => "stand-in",
        CertificateState::Missing => "missing",
    }
}

fn details(page: &mut Page, certificate: &CertificateInfo) {
    let mut line = |word: &str, text: &str| {
        let text = format!("    {} {text}", column(word, 7));
        page.broken(12, [(Tone::Plain, text)]);
    };
    line("names", &certificate.names.join(", "));
    for (word, text) in [
        ("issuer", &certificate.issuer),
        ("until", &certificate.not_after),
        ("file", &certificate.path),
        ("now", &certificate.activity),
    ] {
        if let Some(text) = text {
            line(word, text);
        }
    }
    if let Some(renewal) = &certificate.renewal {
        let when =
            if renewal.in_s > 0 { format!("in {}", soon(renewal.in_s)) } else { "now".into() };
        line("renews", &format!("{when}, {}: {}", renewal.at, renewal.why));
    }
    if certificate.source == "imported" && certificate.state != CertificateState::Served {
        let site = &certificate.site;
        line("try", &format!("palisade cert import {site} --cert FILE --key FILE"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample;

    #[test]
    fn a_certificate_shows_names_issuer_time_left_and_the_next_renewal() {
        let mut from_file = sample::certificate("shop.example.com", -2);
        from_file.source = "files".into();
        from_file.path = Some("/etc/ssl/shop.pem".into());
        let text = table(&[sample::renewed("app.example.com", 63), from_file]).plain();
        assert_eq!(
            text,
            "\
SITE                                      SOURCE    STATE     EXPIRES
app.example.com                           acme      served    63 d
    names   app.example.com
    issuer  Let's Encrypt E7
    until   2027-02-19T00:00:00Z
    renews  in 33 d, 2027-01-20T03:04:05Z: the CA suggests this window
shop.example.com                          files     served    expired 2 d ago
    names   shop.example.com
    issuer  palisade local CA (web-1)
    until   2027-02-19T00:00:00Z
    file    /etc/ssl/shop.pem
"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80));
        assert_eq!(table(&[]).plain(), "there is no site\n");
    }

    #[test]
    fn a_site_without_its_certificate_says_why_and_what_to_do() {
        let mut missing = sample::failing("app.example.com", CertificateState::Missing);
        missing.activity = Some("waiting until the next try".into());
        let mut imported = sample::certificate("shop.example.com", 63);
        imported.source = "imported".into();
        imported.state = CertificateState::StandIn;
        assert_eq!(
            table(&[missing, imported]).plain(),
            "\
SITE                                      SOURCE    STATE     EXPIRES
app.example.com                           acme      missing   -
    names   app.example.com
    now     waiting until the next try
    certificate for app.example.com: not issued (attempt 2, next in 10 min)
      CA says: urn:ietf:params:acme:error:connection - 203.0.113.7: Fetching http://app.example.com/.well-known/…: Timeout
      likely: port 80 is closed in front of this machine (DNS does point here)
      try: open port 80, or set acme.challenges = [\"tls-alpn-01\"]; then `palisade cert renew app.example.com`
shop.example.com                          imported  stand-in  63 d
    names   shop.example.com
    issuer  palisade local CA (web-1)
    until   2027-02-19T00:00:00Z
    try     palisade cert import shop.example.com --cert FILE --key FILE
"
        );
    }
}
