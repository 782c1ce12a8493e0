//! What a reload would change about the upstreams of a site or a route, in words.

use std::time::Duration;

use super::{Changes, words};
use crate::base::units::HumanDuration;
use crate::config::settings::{
    Breaker, HealthCheck, KeepAwake, Upstream, UpstreamTls, Upstreams, WaitQueue,
};

/// One line for each key that differs; `key` gives it its full name.
pub(super) fn group(
    c: &mut Changes,
    key: impl Fn(&str) -> String,
    old: &Upstreams,
    new: &Upstreams,
) {
    let (a, b) = (places(old), places(new));
    c.list(&key("upstream"), &a, &b);
    c.note(&key("upstream_tls"), &tls(old), &tls(new), |trust| words(trust));
    c.note(&key("balance"), &old.balance, &new.balance, |balance| balance.word().to_owned());
    c.note(&key("wait_queue"), &old.wait_queue, &new.wait_queue, wait_queue);
    c.note(&key("retry"), &old.retry_percent, &new.retry_percent, |percent| match percent {
        0 => "off".to_owned(),
        percent => format!("{percent}%"),
    });
    c.note(&key("breaker"), &old.breaker, &new.breaker, |b| or(b.as_ref(), "off", breaker));
    c.note(&key("health"), &old.health, &new.health, |h| or(h.as_ref(), "none", health));
    let (a, b) = (&old.keep_awake, &new.keep_awake);
    c.note(&key("keep_awake"), a, b, |k| or(k.as_ref(), "none", keep_awake));
}

/// Each upstream with its share and its limit, where it has some.
pub(super) fn places(group: &Upstreams) -> Vec<String> {
    group.list.iter().map(place).collect()
}

fn place(upstream: &Upstream) -> String {
    let weight = (upstream.weight != 1).then(|| format!("weight {}", upstream.weight));
    let limit = upstream.requests_max.map(|max| match max {
        1 => "at most 1 request".to_owned(),
        max => format!("at most {max} requests"),
    });
    let more: Vec<String> = weight.into_iter().chain(limit).collect();
    match more.as_slice() {
        [] => upstream.to_string(),
        more => format!("{upstream} ({})", more.join(", ")),
    }
}

/// What those that are reached over TLS have to prove, each proof once.
fn tls(group: &Upstreams) -> Vec<String> {
    let mut all = Vec::new();
    for tls in group.list.iter().filter_map(|upstream| upstream.endpoint.tls.as_ref()) {
        let proof = proof(tls);
        if !all.contains(&proof) {
            all.push(proof);
        }
    }
    all
}

fn proof(tls: &UpstreamTls) -> String {
    let name = &tls.name;
    match &tls.ca_file {
        Some(file) => format!("{name} by {}", file.display()),
        None => format!("{name} by the public roots"),
    }
}

fn or<T>(value: Option<&T>, none: &str, show: fn(&T) -> String) -> String {
    value.map_or_else(|| none.to_owned(), show)
}

fn time(duration: Duration) -> HumanDuration {
    HumanDuration(duration)
}

fn wait_queue(queue: &WaitQueue) -> String {
    match queue.requests_max {
        0 => "off".to_owned(),
        max => format!("{max} requests for {}", time(queue.wait_max)),
    }
}

fn breaker(breaker: &Breaker) -> String {
    format!("{} after {} failures", time(breaker.open), breaker.failures)
}

fn health(check: &HealthCheck) -> String {
    let HealthCheck { path, host, every, timeout, status: (low, high), rise, fall } = check;
    let host = host.as_ref().map_or_else(String::new, |host| format!(" of {host}"));
    let (every, timeout) = (time(*every), time(*timeout));
    format!(
        "{path}{host} every {every}, {low}-{high} within {timeout}, up after {rise}, down after {fall}"
    )
}

fn keep_awake(ping: &KeepAwake) -> String {
    let host = ping.host.as_ref().map_or_else(String::new, |host| format!(" of {host}"));
    format!("{}{host} every {}", ping.path, time(ping.every))
}

#[cfg(test)]
mod tests {
    use crate::config::diff;
    use crate::config::tests::settings;

    fn changes(old: &str, new: &str) -> Vec<String> {
        let site = |text: &str| settings(&format!("[site.localhost]\n{text}"));
        diff(&site(old), &site(new)).lines
    }

    #[test]
    fn every_key_of_a_group_is_told_in_words() {
        let old = "upstream = [\"a:1\", \"https://b\"]\n";
        let new = "upstream = [{ to = \"a:1\", weight = 3, requests_max = 50 }, \"https://b\"]\n\
            upstream_tls = { ca_file = \"/ca.pem\", name = \"b.internal\" }\n\
            balance = \"least-loaded\"\nwait_queue = { requests = 7 }\nretry = \"off\"\n\
            breaker = { failures = 3 }\nhealth = { path = \"/up\", host = \"x\", status = 204 }\n\
            keep_awake = \"5m\"\n";
        let words = [
            "upstream: a:1, https://b:443 -> a:1 (weight 3, at most 50 requests), https://b:443",
            "upstream_tls: b by the public roots -> b.internal by /ca.pem",
            "balance: round-robin -> least-loaded",
            "wait_queue: 100 requests for 5s -> 7 requests for 5s",
            "retry: 20% -> off",
            "breaker: 1s after 5 failures -> 1s after 3 failures",
            "health: none -> /up of x every 10s, 204-204 within 5s, up after 2, down after 3",
            "keep_awake: none -> / every 5m",
        ];
        assert_eq!(changes(old, new), words.map(|line| format!("site localhost: {line}")));
        let off = "upstream = [\"a:1\", \"https://b\"]\nwait_queue = \"off\"\nbreaker = \"off\"\n";
        let lines =
            ["wait_queue: 100 requests for 5s -> off", "breaker: 1s after 5 failures -> off"];
        assert_eq!(changes(old, off), lines.map(|line| format!("site localhost: {line}")));
    }

    #[test]
    fn one_request_is_told_as_one() {
        let new = "upstream = { to = \"a:1\", requests_max = 1 }\n";
        let lines = ["site localhost: upstream: a:1 -> a:1 (at most 1 request)"];
        assert_eq!(changes("upstream = \"a:1\"\n", new), lines);
    }

    #[test]
    fn what_a_route_has_of_its_own_is_told_as_that_of_a_site() {
        let old = "upstream = \"a:1\"\nroute.\"/x\" = { upstream = \"b:1\" }\nroute.\"/y\" = {}\n";
        let new = "upstream = \"a:1\"\nroute.\"/x\" = { upstream = \"b:1\", retry = \"5%\" }\n\
            route.\"/y\" = { upstream = \"c:1\" }\n";
        let lines = ["route /x: retry: 20% -> 5%", "route /y: upstream: that of the site -> c:1"];
        assert_eq!(changes(old, new), lines.map(|line| format!("site localhost: {line}")));
    }

    #[test]
    fn a_key_of_the_site_that_a_route_takes_over_is_told_for_both() {
        let old = "upstream = \"a:1\"\nroute.\"/x\" = { upstream = \"b:1\" }\n";
        let new = format!("retry = \"off\"\n{old}");
        let lines = ["retry: 20% -> off", "route /x: retry: 20% -> off"];
        assert_eq!(changes(old, &new), lines.map(|line| format!("site localhost: {line}")));
    }
}
