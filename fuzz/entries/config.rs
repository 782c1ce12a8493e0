//! The text of a configuration file: any text gives settings or messages that can be printed, twice the same, and
//! settings that differ from themselves in nothing.

use palisade::config::{Environment, diff, load_file};

pub fn run(bytes: &[u8]) {
    // One folder per process, so that parallel jobs do not read each other's.
    let folder = std::env::temp_dir().join(format!("palisade-fuzz-{}", std::process::id()));
    let file = folder.join("palisade.toml");
    std::fs::create_dir_all(&folder).expect("a folder for the file");
    std::fs::write(&file, bytes).expect("the file is written");
    let first = load_file(&file, &Environment::default());
    let again = load_file(&file, &Environment::default());
    let _ = std::fs::remove_dir_all(&folder);
    match (first, again) {
        (Ok(loaded), Ok(again)) => {
            assert!(loaded.settings.workers > 0);
            assert_eq!(loaded.warnings.errors(), 0, "settings with an error");
            let changes = diff(&loaded.settings, &again.settings);
            assert!(changes.is_empty(), "read twice: {:?}", changes.lines);
            shown(&loaded.warnings.to_string());
        }
        (Err(report), Err(again)) => {
            assert!(report.errors() > 0, "a refusal has a reason");
            assert_eq!(report.to_json(), again.to_json(), "read twice");
            shown(&report.to_string());
        }
        (first, again) => panic!("read twice: {first:?}, then {again:?}"),
    }
}

/// What goes to a terminal (promise 56).
fn shown(text: &str) {
    let control = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "{text:?}");
}
