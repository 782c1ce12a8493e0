//! The last ten minutes by the second, two hours by ten seconds, and a day by the minute.
//!
//! Promises: no gaps; a second that nobody looked at (a machine that slept) is a point of zeroes. Pure: whoever calls
//! brings the time and the counters.
//! Bounds: 2,760 points of 40 bytes, 108 KiB in all.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::metrics::{LATENCY_BOUNDS_US, Totals};

/// A length of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Second,
    TenSeconds,
    Minute,
}

impl Resolution {
    pub const ALL: [Self; 3] = [Self::Second, Self::TenSeconds, Self::Minute];

    /// As the API writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Second => "1s",
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
        }
    }

    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::TenSeconds => 10,
            Self::Minute => 60,
        }
    }

    /// Points that are kept.
    #[must_use]
    pub const fn points_max(self) -> usize {
        match self {
            Self::Second => 600,
            Self::TenSeconds => 720,
            Self::Minute => 1440,
        }
    }
}

/// Everything at one moment; what is counted is counted since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    pub totals: Totals,
    pub connections: u64,
    pub rss_bytes: u64,
    /// Of the whole process.
    pub cpu_us: u64,
    /// By a clock that never steps.
    pub uptime_us: u64,
}

/// What happened in one interval; values that do not fit are cut off at the largest that does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Point {
    pub requests: u32,
    pub responses_4xx: u32,
    pub responses_5xx: u32,
    pub denied: u32,
    pub p50_us: u32,
    pub p95_us: u32,
    pub p99_us: u32,
    pub connections: u32,
    pub rss_kib: u32,
    pub cpu_permille: u32,
}

/// Points of one length, and the Unix time at which the last of them ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub points: Vec<Point>,
    pub end_s: i64,
}

/// All of it; one task feeds it, anybody reads.
#[derive(Debug)]
pub struct History(Mutex<[Ring; 3]>);

#[derive(Debug)]
struct Ring {
    resolution: Resolution,
    points: VecDeque<Point>,
    /// The counters when the point that is under way began, and when it ends.
    since: Sample,
    end_s: i64,
}

impl History {
    /// Begins at `now_s` with what `sample` has counted already.
    #[must_use]
    pub fn new(now_s: i64, sample: Sample) -> Self {
        Self(Mutex::new(Resolution::ALL.map(|resolution| Ring::new(resolution, now_s, sample))))
    }

    fn rings(&self) -> MutexGuard<'_, [Ring; 3]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called once a second.
    pub fn observe(&self, now_s: i64, sample: Sample) {
        for ring in &mut *self.rings() {
            ring.observe(now_s, sample);
        }
    }

    #[must_use]
    pub fn series(&self, resolution: Resolution) -> Series {
        let rings = self.rings();
        let ring = rings.iter().find(|ring| ring.resolution == resolution);
        ring.map_or(Series { points: Vec::new(), end_s: 0 }, |ring| Series {
            points: ring.points.iter().copied().collect(),
            end_s: ring.end_s - i64::from(resolution.seconds()),
        })
    }
}

impl Ring {
    fn new(resolution: Resolution, now_s: i64, since: Sample) -> Self {
        let points = VecDeque::with_capacity(resolution.points_max());
        Self { resolution, points, since, end_s: next_end(now_s, resolution) }
    }

    fn observe(&mut self, now_s: i64, sample: Sample) {
        let step = i64::from(self.resolution.seconds());
        if now_s < self.end_s - step {
            // Somebody set the clock back: the points stay, their times move with it.
            self.end_s = next_end(now_s, self.resolution);
            return;
        }
        if now_s < self.end_s {
            return;
        }
        let missed = usize::try_from((now_s - self.end_s) / step).unwrap_or(usize::MAX);
        for _ in 0..missed.min(self.resolution.points_max()) {
            self.push(Point::default());
        }
        self.push(between(&self.since, &sample));
        self.since = sample;
        self.end_s = next_end(now_s, self.resolution);
    }

    fn push(&mut self, point: Point) {
        if self.points.len() >= self.resolution.points_max() {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }
}

/// The next multiple of the resolution after `now_s`.
fn next_end(now_s: i64, resolution: Resolution) -> i64 {
    let step = i64::from(resolution.seconds());
    (now_s.div_euclid(step) + 1).saturating_mul(step)
}

fn between(from: &Sample, to: &Sample) -> Point {
    let (a, b) = (&from.totals, &to.totals);
    let classes = |class: usize| {
        let of = |totals: &Totals| totals.classes.get(class).copied().unwrap_or(0);
        of(b).saturating_sub(of(a))
    };
    let buckets: Vec<u64> =
        a.latency.iter().zip(&b.latency).map(|(a, b)| b.saturating_sub(*a)).collect();
    let wall_us = to.uptime_us.saturating_sub(from.uptime_us).max(1);
    let cpu_us = to.cpu_us.saturating_sub(from.cpu_us);
    Point {
        requests: narrow((0..5).map(classes).sum()),
        responses_4xx: narrow(classes(3)),
        responses_5xx: narrow(classes(4)),
        denied: narrow(b.denied.saturating_sub(a.denied)),
        p50_us: narrow(percentile(&buckets, 50)),
        p95_us: narrow(percentile(&buckets, 95)),
        p99_us: narrow(percentile(&buckets, 99)),
        connections: narrow(to.connections),
        rss_kib: narrow(to.rss_bytes / 1024),
        cpu_permille: narrow(cpu_us.saturating_mul(1000) / wall_us),
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The latency that `percent` of the requests did not exceed, as if those of a bucket were spread evenly over it; 0
/// without requests. Beyond the last bound nothing is known but the bound.
fn percentile(buckets: &[u64], percent: u64) -> u64 {
    let count: u64 = buckets.iter().sum();
    let wanted = (count.saturating_mul(percent)).div_ceil(100);
    let mut below = 0;
    let mut from_us = 0;
    for (in_bucket, to_us) in buckets.iter().zip(LATENCY_BOUNDS_US) {
        if wanted > 0 && below + in_bucket >= wanted {
            return from_us + (to_us - from_us) * (wanted - below) / in_bucket.max(&1);
        }
        below += in_bucket;
        from_us = to_us;
    }
    if count == 0 { 0 } else { from_us }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_292_261;

    fn sample(requests: u64, uptime_s: u64) -> Sample {
        let mut sample = Sample { uptime_us: uptime_s * 1_000_000, ..Sample::default() };
        sample.totals.classes[1] = requests;
        sample.totals.latency[2] = requests;
        sample.connections = 7;
        sample.rss_bytes = 3 << 20;
        sample.cpu_us = uptime_s * 250_000;
        sample
    }

    #[test]
    fn each_second_has_what_happened_in_it() {
        let history = History::new(NOW, sample(10, 1));
        assert_eq!(history.series(Resolution::Second).points, []);
        history.observe(NOW + 1, sample(30, 2));
        history.observe(NOW + 2, sample(30, 3));
        let series = history.series(Resolution::Second);
        assert_eq!(series.end_s, NOW + 2);
        let [first, second] = series.points[..] else { panic!("{series:?}") };
        assert_eq!((first.requests, first.connections, first.rss_kib), (20, 7, 3072));
        assert_eq!(first.cpu_permille, 250);
        assert_eq!((first.p50_us, first.p99_us), (750, 1000));
        assert_eq!((second.requests, second.p50_us), (0, 0));
    }

    #[test]
    fn longer_points_end_at_round_times_and_add_up() {
        let history = History::new(NOW, sample(0, 0));
        for second in 1_u64..=130 {
            history.observe(NOW + i64::try_from(second).expect("small"), sample(second, second));
        }
        let tens = history.series(Resolution::TenSeconds);
        assert_eq!(tens.end_s, (NOW + 130) / 10 * 10);
        assert_eq!(tens.points[1].requests, 10);
        let minutes = history.series(Resolution::Minute);
        assert_eq!(minutes.end_s % 60, 0);
        assert_eq!(minutes.points.last().expect("a whole minute").requests, 60);
        assert_eq!(history.series(Resolution::Second).points.len(), 130);
    }

    #[test]
    fn a_machine_that_slept_leaves_zeroes_and_no_gap() {
        let history = History::new(NOW, sample(0, 0));
        history.observe(NOW + 1, sample(5, 1));
        history.observe(NOW + 11, sample(9, 2));
        let series = history.series(Resolution::Second);
        let requests: Vec<u32> = series.points.iter().map(|point| point.requests).collect();
        assert_eq!(requests, [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(series.end_s, NOW + 11);
        history.observe(NOW + 1_000_000, sample(9, 3));
        assert_eq!(history.series(Resolution::Second).points.len(), 600, "bounded");
    }

    #[test]
    fn a_clock_that_was_set_back_loses_nothing() {
        let history = History::new(NOW, sample(0, 0));
        history.observe(NOW + 1, sample(5, 1));
        history.observe(NOW - 3600, sample(6, 2));
        history.observe(NOW - 3599, sample(7, 3));
        let series = history.series(Resolution::Second);
        let requests: Vec<u32> = series.points.iter().map(|point| point.requests).collect();
        assert_eq!((requests, series.end_s), (vec![5, 2], NOW - 3599));
    }

    #[test]
    fn percentiles_lie_inside_their_bucket() {
        let mut buckets = [0; LATENCY_BOUNDS_US.len() + 1];
        assert_eq!(percentile(&buckets, 99), 0);
        buckets[0] = 90;
        buckets[5] = 10;
        assert_eq!(percentile(&buckets, 50), 138);
        assert_eq!(percentile(&buckets, 95), 7_500);
        assert_eq!(percentile(&buckets, 99), 9_500);
        buckets = [0; LATENCY_BOUNDS_US.len() + 1];
        buckets[LATENCY_BOUNDS_US.len()] = 3;
        assert_eq!(percentile(&buckets, 50), 30_000_000);
    }

    #[test]
    fn the_memory_is_what_the_head_says() {
        let points: usize = Resolution::ALL.map(Resolution::points_max).iter().sum();
        assert_eq!((points, size_of::<Point>()), (2_760, 40));
    }
}
