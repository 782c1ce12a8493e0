//! What upstreams are verified with: read at start and at each reload, and kept where nothing changed.
//!
//! Bounds: the size of a file of roots ([`FILE_BYTES_MAX`]); nothing but a regular file is opened, since others wait for
//! somebody who writes or never end.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;

use crate::config::Report;
use crate::config::settings::{Settings, Site, UpstreamTls};
use crate::edge::upstream::{Trust, Trusts, groups};

/// The roots of all public authorities are a quarter of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Who is believed about each upstream that `settings` name; what `before` has stays if its file holds the same.
///
/// # Errors
/// Files that cannot be used and names that no certificate can have, one entry for each site and file.
pub(super) fn trusts(settings: &Settings, before: &Trusts) -> Result<Trusts, Report> {
    let mut report = Report::default();
    let mut trusts = Trusts::default();
    for (site, tls) in secured(settings) {
        if ServerName::try_from(tls.name.as_str()).is_err() {
            let what = format!(
                "site \"{}\": no certificate can have the name {:?} of an upstream",
                site.name, tls.name
            );
            report.extend(Report::at(
                &site.declared_at,
                what,
                "write a host name or an IP address",
            ));
        }
        if trusts.get(tls.ca_file.as_ref()).is_some() {
            continue;
        }
        let kept = before.get(tls.ca_file.as_ref());
        let trust = match &tls.ca_file {
            None => Ok(kept.cloned().unwrap_or_else(Trust::public)),
            Some(path) => read(path).and_then(|pem| Trust::of_pem(&pem, kept)),
        };
        match trust {
            Ok(trust) => trusts.add(tls.ca_file.clone(), trust),
            Err(why) => {
                let shown = tls.ca_file.as_deref().unwrap_or(Path::new("")).display();
                let what = format!("site \"{}\": upstream_tls.ca_file: {shown} {why}", site.name);
                let help = "put the root certificates that vouch for the upstream there, as PEM, \
                            or its own certificate if it is self-signed";
                report.extend(Report::at(&site.declared_at, what, help));
            }
        }
    }
    if report.is_empty() { Ok(trusts) } else { Err(report) }
}

/// The files that upstreams are verified with.
pub(super) fn ca_files(settings: &Settings) -> impl Iterator<Item = &PathBuf> {
    secured(settings).filter_map(|(_, tls)| tls.ca_file.as_ref())
}

fn secured(settings: &Settings) -> impl Iterator<Item = (&Site, &UpstreamTls)> {
    settings.sites.iter().flat_map(|site| {
        let list = groups(site).flat_map(|group| &group.list);
        list.filter_map(move |upstream| Some((site, upstream.endpoint.tls.as_ref()?)))
    })
}

/// A file of certificates; its owner need not be the one of the configuration.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    // Who puts a pipe there in this very moment is not waited for, either.
    let waits_for_nobody = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(waits_for_nobody).open(path);
    let file = file.map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err("is not a regular file".into());
    }
    let mut pem = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut pem).map_err(failed)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_file_of_roots_that_never_comes_or_never_ends_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("roots.pem");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        for path in [pipe.as_path(), Path::new("/dev/zero"), dir.path()] {
            assert_eq!(read(path), Err("is not a regular file".into()), "{}", path.display());
        }
        let long = dir.path().join("long.pem");
        std::fs::File::create(&long)
            .and_then(|file| file.set_len(FILE_BYTES_MAX + 1))
            .expect("made");
        assert!(read(&long).is_err_and(|why| why.starts_with("has more than")));
    }
}
