//! What a scrape says, and what is counted where.

use super::metrics::*;

#[test]
fn shards_add_up_in_a_scrape() {
    let metrics = Metrics::new(2);
    metrics.shard(0).request(200, 400);
    metrics.shard(1).request(503, 40_000_000);
    metrics.shard(1).denial("unknown_host");
    metrics.shard(1).handshake(Handshake::Resumed);
    metrics.shard(0).upstream(UpstreamUse::Reused);
    metrics.panicked();
    let upstream = UpstreamFigures { name: "app:1".into(), state: 2, ..Default::default() };
    let upstreams = vec![UpstreamFigures { busy: 7, ..upstream }];
    let text = metrics.render(Gauges { connections_open: 3, upstreams, ..Gauges::default() });
    for line in [
        "palisade_requests_total{class=\"2xx\"} 1",
        "palisade_requests_total{class=\"5xx\"} 1",
        "palisade_request_duration_seconds_bucket{le=\"0.0005\"} 1",
        "palisade_request_duration_seconds_bucket{le=\"+Inf\"} 2",
        "palisade_request_duration_seconds_count 2",
        "palisade_denials_total{reason=\"unknown_host\"} 1",
        "palisade_tls_handshakes_total{outcome=\"resumed\"} 1",
        "palisade_upstream_connections_total{outcome=\"reused\"} 1",
        "palisade_connections_open 3",
        "palisade_upstream_state{upstream=\"app:1\"} 2",
        "palisade_upstream_busy_total{upstream=\"app:1\"} 7",
        "palisade_panics_total 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}
