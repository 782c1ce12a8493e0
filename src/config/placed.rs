//! Where a file is named whose content is looked at after the configuration has been read.
//!
//! Promises: what is wrong with the content is told at the line that names the file. Bounds: one place for each file.

use std::path::{Path, PathBuf};

use super::report::{Diagnostic, Report, Severity};
use super::source::Place;

/// The `ca_file` of every `upstream_tls`, each where it is named first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaFiles(Vec<(PathBuf, Place)>);

impl CaFiles {
    pub(super) fn add(&mut self, file: &Path, place: &Place) {
        if self.place(file).is_none() {
            self.0.push((file.to_owned(), place.clone()));
        }
    }

    /// An error about the content of a file; `label` is the next step.
    #[must_use]
    pub fn error(&self, file: &Path, message: String, label: &str) -> Report {
        self.told(Severity::Error, file, message, label)
    }

    /// A warning about the content of a file; `label` is the next step.
    #[must_use]
    pub fn warning(&self, file: &Path, message: String, label: &str) -> Report {
        self.told(Severity::Warning, file, message, label)
    }

    fn told(&self, severity: Severity, file: &Path, message: String, label: &str) -> Report {
        let diagnostic = Diagnostic::new(severity, message);
        match self.place(file) {
            Some(place) => diagnostic.spot(place, label).into(),
            None => diagnostic.help(label).into(),
        }
    }

    fn place(&self, file: &Path) -> Option<&Place> {
        self.0.iter().find(|(known, _)| known == file).map(|(_, place)| place)
    }
}
