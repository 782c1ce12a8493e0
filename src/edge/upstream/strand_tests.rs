//! Exchanges with a real HTTP/2 server over a pair of sockets: what is sent, what comes back, what may be sent again.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::{LocalSet, spawn_local};

use super::fault::Fault;
use super::multiplex::{Multiplexed, STREAM_WINDOW};
use super::strand::Strand;
use super::stream::UpstreamStream;
use crate::edge::body::RequestBody;
use crate::edge::identity::sample::sample;
use crate::edge::trailers::TakesTrailers;

type Server = Connection<UnixStream, Bytes>;

/// Runs `test` where tasks of one thread may be spawned.
async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

async fn connected() -> (Multiplexed, Server) {
    connected_to(&mut server::Builder::new()).await
}

async fn connected_to(builder: &mut server::Builder) -> (Multiplexed, Server) {
    let (near, far) = UnixStream::pair().expect("a pair");
    let near = Multiplexed::open(UpstreamStream::Unix(near), 0);
    let (near, far) = tokio::join!(near, builder.handshake(far));
    (near.expect("a client"), far.expect("a server"))
}

fn begin(connection: &mut Multiplexed, method: &str) -> Box<Strand> {
    let mut strand = connection.strand();
    let request = Request::builder().method(method).uri("/a?b").header("host", "app.example:8443");
    let request = request.header("content-length", "0").body(()).expect("a request");
    strand.begin(request.into_parts().0, sample().own(), RequestBody::Empty);
    strand
}

async fn next(server: &mut Server) -> (Request<RecvStream>, SendResponse<Bytes>) {
    server.accept().await.expect("a request").expect("a good one")
}

/// Lets a server write and read until its client has gone.
fn keep_serving(mut server: Server) {
    spawn_local(async move { while server.accept().await.is_some() {} });
}

/// Sends the request, whose answer is not there yet.
async fn sent(strand: &mut Strand) {
    poll_fn(|cx| {
        assert!(strand.poll_head(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// A client and a server with a way between them on which answers wait while `held`.
async fn far_apart(held: &Rc<Cell<bool>>) -> (Multiplexed, Server) {
    let (near, by_near) = UnixStream::pair().expect("a pair");
    let (by_far, far) = UnixStream::pair().expect("a pair");
    let (mut from_near, mut to_near) = by_near.into_split();
    let (mut from_far, mut to_far) = by_far.into_split();
    spawn_local(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
    let held = Rc::clone(held);
    spawn_local(async move {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_far.read(&mut buffer).await {
            while held.get() {
                tokio::task::yield_now().await;
            }
            to_near.write_all(&buffer[..count]).await.expect("written");
        }
    });
    let near = Multiplexed::open(UpstreamStream::Unix(near), 0);
    let (near, far) = tokio::join!(near, server::handshake(far));
    (near.expect("a client"), far.expect("a server"))
}

async fn turns(many: usize) {
    for _ in 0..many {
        tokio::task::yield_now().await;
    }
}

async fn head(strand: &mut Strand) -> Result<http::response::Parts, Fault> {
    poll_fn(|cx| strand.poll_head(cx)).await
}

/// The rest of a response: its bytes and its trailers.
async fn rest(strand: &mut Strand) -> Result<(Vec<u8>, HeaderMap), Fault> {
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|cx| strand.poll_body(cx)).await {
        match frame?.into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((body, trailers))
}

#[tokio::test]
async fn a_request_has_the_form_of_http2_and_nothing_of_the_connection_before() {
    local(async {
        let (mut connection, mut server) = connected().await;
        let mut strand = connection.strand();
        let request = Request::builder().uri("/a?b").header("host", "app.example:8443");
        let request = request.extension(TakesTrailers).body(()).expect("a request");
        strand.begin(request.into_parts().0, sample().own(), RequestBody::Empty);
        let asked = async {
            let (request, mut answer) = next(&mut server).await;
            assert_eq!(request.uri(), "http://app.example:8443/a?b");
            assert!(request.body().is_end_stream());
            let mut fields = sample().fields();
            fields.insert("te", HeaderValue::from_static("trailers"));
            assert_eq!(*request.headers(), fields);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            trailers.insert("content-type", HeaderValue::from_static("text/evil"));
            let mut body = answer.send_response(Response::new(()), false).expect("sent");
            body.send_data(Bytes::from_static(b"hello"), false).expect("sent");
            body.send_trailers(trailers).expect("sent");
            keep_serving(server);
        };
        let (answered, ()) = tokio::join!(head(&mut strand), asked);
        assert_eq!(answered.expect("an answer").status, 200);
        let (body, trailers) = rest(&mut strand).await.expect("a whole body");
        assert_eq!(body, b"hello");
        assert_eq!(trailers.len(), 1, "only what may follow a body: {trailers:?}");
        assert_eq!(trailers["grpc-status"], "0");
        assert!(strand.is_over());
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_a_body_is_over_with_its_head() {
    local(async {
        let (mut connection, mut server) = connected().await;
        let mut strand = begin(&mut connection, "POST");
        let asked = async {
            let (request, mut answer) = next(&mut server).await;
            assert_eq!(request.headers()["content-length"], "0");
            let only = Response::builder().header("grpc-status", "5").body(()).expect("a head");
            answer.send_response(only, true).expect("sent");
            keep_serving(server);
        };
        let (answered, ()) = tokio::join!(head(&mut strand), asked);
        assert_eq!(answered.expect("an answer").headers["grpc-status"], "5");
        assert!(strand.is_over());
        assert_eq!(strand.size_hint().exact(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn only_what_the_app_has_not_looked_at_is_sent_again_whatever_its_method() {
    for (method, reason, fault, may) in [
        ("POST", Reason::REFUSED_STREAM, Fault::Refused, true),
        ("GET", Reason::REFUSED_STREAM, Fault::Refused, true),
        ("POST", Reason::INTERNAL_ERROR, Fault::Reset(Reason::INTERNAL_ERROR), false),
    ] {
        local(async {
            let (mut connection, mut server) = connected().await;
            let mut strand = begin(&mut connection, method);
            let asked = async {
                let (_, mut answer) = next(&mut server).await;
                answer.send_reset(reason);
                keep_serving(server);
            };
            let (answered, ()) = tokio::join!(head(&mut strand), asked);
            assert_eq!(answered.err(), Some(fault));
            assert_eq!(strand.may_repeat(), may, "{method} {reason:?}");
            assert!(connection.is_open(), "one exchange is not the connection");
        })
        .await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word_leaves_it_open_what_the_app_has_seen() {
    for (method, may) in [("GET", true), ("POST", false)] {
        local(async {
            let (mut connection, server) = connected().await;
            let mut strand = begin(&mut connection, method);
            let asked = async {
                let mut server = server;
                drop(next(&mut server).await);
                drop(server);
            };
            let (answered, ()) = tokio::join!(head(&mut strand), asked);
            // The answer handle of a server that is dropped resets the stream before the connection ends.
            assert!(matches!(answered.err(), Some(Fault::Closed | Fault::Reset(_))));
            assert_eq!(strand.may_repeat(), may, "{method}");
            while connection.is_open() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_goaway_ends_what_was_not_looked_at_and_lets_the_rest_end_in_peace() {
    local(async {
        let (mut connection, mut server) = connected().await;
        let mut first = begin(&mut connection, "GET");
        let asked = async {
            let (_, mut answer) = next(&mut server).await;
            server.graceful_shutdown();
            keep_serving(server);
            answer.send_response(Response::new(()), false).expect("sent")
        };
        let (answered, mut body) = tokio::join!(head(&mut first), asked);
        answered.expect("an answer");
        while connection.is_open() {
            tokio::task::yield_now().await;
        }
        let mut second = begin(&mut connection, "POST");
        assert_eq!(head(&mut second).await.err(), Some(Fault::Closed));
        assert!(second.may_repeat(), "it was never sent");
        body.send_data(Bytes::from_static(b"late"), true).expect("sent");
        assert_eq!(rest(&mut first).await.expect("a whole body").0, b"late");
    })
    .await;
}

#[tokio::test]
async fn what_is_dropped_is_cancelled_at_the_app() {
    local(async {
        let (mut connection, mut server) = connected().await;
        let mut strand = begin(&mut connection, "GET");
        let asked = async {
            let (_, mut answer) = next(&mut server).await;
            keep_serving(server);
            answer.send_response(Response::new(()), false).expect("sent")
        };
        let (answered, mut body) = tokio::join!(head(&mut strand), asked);
        answered.expect("an answer");
        assert!(connection.exchanges() == 1);
        drop(strand);
        assert!(connection.exchanges() == 0);
        let reason = poll_fn(|cx| body.poll_reset(cx)).await.expect("a reset");
        assert_eq!(reason, Reason::CANCEL);
    })
    .await;
}

#[tokio::test]
async fn a_reset_inside_a_body_is_no_end() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        local(async {
            let (mut connection, mut server) = connected().await;
            let mut strand = begin(&mut connection, "GET");
            let asked = async {
                let (_, mut answer) = next(&mut server).await;
                let mut body = answer.send_response(Response::new(()), false).expect("sent");
                body.send_data(Bytes::from_static(b"half"), false).expect("sent");
                poll_fn(|cx| {
                    let _ = server.poll_closed(cx);
                    Poll::Ready(())
                })
                .await;
                body
            };
            let (answered, mut body) = tokio::join!(head(&mut strand), asked);
            answered.expect("an answer");
            body.send_reset(reason);
            keep_serving(server);
            assert_eq!(rest(&mut strand).await.err(), Some(Fault::Reset(reason)));
        })
        .await;
    }
}

#[tokio::test]
async fn an_app_runs_ahead_of_a_client_that_does_not_read_by_one_window() {
    local(async {
        let (mut connection, mut server) = connected().await;
        let mut strand = begin(&mut connection, "GET");
        let asked = async {
            let (_, mut answer) = next(&mut server).await;
            keep_serving(server);
            answer.send_response(Response::new(()), false).expect("sent")
        };
        let (answered, mut body) = tokio::join!(head(&mut strand), asked);
        answered.expect("an answer");
        let all = usize::try_from(STREAM_WINDOW).expect("it fits") * 3;
        let sent = Rc::new(std::cell::Cell::new(0));
        let theirs = Rc::clone(&sent);
        spawn_local(async move {
            while theirs.get() < all {
                body.reserve_capacity(all - theirs.get());
                let room = poll_fn(|cx| body.poll_capacity(cx)).await.expect("open").expect("open");
                let now = room.min(all - theirs.get());
                let end = theirs.get() + now == all;
                body.send_data(Bytes::from(vec![0; now]), end).expect("sent");
                theirs.set(theirs.get() + now);
            }
        });
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sent.get(), all / 3, "one window and not more");
        assert_eq!(rest(&mut strand).await.expect("a whole body").0.len(), all);
    })
    .await;
}

#[tokio::test]
async fn more_exchanges_than_the_app_takes_need_another_connection() {
    local(async {
        let (mut connection, mut server) =
            connected_to(server::Builder::new().max_concurrent_streams(2)).await;
        let mut first = begin(&mut connection, "GET");
        let asked = async {
            let (_, mut answer) = next(&mut server).await;
            answer.send_response(Response::new(()), true).expect("sent");
            keep_serving(server);
        };
        let (answered, ()) = tokio::join!(head(&mut first), asked);
        answered.expect("an answer, and the settings before it");
        drop(first);
        let one = begin(&mut connection, "GET");
        assert!(connection.has_room());
        let two = begin(&mut connection, "GET");
        assert!(!connection.has_room());
        drop((one, two));
        assert!(connection.has_room());
    })
    .await;
}

#[tokio::test]
async fn an_app_that_speaks_http1_is_told_by_name() {
    local(async {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let mut connection =
            Multiplexed::open(UpstreamStream::Unix(near), 0).await.expect("a client");
        let mut strand = begin(&mut connection, "GET");
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        let fault = head(&mut strand).await.expect_err("no HTTP/2");
        assert!(matches!(fault, Fault::NotHttp2(_)), "{fault}");
        assert!(fault.to_string().contains("leave h2 away"), "{fault}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_answer_a_ping_ends() {
    local(async {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let mut connection =
            Multiplexed::open(UpstreamStream::Unix(near), 0).await.expect("a client");
        let mut strand = begin(&mut connection, "GET");
        let began = tokio::time::Instant::now();
        // It takes everything and says nothing.
        let reading = async {
            let mut buffer = [0; 1024];
            while far.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        };
        let (answered, ()) = tokio::join!(head(&mut strand), async {
            tokio::select! { () = reading => {}, () = tokio::time::sleep(Duration::from_secs(120)) => {} }
        });
        assert_eq!(answered.err(), Some(Fault::Mute));
        assert!(began.elapsed() < Duration::from_secs(121));
        assert!(!connection.is_open());
    })
    .await;
}

#[tokio::test]
async fn a_connection_without_exchanges_grows_old_and_one_with_some_does_not() {
    local(async {
        let (mut connection, server) = connected().await;
        keep_serving(server);
        let strand = begin(&mut connection, "GET");
        assert!(connection.look(0, 1000));
        assert!(connection.look(9000, 1000), "in use");
        drop(strand);
        assert!(connection.look(9000, 1000), "idle since now");
        assert!(connection.look(9999, 1000));
        assert!(!connection.look(10_000, 1000));
    })
    .await;
}

#[tokio::test]
async fn clients_that_leave_do_not_end_the_connection_for_those_who_stay() {
    local(async {
        let held = Rc::<Cell<bool>>::default();
        let (mut connection, mut server) = far_apart(&held).await;
        let mut stays = begin(&mut connection, "POST");
        sent(&mut stays).await;
        let (_, mut answer) = next(&mut server).await;
        for _ in 0..3 {
            let (mut leaving, mut bodies) = (Vec::new(), Vec::new());
            while leaving.len() < 100 && connection.has_room() {
                let mut strand = begin(&mut connection, "GET");
                sent(&mut strand).await;
                leaving.push(strand);
                let (_, mut answer) = next(&mut server).await;
                held.set(true);
                let mut body = answer.send_response(Response::new(()), false).expect("sent");
                (0..12)
                    .for_each(|_| body.send_data(Bytes::from_static(b"x"), false).expect("sent"));
                bodies.push(body);
            }
            // Their answers are on the way when they leave.
            poll_fn(|cx| {
                let _ = server.poll_closed(cx);
                Poll::Ready(())
            })
            .await;
            turns(50).await;
            drop(leaving);
            turns(50).await;
            held.set(false);
            turns(200).await;
        }
        assert!(!connection.has_room(), "the next ones have another connection");
        assert!(connection.look(0, 1000), "this one is kept for who is on it");
        answer.send_response(Response::new(()), true).expect("sent");
        keep_serving(server);
        assert_eq!(head(&mut stays).await.map(|head| head.status.as_u16()), Ok(200));
        drop(stays);
        assert!(!connection.look(0, 1000), "nobody needs it any more");
    })
    .await;
}

#[tokio::test]
async fn a_204_has_no_length_whatever_the_app_says() {
    local(async {
        let (mut connection, mut server) = connected().await;
        let mut strand = begin(&mut connection, "GET");
        let asked = async {
            let (_, mut answer) = next(&mut server).await;
            let none = Response::builder().status(204).header("content-length", "5");
            let none = none.body(()).expect("a head");
            let mut body = answer.send_response(none, false).expect("sent");
            body.send_data(Bytes::from_static(b"HTTP/"), true).expect("sent");
            keep_serving(server);
        };
        let (answered, ()) = tokio::join!(head(&mut strand), asked);
        let answered = answered.expect("an answer");
        assert_eq!(answered.status, 204);
        assert!(answered.headers.is_empty(), "{:?}", answered.headers);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_needs_is_not_kept_by_an_app_that_does_not_read() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    local(async {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let connection = Multiplexed::open(UpstreamStream::Unix(near), 0).await.expect("a client");
        let writes = spawn_local(async move {
            far.write_all(&SETTINGS).await.expect("written");
            while far.write_all(&PING).await.is_ok() {}
        });
        // Time passes once nobody can write any more.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!writes.is_finished());
        drop(connection);
        let ended = tokio::time::timeout(Duration::from_secs(60), writes).await;
        ended.expect("it is closed").expect("the app");
    })
    .await;
}
