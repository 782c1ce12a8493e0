//! Sites as the API lists them.
//!
//! Bounds: a status has [`STATUS_SITES_MAX`] sites and [`ATTENTION_MAX`] sentences, however many there are.

use super::control::{Daemon, Inner};
use super::materials::Shown;
use super::standing::Out;
use crate::config::settings::Site;
use crate::ops::api::page::{Page, PageQuery};
use crate::ops::api::{Attention, CertificateInfo, STATUS_SITES_MAX, SiteStatus};

/// Sentences of a status.
const ATTENTION_MAX: usize = 100;

impl Daemon {
    pub(super) fn sites_page(&self, inner: &Inner, query: &PageQuery) -> Page<SiteStatus> {
        let out = self.upstreams_out();
        let sites = behind(by_name(inner), query).map(|(site, shown)| {
            let certificate = self.certificate_of(site, shown);
            status_of(site, certificate, &out)
        });
        query.of(sites, |site| &site.name)
    }

    pub(super) fn certificates_page(
        &self,
        inner: &Inner,
        query: &PageQuery,
    ) -> Page<CertificateInfo> {
        let sites = behind(by_name(inner), query);
        query.of(sites.map(|(site, shown)| self.certificate_of(site, shown)), |info| &info.site)
    }
}

fn by_name(inner: &Inner) -> Vec<(&Site, &Shown)> {
    let mut sites: Vec<_> = inner.settings.sites.iter().zip(&inner.certificates).collect();
    sites.sort_by(|(a, _), (b, _)| a.name.as_str().cmp(b.name.as_str()));
    sites
}

/// What the page may have; the rest is not even made.
fn behind<'a>(
    sites: Vec<(&'a Site, &'a Shown)>,
    query: &PageQuery,
) -> impl Iterator<Item = (&'a Site, &'a Shown)> {
    let after = query.after.clone();
    sites.into_iter().skip_while(move |(site, _)| {
        after.as_deref().is_some_and(|after| site.name.as_str() <= after)
    })
}

fn status_of(site: &Site, certificate: CertificateInfo, out: &Out) -> SiteStatus {
    SiteStatus {
        name: site.name.to_string(),
        also: site.also.iter().map(ToString::to_string).collect(),
        upstreams: site.upstreams.list.iter().map(ToString::to_string).collect(),
        upstreams_out: out.of(&site.upstreams).count(),
        certificate,
    }
}

/// Those that a status has: first the ones about which there is something to say.
pub(super) fn foremost(
    sites: &[Site],
    certificates: Vec<CertificateInfo>,
    about: &[Vec<Attention>],
    out: &Out,
) -> Vec<SiteStatus> {
    let mut all: Vec<_> = sites.iter().zip(certificates).zip(about).collect();
    all.sort_by(|((a, _), about_a), ((b, _), about_b)| {
        let order = about_a.is_empty().cmp(&about_b.is_empty());
        order.then_with(|| a.name.as_str().cmp(b.name.as_str()))
    });
    let first = PageQuery { after: None, limit: Some(STATUS_SITES_MAX) };
    let sites = all.into_iter().map(|((site, certificate), _)| status_of(site, certificate, out));
    first.of(sites, |site| &site.name).items
}

/// Most urgent first; how many are left out is the last sentence.
pub(super) fn bounded(mut found: Vec<Attention>) -> Vec<Attention> {
    found.sort_by_key(|attention| attention.level);
    let Some(worst) = found.get(ATTENTION_MAX).map(|attention| attention.level) else {
        return found;
    };
    let more = found.len() - (ATTENTION_MAX - 1);
    found.truncate(ATTENTION_MAX - 1);
    let message = format!(
        "{more} more; `palisade cert list` has every certificate, view 3 of `palisade top` every upstream"
    );
    found.push(Attention { level: worst, message });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::api::Level;

    fn say(level: Level, count: usize) -> impl Iterator<Item = Attention> {
        (0..count).map(move |number| Attention { level, message: number.to_string() })
    }

    #[test]
    fn what_needs_attention_is_bounded_and_says_how_much_is_left_out() {
        let few = bounded(say(Level::Warn, 1).chain(say(Level::Fail, 1)).collect());
        assert_eq!(few.iter().map(|a| a.level).collect::<Vec<_>>(), [Level::Fail, Level::Warn]);
        assert_eq!(bounded(say(Level::Warn, ATTENTION_MAX).collect()).len(), ATTENTION_MAX);
        let many = bounded(say(Level::Warn, 150).chain(say(Level::Fail, 120)).collect());
        assert_eq!(many.len(), ATTENTION_MAX);
        let last = many.last().expect("a sentence");
        assert_eq!(last.level, Level::Fail, "the worst of what is left out");
        assert!(last.message.starts_with("171 more;"), "{}", last.message);
    }
}
