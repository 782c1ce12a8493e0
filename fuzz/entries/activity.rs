//! What the app reports: any bytes are an activity or are refused, and what was read becomes a record within its bounds.

use palisade::base::audit::{By, Source};
use palisade::ops::api::activity::Activity;

pub fn run(bytes: &[u8]) {
    let Ok(activity) = Activity::read(bytes) else { return };
    let intent = activity.intent(1, By::system(Source::App)).expect("what was read has a name");
    assert!(intent.action.starts_with("app."));
    let written = serde_json::to_vec(&activity).expect("what was read can be written");
    assert_eq!(Activity::read(&written).expect("and read again"), activity);
}
