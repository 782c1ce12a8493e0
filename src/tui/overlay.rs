//! Boxes over the view: help, questions, choices, answers.

use super::bulk;
use super::canvas::{Canvas, Span};
use super::elevation::CodePrompt;
use super::event::Mutation;
use super::keys;
use super::popup::{Consent, Popup, Prompt, PromptKind};
use super::state::State;
use super::text;
use super::theme::Tone;
use super::views::VIEWS;

const WIDTH_MAX: u16 = 66;
/// Where the words stand, behind their keys.
const KEY_CELLS: u16 = 14;

/// Keys that always work, for the help.
const ALWAYS: [(&str, &str); 8] = [
    ("1-9, Tab", "views"),
    ("arrows, hjkl", "move; right opens, left goes back"),
    ("g G", "first, last"),
    ("PgUp PgDn", "a page; Ctrl-u Ctrl-d half of one"),
    ("Esc", "one back; in a list it drops marks, then the filter"),
    ("Ctrl-l", "draw the screen anew"),
    ("?", "this help"),
    ("q, Ctrl-c", "leave"),
];

/// Draws the popup that has the keys.
pub fn draw(state: &State, popup: &Popup, canvas: &mut Canvas<'_>) {
    let width = WIDTH_MAX.min(canvas.width().saturating_sub(4));
    let inner = width.saturating_sub(4);
    let (title, lines, scroll) = match popup {
        Popup::Help { scroll } => ("Help".to_owned(), help(state, inner), *scroll),
        Popup::Prompt(prompt) => {
            completions(state, prompt, canvas);
            return;
        }
        Popup::Narrow { facts, at } => {
            let lines = facts.iter().enumerate().map(|(place, (fact, value))| {
                let tone = if place == *at { Tone::Chosen } else { Tone::Plain };
                vec![(tone, format!("{:<7} {value}", fact.word()))]
            });
            ("Show in every view only".to_owned(), lines.collect(), 0)
        }
        Popup::Asking => {
            let text = "Asking the daemon who this is and what it wants for it ...";
            ("Elevate".to_owned(), wrapped(state, text, inner), 0)
        }
        Popup::Elevate => {
            let text = "Until now this dashboard can only look. Elevated, it can change things for \
                        10 minutes; every change still asks first.";
            ("Elevate".to_owned(), wrapped(state, text, inner), 0)
        }
        Popup::Code(prompt) => ("Elevate".to_owned(), code(state, prompt, inner), 0),
        Popup::Confirm { mutation, consent, typed } => (
            format!("{}?", mutation.question()),
            question(state, mutation, consent, typed, inner),
            0,
        ),
        Popup::ConfirmAll { targets, left_out } => {
            let mut lines = wrapped(state, &bulk::touches(targets, *left_out), inner);
            lines.push(Vec::new());
            lines.push(yes_or_no());
            (format!("{}?", bulk::question(targets)), lines, 0)
        }
        Popup::Note { title, text } => (title.clone(), wrapped(state, text, inner), 0),
    };
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let height = rows.saturating_add(2).min(canvas.height().saturating_sub(2));
    let (x, y) = ((canvas.width() - width) / 2, (canvas.height().saturating_sub(height)) / 2);
    let mut canvas = canvas.part(x, y, width, height);
    canvas.clear();
    canvas.frame(&title);
    let last = lines.len().saturating_sub(usize::from(height.saturating_sub(2)));
    let mut inside = canvas.part(2, 1, inner, height.saturating_sub(2));
    for (y, line) in (0..inside.height()).zip(lines.iter().skip(scroll.min(last))) {
        inside.spans(0, y, line);
    }
}

fn wrapped(state: &State, text: &str, width: u16) -> Vec<Vec<Span>> {
    let lines = text::wrap(text, width, state.look.charset);
    lines.into_iter().map(|line| vec![(Tone::Plain, line)]).collect()
}

fn code(state: &State, prompt: &CodePrompt, width: u16) -> Vec<Vec<Span>> {
    let text = "Until now this dashboard can only look. With a code of a second factor it can change things for 10 \
                minutes; every change still asks first.";
    let mut lines = wrapped(state, text, width);
    if let Some(fault) = &prompt.fault {
        lines.push(Vec::new());
        let words = text::wrap(&format!("FAIL {fault}"), width, state.look.charset);
        lines.extend(words.into_iter().map(|line| vec![(Tone::Bad, line)]));
    }
    lines.push(Vec::new());
    lines.push(if prompt.asked {
        vec![(Tone::Plain, "Code: asking the daemon ...".into())]
    } else {
        let typed = (Tone::Strong, prompt.typed.clone());
        vec![(Tone::Plain, "Code: ".into()), typed, (Tone::Chosen, " ".into())]
    });
    lines
}

fn question(
    state: &State,
    mutation: &Mutation,
    consent: &Consent,
    typed: &str,
    width: u16,
) -> Vec<Vec<Span>> {
    let mut lines = wrapped(state, mutation.touches(), width);
    lines.push(Vec::new());
    lines.push(match consent {
        Consent::Yes => yes_or_no(),
        Consent::Word(word) => vec![
            (Tone::Plain, format!("Type {word} to go on: ")),
            (Tone::Strong, typed.to_owned()),
            (Tone::Chosen, " ".into()),
        ],
    });
    lines
}

fn yes_or_no() -> Vec<Span> {
    vec![
        (Tone::Strong, "y".into()),
        (Tone::Plain, " yes   ".into()),
        (Tone::Strong, "n".into()),
        (Tone::Plain, " no".into()),
    ]
}

fn help(state: &State, width: u16) -> Vec<Vec<Span>> {
    let about = state.view().about();
    let mut lines = vec![vec![(Tone::Strong, about.title.to_owned())]];
    lines.extend(wrapped(state, about.help, width));
    let key = |lines: &mut Vec<Vec<Span>>, key: &str, words: &str| {
        let room = width.saturating_sub(KEY_CELLS);
        let wrapped = text::wrap(words, room, state.look.charset);
        for (at, words) in wrapped.into_iter().enumerate() {
            let key = if at == 0 { key } else { "" };
            let key = format!("{key:<0$}", usize::from(KEY_CELLS));
            lines.push(vec![(Tone::Strong, key), (Tone::Plain, words)]);
        }
    };
    lines.push(Vec::new());
    lines.push(vec![(Tone::Strong, "Here, now".into())]);
    for offer in keys::offers_below(state) {
        let words = if offer.more.is_empty() {
            offer.word
        } else {
            format!("{}: {}", offer.word, offer.more)
        };
        key(&mut lines, &offer.key, &words);
    }
    lines.push(Vec::new());
    lines.push(vec![(Tone::Strong, "Everywhere".into())]);
    for (keys, words) in ALWAYS {
        key(&mut lines, keys, words);
    }
    lines.push(Vec::new());
    lines.push(vec![(Tone::Strong, "Views".into())]);
    for view in VIEWS.iter().filter(|view| view.offered(state.data())) {
        let about = view.about();
        let number = about.number.map_or(String::new(), |number| format!("{number}, "));
        key(&mut lines, &format!("{number}:{}", about.name), about.title);
    }
    lines
}

/// What the palette's first word may become, above the line where it is typed.
fn completions(state: &State, prompt: &Prompt, canvas: &mut Canvas<'_>) {
    let PromptKind::Palette { at } = prompt.kind else { return };
    let found = prompt.completions(state);
    let is_found = !found.is_empty();
    let names = if is_found { found } else { Prompt::names(state) };
    let rows = u16::try_from(names.len()).unwrap_or(0).min(canvas.height().saturating_sub(4));
    let top = canvas.height().saturating_sub(2 + rows + 2);
    let mut canvas = canvas.part(0, top, 50.min(canvas.width()), rows + 2);
    canvas.clear();
    canvas.frame(if is_found { "Go to" } else { "There is" });
    for (y, (place, (name, title))) in (1..=rows).zip(names.iter().enumerate()) {
        let tone = if is_found && place == at { Tone::Chosen } else { Tone::Plain };
        canvas.spans(2, y, &[(tone, format!("{name:<12}")), (Tone::Quiet, format!(" {title}"))]);
    }
}
