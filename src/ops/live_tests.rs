//! What a query may ask for, and what is answered to one that may not.

use super::*;

fn asked(query: &str) -> Result<Wanted, String> {
    let uri: Uri = format!("/v1/events?{query}").parse().expect("a URI");
    let wanted = pairs(&uri).and_then(wanted);
    wanted.map_err(|problem| problem.detail.unwrap_or_default())
}

#[test]
fn every_filter_is_read() {
    assert_eq!(asked(""), Ok(Wanted::default()));
    let wanted = asked(
        "kinds=request,state&site=App.example&route=%2Flogin&ip=::ffff:192.0.2.1&status=4xx\
         &path=%2Fa%20b&denied=method&slower_us=200000",
    );
    assert_eq!(
        wanted,
        Ok(Wanted {
            kinds: Kinds { requests: true, log: false, state: true },
            site: Some("app.example".into()),
            route: Some("/login".into()),
            ip: Some("192.0.2.1".into()),
            status: Some(StatusWanted::Class(4)),
            path_prefix: Some("/a b".into()),
            denied: Some("method".into()),
            slower_us: Some(200_000),
        })
    );
    assert_eq!(asked("status=404").expect("read").status, Some(StatusWanted::Exactly(404)));
}

#[test]
fn what_is_no_filter_is_named() {
    for (query, words) in [
        ("stauts=404", "`stauts` is no filter; there are kinds, site,"),
        ("status=4x", "status must be as 404 or 4xx"),
        ("status=9xx", "status must be as 404 or 4xx"),
        ("status=99", "status must be as 404 or 4xx"),
        ("ip=localhost", "ip must be an IP address"),
        ("kinds=requests", "kinds must be some of request, log, state"),
        ("slower_us=1s", "slower_us must be a number of microseconds"),
    ] {
        let problem = asked(query).expect_err("refused");
        assert!(problem.starts_with(words), "{query}: {problem}");
    }
}
