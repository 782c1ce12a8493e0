//! Counters without contention: each worker writes its own shard, a scrape adds the shards up.
//!
//! Bounds: the set of series is fixed, whatever clients send; only certificates and upstreams add series, for
//! each that the configuration names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::names::{Family, OfUpstream};

/// Upper bounds of the latency histogram, microseconds.
pub const LATENCY_BOUNDS_US: [u64; 16] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// A counter that one thread writes and any thread reads: a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds one. Only the owning thread may call this.
    pub fn up(&self) {
        self.add(1);
    }

    /// Adds `n`. Only the owning thread may call this.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    Full,
    Resumed,
    Failed,
    UnknownName,
    /// As before, from a client that has asked for too many: closed without an answer.
    UnknownThrottled,
    /// The site has no certificate yet.
    NoCertificate,
    /// A CA was shown the certificate it asked for.
    Challenge,
    /// A CA, or somebody like one, asked for a proof that is not there.
    ChallengeUnknown,
    Timeout,
}

impl Handshake {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Full, "full"),
        (Self::Resumed, "resumed"),
        (Self::Failed, "failed"),
        (Self::UnknownName, "unknown_name"),
        (Self::UnknownThrottled, "unknown_throttled"),
        (Self::NoCertificate, "no_certificate"),
        (Self::Challenge, "challenge"),
        (Self::ChallengeUnknown, "challenge_unknown"),
        (Self::Timeout, "timeout"),
    ];
}

/// What the PROXY header of a connection said that had to have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// Who the client is.
    Client,
    /// That the proxy asks on its own account, or does not know.
    Own,
    /// Nothing: closed before a byte came, as a health check does.
    Absent,
    /// It cannot be read, or there is something else in its place.
    Invalid,
    Timeout,
}

impl ProxyHeader {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Client, "client"),
        (Self::Own, "own"),
        (Self::Absent, "absent"),
        (Self::Invalid, "invalid"),
        (Self::Timeout, "timeout"),
    ];
}

/// How a request came by its upstream connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamUse {
    Opened,
    Reused,
    Failed,
}

impl UpstreamUse {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Opened, "opened"), (Self::Reused, "reused"), (Self::Failed, "failed")];
}

/// Why palisade ended a client connection that had not broken down by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Idle, and `connections.total` was near.
    Crowded,
    /// Idle, and the system had no descriptor for a new one.
    NoFiles,
    /// An HTTP/2 client sent too many frames that are no requests.
    ControlFrames,
    /// An HTTP/2 client took back too many requests.
    Resets,
    /// A header block of HTTP/2 did not end within `timeout.head`.
    HalfHead,
}

impl Ended {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Crowded, "crowded"),
        (Self::NoFiles, "no_files"),
        (Self::ControlFrames, "h2_control_frames"),
        (Self::Resets, "h2_resets"),
        (Self::HalfHead, "h2_half_head"),
    ];

    /// The label.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(ended, _)| *ended == self).map_or("", |(_, name)| name)
    }
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct Shard {
    /// By hundreds of the status code: 1xx to 5xx.
    classes: [Count; 5],
    latency: [Count; LATENCY_BOUNDS_US.len() + 1],
    latency_sum_us: Count,
    denials: Denials,
    handshakes: [Count; Handshake::ALL.len()],
    upstream: [Count; UpstreamUse::ALL.len()],
    ended: [Count; Ended::ALL.len()],
    proxy_headers: [Count; ProxyHeader::ALL.len()],
    pub headers_observed: Count,
}

/// Labels of refusals; `edge::deny` uses these words.
pub const DENIALS: [&str; 33] = [
    "unknown_host",
    "bad_host",
    "misdirected",
    "uri_too_long",
    "overloaded",
    "bad_request_line",
    "bad_path",
    "bad_field",
    "bad_framing",
    "bad_chunk",
    "unknown_coding",
    "unknown_version",
    "unknown_method",
    "unknown_expectation",
    "head_too_large",
    "too_many_fields",
    "method",
    "foreign_origin",
    "method_not_allowed",
    "body_too_large",
    "content_type",
    "body_too_slow",
    "body_broken",
    "not_recordable",
    "too_many_actions",
    "no_websocket",
    "upstream_unreachable",
    "upstream_tls",
    "upstream_broke",
    "upstream_timeout",
    "upstream_busy",
    "upstream_down",
    "internal",
];

/// One count for each of them. The standard library has defaults for arrays of up to 32.
#[derive(Debug)]
struct Denials([Count; DENIALS.len()]);

impl Default for Denials {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl std::ops::Deref for Denials {
    type Target = [Count];

    fn deref(&self) -> &[Count] {
        &self.0
    }
}

impl Shard {
    /// One answered request.
    pub fn request(&self, status: u16, latency_us: u64) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        if let Some(count) = self.classes.get(class) {
            count.up();
        }
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < latency_us);
        if let Some(count) = self.latency.get(bucket) {
            count.up();
        }
        self.latency_sum_us.add(latency_us);
    }

    /// One refusal, by its label.
    pub fn denial(&self, label: &str) {
        if let Some(count) =
            DENIALS.iter().position(|name| *name == label).and_then(|at| self.denials.0.get(at))
        {
            count.up();
        }
    }

    pub fn handshake(&self, outcome: Handshake) {
        if let Some(count) = self.handshakes.get(outcome as usize) {
            count.up();
        }
    }

    pub fn proxy_header(&self, outcome: ProxyHeader) {
        if let Some(count) = self.proxy_headers.get(outcome as usize) {
            count.up();
        }
    }

    pub fn ended(&self, why: Ended) {
        if let Some(count) = self.ended.get(why as usize) {
            count.up();
        }
    }

    pub fn upstream(&self, outcome: UpstreamUse) {
        if let Some(count) = self.upstream.get(outcome as usize) {
            count.up();
        }
    }
}

/// Everything that the shards have counted since start, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// By hundreds of the status code: 1xx to 5xx.
    pub classes: [u64; 5],
    /// Requests by bucket of [`LATENCY_BOUNDS_US`], the last one beyond all bounds.
    pub latency: [u64; LATENCY_BOUNDS_US.len() + 1],
    pub denied: u64,
}

/// Values that do not belong to a worker, read at the moment of a scrape.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    pub uptime_s: u64,
    pub connections_open: u64,
    /// By cap: `total`, `per_ip`, `per_64`, `per_site`, `busy`.
    pub connections_refused: Vec<(&'static str, u64)>,
    pub log_lines_dropped: u64,
    pub hidden_errors_dropped: u64,
    pub config_generation: u64,
    pub reloads_refused: u64,
    /// One for each that the configuration names.
    pub upstreams: Vec<UpstreamFigures>,
    /// Site and the seconds until its certificate ends.
    pub certificates: Vec<(String, i64)>,
    /// Sites that show none, or one that stands in.
    pub certificates_missing: u64,
    pub certificates_issued: u64,
    /// By class.
    pub certificate_failures: Vec<(&'static str, u64)>,
    /// By outcome.
    pub upstream_checks: Vec<(&'static str, u64)>,
    pub name_failures: u64,
    pub state: StateFigures,
    pub audit: AuditFigures,
}

/// One upstream.
#[derive(Debug, Clone, Default)]
pub struct UpstreamFigures {
    pub name: String,
    /// As the help of [`OfUpstream::State`] says.
    pub state: u64,
    pub in_flight: u64,
    pub waiting: u64,
    pub opened: u64,
    pub retries: u64,
    pub spared: u64,
    pub busy: u64,
}

/// The audit log.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFigures {
    pub records: u64,
    /// Changes that are not in it yet.
    pub outbox: u64,
}

/// The state file and its writer.
#[derive(Debug, Clone, Copy, Default)]
pub struct StateFigures {
    pub commits: u64,
    pub rows: u64,
    pub failures: u64,
    pub file_bytes: u64,
    pub writable: bool,
}

/// Every shard of the process.
#[derive(Debug)]
pub struct Metrics {
    shards: Vec<Arc<Shard>>,
    /// Counted by the panic hook, on whatever thread it happens.
    panics: AtomicU64,
}

impl Metrics {
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        let shards = (0..workers).map(|_| Arc::default()).collect();
        Arc::new(Self { shards, panics: AtomicU64::new(0) })
    }

    /// The shard of one worker.
    #[must_use]
    pub fn shard(&self, worker: usize) -> Arc<Shard> {
        self.shards.get(worker).cloned().unwrap_or_default()
    }

    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Refusals with one of these labels, since start.
    #[must_use]
    pub fn denied(&self, labels: &[&str]) -> u64 {
        let wanted = DENIALS.iter().enumerate().filter(|(_, name)| labels.contains(name));
        wanted.map(|(at, _)| self.sum(|shard| shard.denials.0.get(at))).sum()
    }

    /// Answers by class of status, 1xx first.
    #[must_use]
    pub fn classes(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.sum(|shard| shard.classes.get(class)))
    }

    /// What charts are made of.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            classes: self.classes(),
            latency: std::array::from_fn(|at| self.sum(|shard| shard.latency.get(at))),
            denied: self.denied(&DENIALS),
        }
    }

    fn sum<'a>(&'a self, pick: impl Fn(&'a Shard) -> Option<&'a Count>) -> u64 {
        self.shards.iter().filter_map(|shard| pick(shard)).map(Count::get).sum()
    }

    /// The OpenMetrics text of everything.
    #[must_use]
    pub fn render(self: &Arc<Self>, gauges: Gauges) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape { metrics: Arc::clone(self), gauges }));
        let mut text = String::new();
        // Writing into a String cannot fail; an error here would be one of the encoder.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.clear();
        }
        text
    }
}

#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    gauges: Gauges,
}

type Encoded = Result<(), std::fmt::Error>;

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let (metrics, gauges, encoder) = (&*self.metrics, &self.gauges, &mut encoder);
        gauge(encoder, Family::BuildInfo, &[("version", env!("CARGO_PKG_VERSION"))], 1)?;
        gauge(encoder, Family::UptimeSeconds, &[], signed(gauges.uptime_s))?;
        let classes = metrics.classes();
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(classes);
        counters(encoder, Family::Requests, "class", classes)?;
        self.latency(encoder)?;
        let denials = DENIALS.iter().enumerate();
        let denials = denials.map(|(at, name)| (*name, metrics.sum(|s| s.denials.0.get(at))));
        counters(encoder, Family::Denials, "reason", denials)?;
        let handshakes = Handshake::ALL.iter();
        let handshakes =
            handshakes.map(|(h, name)| (*name, metrics.sum(|s| s.handshakes.get(*h as usize))));
        counters(encoder, Family::Handshakes, "outcome", handshakes)?;
        let headers = ProxyHeader::ALL.iter();
        let headers =
            headers.map(|(h, name)| (*name, metrics.sum(|s| s.proxy_headers.get(*h as usize))));
        counters(encoder, Family::ProxyHeaders, "outcome", headers)?;
        let upstream = UpstreamUse::ALL.iter();
        let upstream =
            upstream.map(|(u, name)| (*name, metrics.sum(|s| s.upstream.get(*u as usize))));
        counters(encoder, Family::UpstreamConnections, "outcome", upstream)?;
        let checks = gauges.upstream_checks.iter().copied();
        counters(encoder, Family::UpstreamChecks, "outcome", checks)?;
        counter(encoder, Family::NameFailures, gauges.name_failures)?;
        counter(encoder, Family::ObservedHeaders, metrics.sum(|s| Some(&s.headers_observed)))?;
        gauge(encoder, Family::ConnectionsOpen, &[], signed(gauges.connections_open))?;
        let refused = gauges.connections_refused.iter().copied();
        counters(encoder, Family::ConnectionsRefused, "cap", refused)?;
        let ended = Ended::ALL.iter();
        let ended = ended.map(|(e, name)| (*name, metrics.sum(|s| s.ended.get(*e as usize))));
        counters(encoder, Family::ConnectionsEnded, "reason", ended)?;
        counter(encoder, Family::Panics, metrics.panics())?;
        counter(encoder, Family::LogLinesDropped, gauges.log_lines_dropped)?;
        counter(encoder, Family::HiddenErrorsDropped, gauges.hidden_errors_dropped)?;
        gauge(encoder, Family::ConfigGeneration, &[], signed(gauges.config_generation))?;
        counter(encoder, Family::ReloadsRefused, gauges.reloads_refused)?;
        gauges.upstreams(encoder)?;
        gauges.certificates(encoder)?;
        gauges.state(encoder)
    }
}

impl Gauges {
    fn upstreams(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        type Figure = fn(&UpstreamFigures) -> u64;
        let now: [(OfUpstream, Figure); 3] = [
            (OfUpstream::State, |upstream| upstream.state),
            (OfUpstream::InFlight, |upstream| upstream.in_flight),
            (OfUpstream::Waiting, |upstream| upstream.waiting),
        ];
        for (family, figure) in now {
            let (name, help) = Family::Upstream(family).describe();
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for upstream in &self.upstreams {
                let labels = [("upstream", upstream.name.as_str())];
                let value = signed(figure(upstream));
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        let so_far: [(OfUpstream, Figure); 4] = [
            (OfUpstream::Opened, |upstream| upstream.opened),
            (OfUpstream::Retries, |upstream| upstream.retries),
            (OfUpstream::RetriesSpared, |upstream| upstream.spared),
            (OfUpstream::Busy, |upstream| upstream.busy),
        ];
        for (family, figure) in so_far {
            let figures = self.upstreams.iter();
            let figures = figures.map(|upstream| (upstream.name.as_str(), figure(upstream)));
            counters(encoder, Family::Upstream(family), "upstream", figures)?;
        }
        Ok(())
    }

    fn certificates(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let (name, help) = Family::CertificateExpiry.describe();
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (site, left_s) in &self.certificates {
            let labels = [("site", site.as_str())];
            ConstGauge::new(*left_s).encode(family.encode_family(&labels)?)?;
        }
        gauge(encoder, Family::CertificatesMissing, &[], signed(self.certificates_missing))?;
        counter(encoder, Family::CertificatesIssued, self.certificates_issued)?;
        let failures = self.certificate_failures.iter().copied();
        counters(encoder, Family::CertificateFailures, "class", failures)
    }

    fn state(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let state = &self.state;
        gauge(encoder, Family::StateWritable, &[], i64::from(state.writable))?;
        gauge(encoder, Family::StateFileBytes, &[], signed(state.file_bytes))?;
        counter(encoder, Family::StateCommits, state.commits)?;
        counter(encoder, Family::StateRows, state.rows)?;
        counter(encoder, Family::StateFailures, state.failures)?;
        counter(encoder, Family::AuditRecords, self.audit.records)?;
        gauge(encoder, Family::AuditOutbox, &[], signed(self.audit.outbox))
    }
}

impl Scrape {
    fn latency(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let metrics = &*self.metrics;
        let counts = (0..=LATENCY_BOUNDS_US.len()).map(|at| metrics.sum(|s| s.latency.get(at)));
        #[expect(clippy::cast_precision_loss, reason = "seconds for a chart")]
        let seconds = |us: u64| us as f64 / 1e6;
        let bounds = LATENCY_BOUNDS_US.iter().map(|us| seconds(*us)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, n)| n).sum();
        let sum = seconds(metrics.sum(|s| Some(&s.latency_sum_us)));
        let (name, help) = Family::RequestDuration.describe();
        // The name carries its unit already, so none is handed to the encoder, which would append it again.
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    family: Family,
    labels: &[(&str, &str)],
    value: i64,
) -> Encoded {
    let (name, help) = family.describe();
    let mut metric = encoder.encode_descriptor(name, help, None::<&Unit>, MetricType::Gauge)?;
    match labels {
        [] => ConstGauge::new(value).encode(metric),
        [label, ..] => ConstGauge::new(value).encode(metric.encode_family(&[*label])?),
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, family: Family, value: u64) -> Encoded {
    let (name, help) = family.describe();
    let metric: MetricEncoder<'_> =
        encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

fn counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    family: Family,
    label: &'static str,
    values: impl Iterator<Item = (&'a str, u64)>,
) -> Encoded {
    let (name, help) = family.describe();
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in values {
        let labels = [(label, value)];
        ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
