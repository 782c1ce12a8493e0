//! `cert list`: every certificate in use.

use super::args::ClientArgs;
use super::connect::{ask, fail};
use super::output::Page;
use super::words::{column, expiry};
use super::{Exit, Output};
use crate::config::Environment;
use crate::ops::api::CertificateInfo;

pub(super) fn list(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    match ask(args, environment, |client| async move { client.certificates().await }) {
        Ok(certificates) if args.json => out.json(&certificates),
        Ok(certificates) => out.page(&table(&certificates)),
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

/// The first line is for the eye; names, issuer and file follow indented, since they have no bound.
fn table(certificates: &[CertificateInfo]) -> Page {
    let mut page = Page::new();
    if certificates.is_empty() {
        page.line("no certificate is in use");
        return page;
    }
    page.line(format!(
        "{}  {}  {}  UNTIL",
        column("SITE", 32),
        column("SOURCE", 6),
        column("EXPIRES", 16)
    ));
    for certificate in certificates {
        page.line(format!(
            "{}  {}  {}  {}",
            column(&certificate.site, 32),
            column(&certificate.source, 6),
            column(&certificate.expires_in_s.map_or_else(String::new, expiry), 16),
            certificate.not_after.as_deref().unwrap_or_default()
        ));
        page.line(format!("    names   {}", certificate.names.join(", ")));
        page.line(format!("    issuer  {}", certificate.issuer.as_deref().unwrap_or_default()));
        if let Some(path) = &certificate.path {
            page.line(format!("    file    {path}"));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample;

    #[test]
    fn a_certificate_shows_names_issuer_and_time_left() {
        let mut from_file = sample::certificate("shop.example.com", -2);
        from_file.source = "files".into();
        from_file.path = Some("/etc/ssl/shop.pem".into());
        let text = table(&[sample::certificate("localhost", 63), from_file]).plain();
        assert_eq!(
            text,
            "\
SITE                              SOURCE  EXPIRES           UNTIL
localhost                         local   63 d              2027-02-19T00:00:00Z
    names   localhost
    issuer  palisade local CA (web-1)
shop.example.com                  files   expired 2 d ago   2027-02-19T00:00:00Z
    names   shop.example.com
    issuer  palisade local CA (web-1)
    file    /etc/ssl/shop.pem
"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80));
        assert_eq!(table(&[]).plain(), "no certificate is in use\n");
    }
}
