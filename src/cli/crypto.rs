//! `crypto rotate`: a new data key for every secret in the state.

use super::args::ClientArgs;
use super::connect::{ask, fail};
use super::output::Page;
use super::words::count;
use super::{Exit, Output};
use crate::config::Environment;
use crate::ops::api::KeyRotation;

pub(super) fn rotate(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    match ask(args, environment, |client| async move { client.rotate_keys().await }) {
        Ok(rotation) if args.json => out.json(&rotation),
        Ok(rotation) => out.page(&done(&rotation)),
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

fn done(rotation: &KeyRotation) -> Page {
    let mut page = Page::new();
    let plural = if rotation.rows == 1 { "" } else { "s" };
    page.line(format!(
        "data key {} is in use: {} secret{plural} sealed anew",
        rotation.key,
        count(rotation.rows)
    ));
    page.line("  older data keys are kept: older backups need them");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_says_what_it_did() {
        let text = |rows| done(&KeyRotation { key: 2, rows }).plain();
        assert!(text(1).starts_with("data key 2 is in use: 1 secret sealed anew\n"));
        assert!(text(1_200).starts_with("data key 2 is in use: 1,200 secrets sealed anew\n"));
    }
}
