//! What groups that name the same endpoint have to agree about: they share its connections and everything that is known
//! of it.
//!
//! Promises: each contradiction once, with both places. Refuses: two endpoints that look the same and are not.

use std::collections::HashMap;

use crate::config::read::Cx;
use crate::config::settings::{Endpoint, HealthCheck, KeepAwake};
use crate::config::source::Place;

/// An endpoint as one group names it. Groups with the same one share what is known of it, so they have to agree.
#[derive(Debug)]
pub struct Named {
    pub endpoint: Endpoint,
    pub requests_max: Option<usize>,
    pub place: Place,
    pub health: Option<(HealthCheck, Place)>,
    pub keep_awake: Option<(KeepAwake, Place)>,
}

/// Groups that name the same endpoint share one state of it, so they have to say the same about it.
pub fn cross_check(cx: &mut Cx) {
    let named = std::mem::take(&mut cx.named);
    let mut known: HashMap<String, &Named> = HashMap::new();
    let mut checked: HashMap<String, (&HealthCheck, &Place)> = HashMap::new();
    let mut awake: HashMap<String, (&KeepAwake, &Place)> = HashMap::new();
    for one in &named {
        let label = one.endpoint.to_string();
        if let Some((health, place)) = &one.health {
            let (first, first_place) = checked.entry(label.clone()).or_insert((health, place));
            if *first != health {
                let message =
                    format!("{label} would be checked in two ways, and its health is one");
                cx.clash(message, (place, "write the same here, or remove it"), first_place);
            }
        }
        if let Some((ping, place)) = &one.keep_awake {
            let (first, first_place) = awake.entry(label.clone()).or_insert((ping, place));
            if *first != ping {
                let message = format!("{label} would be kept awake in two ways");
                cx.clash(message, (place, "write the same here, or remove it"), first_place);
            }
        }
        let first = known.entry(label.clone()).or_insert(one);
        if first.endpoint != one.endpoint {
            let message = format!("{label} is reached with two different upstream_tls");
            let help = "write the same name and ca_file in both places";
            cx.clash(message, (&one.place, help), &first.place);
        }
        if first.requests_max != one.requests_max {
            let message = match (first.requests_max, one.requests_max) {
                (Some(a), Some(b)) => format!(
                    "{label} has two limits, {a} and {b}, and its requests are counted once"
                ),
                (a, b) => format!(
                    "{label} has a limit of {} in one place and none in another, and its requests are counted once",
                    a.or(b).unwrap_or_default()
                ),
            };
            cx.clash(message, (&one.place, "write the same requests_max"), &first.place);
        }
    }
}
