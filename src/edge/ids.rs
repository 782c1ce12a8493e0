//! Request ids, trace ids and small header values, written into one shared block instead of an allocation each.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderValue;

use crate::base::RequestId;
use crate::ports::Entropy;
use crate::telemetry::trace::{self, TRACEPARENT_LEN};

/// Random bytes fetched at a time.
const RANDOM_BYTES: usize = 2048;
/// Size of a block that header values are cut from.
const BLOCK_BYTES: usize = 8192;

/// The ids of one worker.
pub struct Ids {
    entropy: Arc<dyn Entropy>,
    random: Box<[u8; RANDOM_BYTES]>,
    used: usize,
    block: BytesMut,
}

impl Ids {
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self {
            entropy,
            random: Box::new([0; RANDOM_BYTES]),
            used: RANDOM_BYTES,
            block: BytesMut::new(),
        }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > RANDOM_BYTES {
            // Without randomness ids would repeat; the time in them still tells requests apart.
            let _ = self.entropy.fill(&mut self.random[..]);
            self.used = 0;
        }
        let mut bytes = [0; N];
        if let Some(fresh) = self.random.get(self.used..self.used + N) {
            bytes.copy_from_slice(fresh);
        }
        self.used += N;
        bytes
    }

    /// A new request id.
    pub fn request_id(&mut self, unix: Duration) -> RequestId {
        let unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        RequestId::new(unix_ms, u128::from_be_bytes(self.random()))
    }

    /// `traceparent` of this hop, going on with `incoming` if it is valid.
    pub fn traceparent(
        &mut self,
        id: RequestId,
        incoming: Option<&HeaderValue>,
    ) -> Option<HeaderValue> {
        let mut text = [0; TRACEPARENT_LEN];
        let span = self.random();
        let incoming = incoming.and_then(|v| trace::parse(v.as_bytes()));
        trace::write(&mut text, incoming, id.bytes(), span);
        self.value(&text)
    }

    /// Milliseconds with one decimal, rounded down.
    pub fn millis(&mut self, elapsed: Duration) -> Option<HeaderValue> {
        let tenths = u64::try_from(elapsed.as_micros() / 100).unwrap_or(u64::MAX);
        let mut digits = [0_u8; 24];
        let mut at = digits.len();
        let mut rest = tenths;
        let mut written = 0;
        while rest > 0 || written < 3 {
            let digit =
                if written == 1 { b'.' } else { b'0' + u8::try_from(rest % 10).unwrap_or(0) };
            if written != 1 {
                rest /= 10;
            }
            at = at.checked_sub(1)?;
            *digits.get_mut(at)? = digit;
            written += 1;
        }
        self.value(digits.get(at..)?)
    }

    /// A header value with these bytes; `None` if they may not stand in one.
    pub fn value(&mut self, bytes: &[u8]) -> Option<HeaderValue> {
        if self.block.capacity() - self.block.len() < bytes.len() {
            self.block = BytesMut::with_capacity(BLOCK_BYTES.max(bytes.len()));
        }
        self.block.extend_from_slice(bytes);
        HeaderValue::from_maybe_shared(self.block.split().freeze()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::fake::FakeEntropy;

    fn ids() -> Ids {
        Ids::new(Arc::new(FakeEntropy::default()))
    }

    #[test]
    fn ids_differ_although_the_time_stands_still() {
        let mut ids = ids();
        let made: std::collections::BTreeSet<String> =
            (0..1000).map(|_| ids.request_id(Duration::from_secs(1)).to_string()).collect();
        // The fake source repeats after 256 bytes: 16 ids. The system's does not.
        assert_eq!(made.len(), 16);
    }

    #[test]
    fn milliseconds_have_one_decimal() {
        let mut ids = ids();
        let mut text = |us| ids.millis(Duration::from_micros(us)).map(|v| v.as_bytes().to_vec());
        assert_eq!(text(0).as_deref(), Some(&b"0.0"[..]));
        assert_eq!(text(99).as_deref(), Some(&b"0.0"[..]));
        assert_eq!(text(412).as_deref(), Some(&b"0.4"[..]));
        assert_eq!(text(12_345).as_deref(), Some(&b"12.3"[..]));
        assert_eq!(text(60_000_000).as_deref(), Some(&b"60000.0"[..]));
    }

    #[test]
    fn values_outlive_the_block_they_were_cut_from() {
        let mut ids = ids();
        let values: Vec<_> =
            (0..2000_u32).filter_map(|n| ids.value(n.to_string().as_bytes())).collect();
        for (n, value) in values.iter().enumerate() {
            assert_eq!(value.as_bytes(), n.to_string().as_bytes());
        }
    }
}
