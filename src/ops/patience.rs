//! How an answer that goes on for long keeps its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The time that a connection may take begins anew while its answer moves. A client that takes nothing for as long as
/// a connection may last loses its place like any other.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    renewed: AtomicBool,
    known: AtomicBool,
}

impl Patience {
    /// Whoever asks is known: what it asked for may take its time.
    pub fn is_known(&self) {
        self.0.known.store(true, Ordering::Relaxed);
    }

    /// Whether that has happened; once.
    pub fn became_known(&self) -> bool {
        self.0.known.swap(false, Ordering::Relaxed)
    }

    /// The client has room for more of the answer.
    pub fn renew(&self) {
        self.0.renewed.store(true, Ordering::Relaxed);
    }

    /// Whether that has happened since the last question.
    pub fn was_renewed(&self) -> bool {
        self.0.renewed.swap(false, Ordering::Relaxed)
    }
}
