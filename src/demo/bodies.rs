//! Large bodies in both directions, for the demo app and for tests.
//!
//! Promises: neither direction holds more than one chunk in memory.
//! Bounds: a download is at most [`MIB_MAX`] MiB. An upload is as long as the sender likes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Query;
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};

const MIB_MAX: u64 = 256;
const MIB: u64 = 1 << 20;

/// The byte at offset `i` of a download is `i mod 251`: a prime, so that a chunk that is lost, doubled
/// or swapped by a proxy shows.
const PERIOD: u8 = 251;

/// A whole number of periods, near 64 KiB.
const CHUNK_BYTES: usize = PERIOD as usize * 256;

#[derive(Debug, Deserialize)]
pub struct Size {
    mib: Option<u64>,
}

/// `GET /download?mib=N`
pub async fn download(Query(size): Query<Size>) -> Response {
    let body = Pattern::new(size.mib.unwrap_or(1).min(MIB_MAX) * MIB);
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::new(body)).into_response()
}

/// Deterministic bytes, one shared chunk sent again and again.
#[derive(Debug)]
struct Pattern {
    chunk: Bytes,
    left: u64,
}

impl Pattern {
    fn new(length: u64) -> Self {
        Self { chunk: (0..PERIOD).cycle().take(CHUNK_BYTES).collect(), left: length }
    }
}

impl http_body::Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What `POST /upload` answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub bytes: u64,
    /// 64-bit FNV-1a, sixteen hexadecimal digits.
    pub fnv1a64: String,
}

/// `POST /upload`
pub async fn upload(mut body: Body) -> Response {
    let mut bytes = 0_u64;
    let mut hash = Fnv1a64::default();
    while let Some(frame) = body.frame().await {
        // A sender that breaks off gets no answer that could look like success.
        let Ok(frame) = frame else { return StatusCode::BAD_REQUEST.into_response() };
        if let Some(data) = frame.data_ref() {
            bytes += data.len() as u64;
            hash.update(data);
        }
    }
    Json(Received { bytes, fnv1a64: hash.hex() }).into_response()
}

/// 64-bit FNV-1a (RFC 9923 §2): finds accidents, not attackers.
#[derive(Debug)]
pub struct Fnv1a64(u64);

impl Default for Fnv1a64 {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv1a64 {
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    #[must_use]
    pub fn hex(&self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_agrees_with_the_published_vectors() {
        for (input, hash) in
            [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")]
        {
            let mut fnv = Fnv1a64::default();
            fnv.update(input.as_bytes());
            assert_eq!(fnv.hex(), hash, "{input}");
        }
    }

    #[tokio::test]
    async fn a_download_is_as_long_as_asked_and_follows_the_pattern() {
        let response = download(Query(Size { mib: Some(2) })).await;
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len() as u64, 2 * MIB);
        assert!(bytes.iter().enumerate().all(|(i, byte)| usize::from(*byte) == i % 251));
    }

    #[tokio::test]
    async fn a_download_is_never_longer_than_its_bound() {
        let response = download(Query(Size { mib: Some(u64::MAX / MIB) })).await;
        let hint = http_body::Body::size_hint(response.body());
        assert_eq!(hint.exact(), Some(MIB_MAX * MIB));
    }

    #[tokio::test]
    async fn an_upload_is_counted_and_hashed() {
        let response = upload(Body::from("foobar")).await;
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let received: Received = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(received, Received { bytes: 6, fnv1a64: "85944171f73967e8".to_owned() });
    }
}
