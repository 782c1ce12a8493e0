//! `top`: the dashboard on a terminal, or one frame of it.

use std::io::IsTerminal;
use std::sync::Arc;

use super::args::TopArgs;
use super::connect::{ask, fail};
use super::{Exit, Output};
use crate::config::Environment;
use crate::ops::Client;
use crate::tui::{self, Ended, Look};

const WIDTH: u16 = 80;
const ONCE: &str = "one frame as text: palisade top --once, as data: palisade top --once --json";

pub(super) fn top(args: &TopArgs, environment: &Environment, out: &Output) -> Exit {
    let look = Look::of(|name| environment.get(name).map(str::to_owned), args.ascii);
    if args.once || args.client.json {
        return once(args, environment, look, out);
    }
    if !std::io::stdout().is_terminal() {
        out.complain(format!("error: this is no terminal\n  {ONCE}"));
        return Exit::Usage;
    }
    if environment.get("TERM") == Some("dumb") {
        out.complain(format!("error: this terminal cannot place text (TERM=dumb)\n  {ONCE}"));
        return Exit::Usage;
    }
    if !std::io::stdin().is_terminal() {
        out.complain(format!(
            "error: standard input is no terminal, so no key could end the dashboard\n  {ONCE}"
        ));
        return Exit::Failed;
    }
    args.client.skew_told.set(true); // the dashboard says so itself
    // A daemon that was never there is a mistake to tell at once; one that goes away later is waited for.
    let reached =
        ask(
            &args.client,
            environment,
            |client| async move { client.status().await.map(|_| client) },
        );
    match reached {
        Ok(client) => watch(client, look, args, out),
        Err(error) => fail(&error, false, out),
    }
}

fn watch(client: Client, look: Look, args: &TopArgs, out: &Output) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| {
        let ended = runtime.block_on(tui::run(Arc::new(client), look, args.rate.0));
        // The thread that reads keys waits for one that may never come.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(Ended::Quit | Ended::Signalled) => Exit::Done,
        Ok(Ended::TerminalGone(why)) => {
            out.complain(format!("palisade top: the terminal is gone ({why})"));
            Exit::Failed
        }
        Err(error) => {
            out.complain(format!(
                "error: the terminal cannot be used: {error}\n  one frame as text: palisade top --once"
            ));
            Exit::Failed
        }
    }
}

fn once(args: &TopArgs, environment: &Environment, look: Look, out: &Output) -> Exit {
    let taken =
        ask(&args.client, environment, |client| async move { tui::snapshot(&client).await });
    match taken {
        Ok(snapshot) if args.client.json => out.json(&snapshot),
        Ok(snapshot) => {
            let width = environment.get("COLUMNS").and_then(|columns| columns.parse().ok());
            out.say(tui::frame(snapshot, width.unwrap_or(WIDTH), look.charset));
        }
        Err(error) => return fail(&error, args.client.json, out),
    }
    Exit::Done
}
