//! A certificate authority that does what the test tells it: ACME (RFC 8555) with renewal information (RFC 9773),
//! external accounts and profiles, in this process.
//!
//! It refuses what a real one refuses (a spent nonce, a wrong URL, a bad signature, a request for other names than
//! ordered) and really connects to validate. Beyond that it can be told to fail, to fall silent or to stop at each
//! step, and it remembers everything that it was asked.

mod issue;
mod jose;
mod orders;
mod protocol;
mod script;
mod server;
mod validate;

use std::path::PathBuf;
use std::sync::Arc;

use super::TlsClient;
use super::ports::Doors;

pub use issue::{Issued, Window};
pub use protocol::Reply;
pub use script::{Endpoint, Fault, Hold, Knobs, Moment, Profile, Seen, Validation};

/// A running CA; it ends with its last handle going out of the test's scope.
pub struct ScriptedCa {
    shared: Arc<server::Shared>,
    scratch: tempfile::TempDir,
    server: Option<server::Server>,
}

impl ScriptedCa {
    /// A CA that validates at these doors; several may share them.
    pub fn start(doors: &Doors) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let endpoint = super::Authority::new();
        std::fs::write(scratch.path().join("ca.pem"), endpoint.pem()).expect("a root");
        let knobs = Knobs::at(doors.http(), doors.https());
        let (shared, server) = server::start(&endpoint.issue(&["127.0.0.1"]), knobs);
        Self { shared, scratch, server: Some(server) }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("{}/dir", self.shared.base())
    }

    /// The root of its endpoint, for ACME clients.
    pub fn ca_file(&self) -> PathBuf {
        self.scratch.path().join("ca.pem")
    }

    /// The root of what it issues, for TLS clients; the intermediate comes with each certificate.
    pub fn root_pem(&self) -> String {
        self.shared.lock().issuer.root_pem().to_owned()
    }

    /// A client that trusts what it issues.
    pub fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.root_pem())
    }

    /// Turns knobs; the next request meets the new setting.
    pub fn set(&self, turn: impl FnOnce(&mut Knobs)) {
        turn(&mut self.shared.lock().knobs);
    }

    /// The next request of this kind without a fault in store meets this one.
    pub fn fault(&self, at: Endpoint, fault: Fault) {
        self.shared.lock().script.queue(at, fault);
    }

    /// Every request of this kind meets this fault once those queued are used up.
    pub fn fault_always(&self, at: Endpoint, fault: Fault) {
        self.shared.lock().script.always(at, fault);
    }

    /// Has every answer that is no fault changed before it is sent, as a CA does that means harm.
    pub fn distort(&self, change: impl Fn(Endpoint, &mut Reply) + Send + 'static) {
        self.shared.lock().distortion = Some(Box::new(change));
    }

    /// Drops all faults that have not been met.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.script.heal();
        state.distortion = None;
    }

    /// The next request of this kind stops there until the test lets it go on. The request is finished as any other
    /// then, also if its client has died meanwhile.
    pub fn hold(&self, at: Endpoint, moment: Moment) -> Hold {
        script::hold(&self.shared, at, moment)
    }

    /// The window of a certificate, other than the last third of its lifetime.
    pub fn set_window(&self, id: &str, window: Window) {
        let state = &mut *self.shared.lock();
        state.issuer.set_window(id, window, &state.knobs);
    }

    /// Forgets every account, as a CA that was set up anew.
    pub fn forget_accounts(&self) {
        self.shared.lock().book.forget_accounts();
    }

    /// Forgets every order, as a CA does after a week.
    pub fn forget_orders(&self) {
        self.shared.lock().book.forget_orders();
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.lock().seen.clone()
    }

    /// Waits until `look` finds what it looks for.
    pub fn wait_for<T>(&self, look: impl Fn(&Seen) -> Option<T>) -> T {
        self.shared.wait(|state| look(&state.seen))
    }

    /// Waits until it has answered this many requests of a kind.
    pub fn wait_for_requests(&self, at: Endpoint, count: usize) {
        self.wait_for(|seen| (seen.answered(at) >= count).then_some(()));
    }

    /// Waits for the certificate with this number, from 1, and returns it.
    pub fn wait_for_certificate(&self, number: usize) -> Issued {
        self.wait_for(|seen| seen.certificates.get(number - 1).cloned())
    }
}

impl Drop for ScriptedCa {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the CA at {} has seen:\n{}", self.shared.base(), self.seen());
        }
        drop(self.server.take());
    }
}
