//! The text of a configuration file: any text gives settings or messages that can be printed, never a panic.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use palisade::config::{Environment, load_file};

/// One file per process, so that parallel jobs do not read each other's.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("palisade-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the file");
    folder.join("palisade.toml")
});

fuzz_target!(|text: &str| {
    std::fs::write(&*FILE, text).expect("the file is written");
    match load_file(&FILE, &Environment::default()) {
        Ok(loaded) => {
            assert!(loaded.settings.workers > 0);
            let _ = loaded.warnings.to_json();
        }
        Err(report) => {
            assert!(report.errors() > 0, "a refusal has a reason");
            let _ = report.to_json();
        }
    }
});
