//! A connection to whichever of several addresses takes one (RFC 8305 §5).
//!
//! Promises: an address that refuses costs nothing, one that says nothing costs [`NEXT_AFTER`]; the first that answers
//! wins and the others are given up. Bounds: [`ADDRESSES_MAX`] addresses. The deadline is the caller's.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::{Dial, Pending};

/// How long an address may be silent before the next one is tried beside it (RFC 8305 §8).
pub const NEXT_AFTER: Duration = Duration::from_millis(250);
/// Of one name; more are not tried.
pub const ADDRESSES_MAX: usize = 16;

type Attempt<'a> = Pending<'a, io::Result<TcpStream>>;

/// Connects to the first of `addresses` that answers.
///
/// # Errors
/// That of the last address that failed, when all have.
pub async fn any(dial: &dyn Dial, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return dial.tcp(*only).await;
    }
    let mut waiting = addresses.iter().take(ADDRESSES_MAX);
    let mut attempts: Vec<Attempt<'_>> = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no address");
    let mut next = pin!(sleep(NEXT_AFTER));
    let mut due = true;
    poll_fn(|cx| {
        loop {
            match poll_attempts(&mut attempts, cx) {
                Some(Ok(stream)) => return Poll::Ready(Ok(stream)),
                Some(Err(error)) => {
                    last = error;
                    // It is the next one's turn at once.
                    due = true;
                }
                None if waiting.len() == 0 && attempts.is_empty() => {
                    let none = io::Error::from(io::ErrorKind::AddrNotAvailable);
                    return Poll::Ready(Err(std::mem::replace(&mut last, none)));
                }
                None if waiting.len() == 0 => return Poll::Pending,
                None => {
                    if !due && next.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    due = false;
                    attempts.extend(waiting.next().map(|address| dial.tcp(*address)));
                    next.as_mut().reset(Instant::now() + NEXT_AFTER);
                }
            }
        }
    })
    .await
}

/// What went wrong, in the words that everybody knows, and else in the system's.
#[must_use]
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        _ => error.to_string(),
    }
}

/// The first attempt that has ended; `None` while all go on.
fn poll_attempts(
    attempts: &mut Vec<Attempt<'_>>,
    cx: &mut Context<'_>,
) -> Option<io::Result<TcpStream>> {
    for at in 0..attempts.len() {
        if let Some(Poll::Ready(ended)) = attempts.get_mut(at).map(|a| a.as_mut().poll(cx)) {
            drop(attempts.remove(at));
            return Some(ended);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use tokio::net::{TcpListener, UnixStream};

    use super::*;

    /// Refuses odd last bytes of an address, says nothing on even ones, and connects on a port that is not 1.
    #[derive(Default)]
    struct Scripted {
        tried: Mutex<Vec<SocketAddr>>,
    }

    impl Dial for Scripted {
        #[expect(clippy::disallowed_methods, reason = "the test is the port")]
        fn tcp(&self, addr: SocketAddr) -> Pending<'_, io::Result<TcpStream>> {
            self.tried.lock().expect("no test panicked").push(addr);
            let SocketAddr::V4(v4) = addr else { panic!("IPv4 only") };
            match (addr.port(), v4.ip().octets()[3] % 2) {
                (1, 1) => Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) }),
                (1, _) => Box::pin(std::future::pending()),
                _ => Box::pin(TcpStream::connect(addr)),
            }
        }

        fn unix<'a>(&'a self, _: &'a Path) -> Pending<'a, io::Result<UnixStream>> {
            panic!("TCP only")
        }
    }

    const REFUSES: &str = "192.0.2.1:1";
    const SILENT: &str = "192.0.2.2:1";

    async fn dial(
        dead: &[&str],
        alive: bool,
    ) -> (Result<SocketAddr, io::ErrorKind>, usize, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let dead = dead.iter().map(|text| text.parse::<SocketAddr>().expect("an address"));
        let all: Vec<SocketAddr> = dead.chain(alive.then_some(address)).collect();
        let scripted = Scripted::default();
        let began = Instant::now();
        let stream = any(&scripted, &all).await;
        let stream = stream.map(|stream| stream.peer_addr().expect("connected"));
        if let Ok(peer) = stream {
            assert_eq!(peer, address);
        }
        let tried = scripted.tried.lock().expect("no test panicked").len();
        (stream.map_err(|error| error.kind()), tried, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_no_time() {
        let (stream, tried, took) = dial(&[REFUSES, REFUSES], true).await;
        assert!(stream.is_ok());
        assert_eq!((tried, took), (3, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_says_nothing_costs_a_quarter_of_a_second() {
        let (stream, tried, took) = dial(&[SILENT, SILENT], true).await;
        assert!(stream.is_ok());
        assert_eq!((tried, took.as_millis() / 10), (3, 50));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_have_failed_the_last_one_says_why() {
        assert_eq!(dial(&[REFUSES, REFUSES], false).await.0, Err(io::ErrorKind::ConnectionRefused));
        assert_eq!(dial(&[], false).await.0, Err(io::ErrorKind::AddrNotAvailable));
        let many = [REFUSES; 40];
        assert_eq!(dial(&many, true).await.1, ADDRESSES_MAX);
    }
}
