//! What the operator's documents have to mention.

/// The sections and keys of the commented default file, as `section.key`; a site or route of any name is `site` or `route`.
fn keys(template: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in template.lines() {
        let line = line.trim_start_matches(['#', ' ']).trim_end();
        if let Some(rest) = line.strip_prefix('[')
            && let Some((name, _)) = rest.split_once(']')
        {
            name.split('.').next().unwrap_or_default().clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once('=') {
            let key = key.trim();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !key.is_empty() && key.chars().all(plain) {
                keys.push((section.clone(), key.to_owned()));
            }
        }
    }
    keys
}

/// Everything in backticks and fences: where names stand as names.
fn code_of(document: &str) -> String {
    document.split('`').skip(1).step_by(2).collect::<Vec<_>>().join("\n")
}

fn names(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

/// Keys and sections of the default file that the document never names in code.
pub fn undocumented_keys(template: &str, document: &str) -> Vec<String> {
    let keys = keys(template);
    assert!(!keys.is_empty(), "templates/palisade.toml has no key");
    // A fence is three backticks: an odd number of marks, so that its inside is code like any other.
    let code = code_of(&document.replace("```", "`"));
    let mut findings: Vec<String> = keys
        .into_iter()
        .filter(|(section, key)| {
            let known = |name: &str| name.is_empty() || names(&code).any(|word| word == name);
            !(known(section) && known(key))
        })
        .map(|(section, key)| format!("docs/CONFIGURATION.md does not name `{section}.{key}`"))
        .collect();
    findings.dedup();
    findings
}

/// Emergency flags that the document never names in code.
pub fn undocumented_flags(flags: &[&str], document: &str) -> Vec<String> {
    let code = code_of(&document.replace("```", "`"));
    flags
        .iter()
        .filter(|flag| !names(&code).any(|word| word == **flag))
        .map(|flag| format!("docs/CONFIGURATION.md does not name `{flag}`"))
        .collect()
}

/// Names that stand in the sources right behind `before`, in quotes.
fn quoted_after<'a>(source: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    source.split(before).skip(1).filter_map(|rest| {
        let name = rest.trim_start().strip_prefix('"')?.split('"').next()?;
        names(name).eq([name]).then_some(name)
    })
}

/// Metrics and log events that the document never names in code.
pub fn undocumented_signals(metric_names: &str, sources: &[&str], document: &str) -> Vec<String> {
    let code = code_of(&document.replace("```", "`"));
    let metrics: Vec<&str> =
        metric_names.split('"').filter(|text| text.starts_with("palisade_")).collect();
    assert!(!metrics.is_empty(), "src/telemetry/names.rs has no metric");
    let levels = ["Level::Info,", "Level::Warn,", "Level::Error,"];
    let events = sources.iter().flat_map(|source| {
        let production = source.split("#[cfg(test)]").next().unwrap_or_default();
        levels.iter().flat_map(move |level| quoted_after(production, level))
    });
    let mut findings: Vec<String> = metrics
        .into_iter()
        .chain(events)
        .filter(|name| {
            let counter = format!("{name}_total");
            !names(&code).any(|word| word == *name || word == counter)
        })
        .map(|name| format!("docs/OPERATIONS.md does not name `{name}`"))
        .collect();
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "# What it is = prose.\nstate_dir = \"/var\"\n\n[listen]\n# ops = \"127.0.0.1:9180\"\n\
        # [site.\"app.example.com\"]\n# tls = \"local\"\n";

    #[test]
    fn keys_are_read_from_values_and_from_commented_defaults() {
        let keys = keys(TEMPLATE);
        let keys: Vec<(&str, &str)> = keys.iter().map(|(s, k)| (s.as_str(), k.as_str())).collect();
        assert_eq!(keys, [("", "state_dir"), ("listen", "ops"), ("site", "tls")]);
    }

    #[test]
    fn a_key_that_is_only_mentioned_in_prose_or_not_at_all_is_found() {
        let whole = "`state_dir`, and\n```toml\n[listen]\nops = 1\n[site.x]\n```\n`tls`";
        assert_eq!(undocumented_keys(TEMPLATE, whole), [""; 0]);
        let prose = whole.replace("`tls`", "tls");
        assert_eq!(
            undocumented_keys(TEMPLATE, &prose),
            ["docs/CONFIGURATION.md does not name `site.tls`"]
        );
        assert_eq!(undocumented_keys(TEMPLATE, "").len(), 3);
    }

    #[test]
    fn a_flag_that_is_not_named_is_found() {
        let flags = ["RATELIMIT_ENABLED", "WEBHOOK_VERIFY_ALL"];
        assert_eq!(undocumented_flags(&flags, "`RATELIMIT_ENABLED`, `WEBHOOK_VERIFY`").len(), 1);
        assert_eq!(undocumented_flags(&flags, "`RATELIMIT_ENABLED` `WEBHOOK_VERIFY_ALL`").len(), 0);
    }

    #[test]
    fn a_metric_or_event_that_is_not_named_is_found() {
        let metrics = "(\"palisade_requests\", \"Requests\")";
        let source =
            "log.event(Level::Warn, \"stopping\", f); #[cfg(test)] event(Level::Warn, \"made_up\"";
        let whole = "`palisade_requests_total` and `stopping`";
        assert_eq!(undocumented_signals(metrics, &[source], whole), [""; 0]);
        assert_eq!(undocumented_signals(metrics, &[source], "stopping").len(), 2);
    }
}
