//! Certificates as the control socket shows them, and what about them needs attention.

use std::sync::Arc;

use super::control::{Daemon, Inner};
use super::materials::Shown;
use super::reload::managed;
use crate::base::Host;
use crate::base::audit::By;
use crate::base::timestamp::rfc3339;
use crate::config::settings::{Site, TlsSource};
use crate::ops::api::{
    Attention, CertificateInfo, CertificateState, ImportCertificate, Level, Problem,
};
use crate::work::acme::Outlook;

/// A certificate that nobody but the operator replaces is mentioned when less than this is left.
const EXPIRY_WARN_S: i64 = 14 * 86_400;
const DAY_S: i64 = 86_400;

impl Daemon {
    pub(super) fn certificate_infos(&self, inner: &Inner) -> Vec<CertificateInfo> {
        let sites = inner.settings.sites.iter().zip(&inner.certificates);
        sites.map(|(site, shown)| self.certificate_of(site, shown)).collect()
    }

    pub(super) fn certificate_of(&self, site: &Site, shown: &Shown) -> CertificateInfo {
        info(site, shown, self.outlook(site), self.now_s())
    }

    fn outlook(&self, site: &Site) -> Outlook {
        if managed(site) { self.state.manager.outlook(&site.name) } else { Outlook::default() }
    }

    /// What about each site's certificate needs somebody, in the order of the sites.
    pub(super) fn about_certificates(
        &self,
        inner: &Inner,
        infos: &[CertificateInfo],
    ) -> Vec<Vec<Attention>> {
        let about = |(site, info)| {
            let imported = managed(site) && self.state.manager.outlook(&site.name).imported;
            let mut found = attention(site, imported, info);
            // The manager's word changes while a certificate is served: it may not be on the disk yet.
            let kept = managed(site).then(|| self.state.manager.certificate(&site.name)).flatten();
            let warnings = kept.into_iter().flat_map(|certificate| certificate.warnings);
            found.extend(warnings.map(|message| Attention { level: Level::Warn, message }));
            found
        };
        inner.settings.sites.iter().zip(infos).map(about).collect()
    }

    fn certificate_info(&self, site: &Host) -> Result<CertificateInfo, Problem> {
        let infos = self.certificate_infos(&self.inner());
        let info = infos.into_iter().find(|info| info.site == site.as_str());
        info.ok_or_else(|| unknown(site.as_str()))
    }

    /// The site with this name, if its certificate is kept by the manager.
    fn managed_site(&self, name: &str) -> Result<Host, Problem> {
        let inner = self.inner();
        let host = name.parse::<Host>().map_err(|_| unknown(name))?;
        let mut sites = inner.settings.sites.iter();
        let site = sites.find(|site| site.names().any(|name| *name == host));
        let site = site.ok_or_else(|| unknown(name))?;
        let why = match &site.tls {
            TlsSource::Acme { .. } | TlsSource::Imported => return Ok(site.name.clone()),
            TlsSource::Local => {
                "the site has one of the local CA, which palisade renews itself; for another kind \
                 write tls = \"acme\" or \"imported\", then palisade reload"
            }
            TlsSource::Files { .. } => {
                "the site has one from files: replace them, palisade takes the new ones by itself"
            }
        };
        let title = format!("The certificate of {} is not kept by palisade", site.name);
        Err(Problem::new(404, title, why))
    }

    /// Has a certificate fetched now. The attempt goes on when nobody waits for it any more.
    pub(super) async fn renew(&self, by: By, site: &str) -> Result<CertificateInfo, Problem> {
        let site = self.managed_site(site)?;
        self.state.manager.renew(&site, by).await?;
        self.in_force(&site)
    }

    /// Takes a certificate that was made elsewhere. Goes on when nobody waits for it any more.
    pub(super) async fn import(
        &self,
        by: By,
        site: &str,
        import: ImportCertificate,
    ) -> Result<CertificateInfo, Problem> {
        let site = self.managed_site(site)?;
        let (manager, name) = (Arc::clone(&self.state.manager), site.clone());
        let ImportCertificate { cert_pem, key_pem } = import;
        let import = async move {
            manager.import(&name, cert_pem.as_bytes(), key_pem.as_bytes(), by).await.map(drop)
        };
        let task = tokio::runtime::Handle::current().spawn(import);
        task.await.unwrap_or_else(|_| {
            let detail = "it was ended by a stop, or by a defect that the log has";
            Err(Problem::new(500, "The import was not finished", detail))
        })?;
        self.in_force(&site)
    }

    /// What was just stored is served before anybody is told so.
    fn in_force(&self, site: &Host) -> Result<CertificateInfo, Problem> {
        tokio::task::block_in_place(|| self.take_stored());
        self.certificate_info(site)
    }
}

fn unknown(name: &str) -> Problem {
    let detail = "`palisade cert list` has the names of all sites";
    Problem::new(404, format!("There is no site {name}"), detail)
}

/// A certificate as the API shows it.
fn info(site: &Site, shown: &Shown, outlook: Outlook, now_s: i64) -> CertificateInfo {
    let source = match &site.tls {
        TlsSource::Acme { .. } => "acme",
        TlsSource::Imported => "imported",
        TlsSource::Local => "local",
        TlsSource::Files { .. } => "files",
    };
    let state = match shown {
        Shown::Served(_) => CertificateState::Served,
        Shown::StandIn(_) => CertificateState::StandIn,
        Shown::Missing => CertificateState::Missing,
    };
    let certificate = shown.certificate();
    let warnings = warnings(site, shown, now_s);
    let facts = certificate.map(|certificate| &certificate.facts);
    let wanted = || site.names().map(ToString::to_string).collect();
    CertificateInfo {
        site: site.name.to_string(),
        source: source.into(),
        state,
        names: facts.map_or_else(wanted, |facts| facts.names.clone()),
        issuer: facts.map(|facts| facts.issuer.clone()),
        not_before: facts.map(|facts| rfc3339(facts.not_before_s)),
        not_after: facts.map(|facts| rfc3339(facts.not_after_s)),
        expires_in_s: facts.map(|facts| facts.expires_in_s(now_s)),
        sha256: facts.map(|facts| facts.sha256.clone()),
        path: certificate.and_then(|certificate| certificate.path.clone()),
        renewal: outlook.renewal,
        failure: outlook.failure,
        activity: outlook.activity,
        warnings,
    }
}

/// What is not quite right with a certificate that is shown. Those from files were looked at when they were read.
fn warnings(site: &Site, shown: &Shown, now_s: i64) -> Vec<String> {
    let (name, Shown::Served(certificate)) = (&site.name, shown) else { return Vec::new() };
    if !managed(site) {
        return certificate.warnings.clone();
    }
    let facts = &certificate.facts;
    let mut found = Vec::new();
    if facts.not_before_s > now_s {
        found.push(format!(
            "certificate of {name} is not valid before {}, and it is {} here: check the clock (`date -u`), or \
             bring another one",
            rfc3339(facts.not_before_s),
            rfc3339(now_s)
        ));
    }
    let bare: Vec<&str> =
        site.names().filter(|name| !facts.covers(name)).map(Host::as_str).collect();
    if !bare.is_empty() {
        found.push(format!("certificate of {name} does not cover {} yet", bare.join(", ")));
    }
    found
}

/// What brings the next certificate, for those that palisade does not order.
fn next_step(site: &Site) -> String {
    match &site.tls {
        TlsSource::Imported => {
            format!(": `palisade cert import {} --cert FILE --key FILE` brings the next", site.name)
        }
        TlsSource::Files { .. } => ": replace its files, the new ones are taken at once".to_owned(),
        TlsSource::Acme { .. } | TlsSource::Local => String::new(),
    }
}

/// What about a site's certificate needs somebody, most urgent first; nothing when all is well.
fn attention(site: &Site, imported: bool, info: &CertificateInfo) -> Vec<Attention> {
    let name = &info.site;
    let mut found = Vec::new();
    let mut say = |level, message| found.push(Attention { level, message });
    // What somebody only wanted to try says nothing about the renewal.
    let failure = info.failure.as_ref().filter(|failure| !failure.early);
    let ends = info.not_after.as_deref().unwrap_or_default();
    match (info.state, info.expires_in_s) {
        (CertificateState::Missing, _) => say(
            Level::Fail,
            format!("{name} has no certificate, visitors are refused{}", reason(info)),
        ),
        (CertificateState::StandIn, _) => say(
            Level::Warn,
            format!("{name} shows a certificate of the local CA for now{}", reason(info)),
        ),
        (CertificateState::Served, Some(left_s)) if left_s <= 0 => {
            let why = failure.map_or_else(|| next_step(site), |_| FAILED.to_owned());
            say(Level::Fail, format!("certificate of {name} expired on {ends}{why}"));
        }
        (CertificateState::Served, Some(left_s)) => {
            if failure.is_some() {
                say(
                    Level::Warn,
                    format!("certificate of {name} was not renewed, {} left{FAILED}", left(left_s)),
                );
            } else if left_s < EXPIRY_WARN_S
                && matches!(site.tls, TlsSource::Files { .. } | TlsSource::Imported)
            {
                say(
                    Level::Warn,
                    format!("certificate of {name} ends on {ends}{}", next_step(site)),
                );
            } else if let (true, true, Some(renewal)) =
                (left_s < EXPIRY_WARN_S, imported, &info.renewal)
            {
                say(
                    Level::Warn,
                    format!(
                        "the imported certificate of {name} ends on {ends}; one is ordered on {}",
                        renewal.at
                    ),
                );
            }
        }
        (CertificateState::Served, None) => {}
    }
    if managed(site) {
        found.extend(
            info.warnings
                .iter()
                .map(|warning| Attention { level: Level::Warn, message: warning.clone() }),
        );
    }
    found
}

/// Behind the one sentence about a site. What the CA said has no bound, and stands in `palisade cert list`.
const FAILED: &str = ": the last attempt failed (palisade cert list)";

/// Why the certificate that is asked for is not there.
fn reason(info: &CertificateInfo) -> String {
    match (&info.failure, &info.activity, info.source.as_str()) {
        (Some(_), _, _) => FAILED.to_owned(),
        (None, Some(activity), _) => format!(": {activity} (palisade cert list)"),
        (None, None, "imported") => format!(": waiting for palisade cert import {}", info.site),
        (None, None, _) => ": it is being ordered (palisade cert list)".to_owned(),
    }
}

/// How much time is left, in the unit that people plan in.
fn left(left_s: i64) -> String {
    match (left_s / DAY_S, left_s / 3600) {
        (0, hours) => format!("{hours} hours"),
        (1, _) => "1 day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}
