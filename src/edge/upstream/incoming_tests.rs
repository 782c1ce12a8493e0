//! Responses out of bytes: whole ones for every splitting, broken ones refused, none that panics or grows.

use bytes::BufMut;
use proptest::prelude::*;

use super::fault::Fault;
use super::head::{FIELDS_MAX, HEAD_MAX};
use super::incoming::{Incoming, Piece};

/// Everything that reading told, and how it ended.
#[derive(Debug, Default, Clone, PartialEq)]
struct Read {
    status: Option<u16>,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    fault: Option<Fault>,
    clean: bool,
}

fn list(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// Takes what there is to take. `true` once the response is over.
fn take(incoming: &mut Incoming, read: &mut Read) -> Result<bool, Fault> {
    if read.status.is_none() {
        let Some(head) = incoming.head()? else { return Ok(false) };
        read.status = Some(head.status.as_u16());
        read.fields = list(&head.headers);
    }
    loop {
        match incoming.body()? {
            Piece::More => return Ok(false),
            Piece::End => return Ok(true),
            Piece::Frame(frame) => match frame.into_data() {
                Ok(data) => read.body.extend_from_slice(&data),
                Err(frame) => read.trailers = list(frame.trailers_ref().expect("no data")),
            },
        }
    }
}

/// Reads one response that comes in `pieces`, then the end of the connection.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, to_head: bool) -> Read {
    let mut incoming = Incoming::default();
    incoming.begin(to_head, http::HeaderMap::new());
    let mut read = Read::default();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        incoming.room().put_slice(piece);
        incoming.filled(piece.len());
        // A response that is over is asked no more: what comes then is surplus.
        if read.fault.is_none() && !(read.status.is_some() && incoming.is_over()) {
            read.fault = take(&mut incoming, &mut read).err();
        }
    }
    read.clean = read.fault.is_none() && read.status.is_some() && incoming.is_clean();
    if read.fault.is_none() {
        read.fault = incoming.closed(true).err();
    }
    read
}

fn whole(bytes: &[u8]) -> Read {
    read([bytes], false)
}

/// Cuts `bytes` behind every place in `cuts`.
fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let (mut pieces, mut from) = (Vec::new(), 0);
    for at in cuts.into_iter().chain([bytes.len()]).filter(|at| *at > 0) {
        if at > from {
            pieces.push(&bytes[from..at]);
            from = at;
        }
    }
    pieces
}

#[test]
fn a_length_ends_the_body_and_the_connection_is_good_for_more() {
    let answer = whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a:2 \r\n\r\nok");
    assert_eq!(
        (answer.status, answer.body.as_slice(), answer.fault),
        (Some(200), &b"ok"[..], None)
    );
    let fields = [("content-length", "2"), ("x-a", "1"), ("x-a", "2")];
    assert_eq!(answer.fields, fields.map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec())));
    assert!(answer.clean);
    assert!(!whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!").clean, "surplus");
}

#[test]
fn what_has_no_body_has_none_whatever_its_fields_say() {
    for head in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let answer = whole(head.as_bytes());
        assert_eq!((answer.fault, answer.clean, answer.body.len()), (None, true, 0), "{head}");
    }
    let with_length = b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(whole(with_length).fields, [], "a 204 has no length");
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let answer = read([head.as_bytes()], true);
        assert_eq!((answer.fault, answer.clean), (None, true), "{head}");
    }
}

#[test]
fn chunks_end_with_the_empty_one_and_trailers_are_kept() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let answer = whole(
        [head, "5;a=\"b\"\r\nhello\r\n1 \r\n \r\n06\r\nworld!\r\n0\r\nX-End: 1\r\nHost: a\r\n\r\n"]
            .concat()
            .as_bytes(),
    );
    assert_eq!(
        (answer.body.as_slice(), answer.fault, answer.clean),
        (&b"hello world!"[..], None, true)
    );
    assert_eq!(answer.trailers, [("x-end".to_owned(), b"1".to_vec())]);
    for broken in [
        "g\r\n",
        "\r\n",
        "-1\r\na",
        "+1\r\na",
        "0x1\r\na",
        "1\na",
        "1\r\nab\r\n",
        "1\r\na\n",
        "1 2\r\na",
        "1;\u{1}\r\na",
        "11111111111111111\r\na",
        "1\r\na\r\n\r\n",
        " 1\r\na",
    ] {
        assert_eq!(
            whole([head, broken].concat().as_bytes()).fault,
            Some(Fault::Chunk),
            "{broken:?}"
        );
    }
    for broken in
        ["0\r\na\n\r\n", "0\r\nno colon\r\n\r\n", "0\r\n a: b\r\n\r\n", "0\r\na : b\r\n\r\n"]
    {
        let fault = whole([head, broken].concat().as_bytes()).fault;
        assert_eq!(fault, Some(Fault::Trailers), "{broken:?}");
    }
    for cut in [
        "",
        "5",
        "5\r\n",
        "5\r\nhell",
        "5\r\nhello",
        "5\r\nhello\r\n",
        "0\r\n",
        "0\r\n\r",
        "0\r\nA: b\r\n",
    ] {
        let fault = whole([head, cut].concat().as_bytes()).fault;
        assert_eq!(fault, Some(Fault::CutBody), "{cut:?}");
    }
}

#[test]
fn what_two_readers_could_understand_differently_is_no_response() {
    for (head, fault) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            Fault::LengthAndCoding,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", Fault::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n", Fault::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n", Fault::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Fault::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", Fault::Length),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Fault::Coding),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            Fault::Coding,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Fault::Coding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::CodingInOld),
        ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", Fault::BareLf),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", Fault::BareLf),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", Fault::BareLf),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", Fault::Field),
        ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", Fault::Field),
        ("HTTP/1.1 200 OK\r\n X: a\r\n\r\n", Fault::Field),
        ("HTTP/1.1 200 OK\r\nX: a\u{0}b\r\n\r\n", Fault::Field),
        ("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", Fault::Field),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Fault::Field),
        ("HTTP/1.1 20 OK\r\n\r\n", Fault::NotHttp),
        ("HTTP/1.1 099 OK\r\n\r\n", Fault::NotHttp),
        ("HTTP/2.0 200 OK\r\n\r\n", Fault::NotHttp),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::NotHttp),
        ("ICY 200 OK\r\n\r\n", Fault::NotHttp),
        ("H", Fault::CutHead),
        ("HTTP/1.1 200 OK\r\n", Fault::CutHead),
        ("HTTP/1.1 100 Continue\r\n\r\n", Fault::CutHead),
        ("", Fault::Closed),
    ] {
        assert_eq!(whole(head.as_bytes()).fault, Some(fault), "{head:?}");
        assert_eq!(read(head.as_bytes().chunks(1), false).fault, Some(fault), "bytewise {head:?}");
    }
    let same = whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(same.fields, [("content-length".to_owned(), b"2".to_vec())]);
}

#[test]
fn a_close_and_an_old_version_end_the_connection_with_the_response() {
    let body = "Content-Length: 0\r\n\r\n";
    for (head, clean) in [
        ("HTTP/1.1 200 OK\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n", false),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n", false),
        ("HTTP/1.0 200 OK\r\n", false),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", true),
    ] {
        assert_eq!(whole([head, body].concat().as_bytes()).clean, clean, "{head}");
    }
    let until_close = whole(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nall of it");
    assert_eq!((until_close.body.as_slice(), until_close.clean), (&b"all of it"[..], false));
    let mut incoming = Incoming::default();
    incoming.begin(false, http::HeaderMap::new());
    incoming.room().put_slice(b"HTTP/1.1 200 OK\r\n\r\nsome of it");
    take(&mut incoming, &mut Read::default()).expect("so far good");
    assert_eq!(incoming.closed(false), Err(Fault::CutBody), "a reset is no end");
}

#[test]
fn heads_fields_interim_answers_and_lines_are_bounded() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(HEAD_MAX));
    assert_eq!(whole(long.as_bytes()).fault, Some(Fault::HeadTooLong));
    let many = |count| format!("HTTP/1.1 204 No\r\n{}\r\n", "X: a\r\n".repeat(count));
    assert_eq!(whole(many(FIELDS_MAX).as_bytes()).fault, None);
    assert_eq!(whole(many(FIELDS_MAX + 1).as_bytes()).fault, Some(Fault::TooManyFields));
    let flood = |count| "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count) + &many(1);
    assert_eq!(whole(flood(16).as_bytes()).fault, None);
    assert_eq!(whole(flood(17).as_bytes()).fault, Some(Fault::InterimFlood));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let line = format!("{chunked}1;{}", "a".repeat(1024));
    assert_eq!(whole(line.as_bytes()).fault, Some(Fault::Chunk));
    let trailers = format!("{chunked}0\r\nX: {}", "a".repeat(16 * 1024));
    assert_eq!(whole(trailers.as_bytes()).fault, Some(Fault::Trailers));
}

#[test]
fn an_upgrade_hands_over_what_came_behind_it() {
    let mut incoming = Incoming::default();
    incoming.begin(false, http::HeaderMap::new());
    incoming.room().put_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x81\x00");
    assert_eq!(incoming.head().expect("a head").expect("whole").status, 101);
    assert!(!incoming.is_clean());
    assert_eq!(incoming.into_rest(), &b"\x81\x00"[..]);
}

#[test]
fn a_buffer_is_given_back_only_when_nothing_is_in_it() {
    let mut incoming = Incoming::default();
    incoming.begin(false, http::HeaderMap::new());
    incoming.room().put_slice(b"HTTP/1.1 204 No Content\r\n\r\nsurplus");
    take(&mut incoming, &mut Read::default()).expect("good");
    incoming.rest();
    assert!(!incoming.is_clean(), "the surplus is not forgotten");
}

/// A body as an app may send it, and what it is to arrive as.
#[derive(Debug, Clone)]
enum Sent {
    Length(Vec<u8>),
    Chunks(Vec<Vec<u8>>, bool),
    UntilClose(Vec<u8>),
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..max)
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        bytes(300).prop_map(Sent::Length),
        (proptest::collection::vec(bytes(60), 0..6), any::<bool>())
            .prop_map(|(chunks, trailers)| Sent::Chunks(chunks, trailers)),
        bytes(300).prop_map(Sent::UntilClose),
    ]
}

/// The response on the wire, and its body.
fn wire(sent: &Sent, interim: bool) -> (Vec<u8>, Vec<u8>) {
    let mut wire = if interim { b"HTTP/1.1 100 Continue\r\n\r\n".to_vec() } else { Vec::new() };
    wire.extend_from_slice(b"HTTP/1.1 200 Fine\r\nX-App: yes\r\n");
    let body = match sent {
        Sent::Length(body) => {
            wire.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            wire.extend_from_slice(body);
            body.clone()
        }
        Sent::UntilClose(body) => {
            wire.extend_from_slice(b"\r\n");
            wire.extend_from_slice(body);
            body.clone()
        }
        Sent::Chunks(chunks, trailers) => {
            wire.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            let end = if *trailers { "0\r\nX-End: yes\r\n\r\n" } else { "0\r\n\r\n" };
            wire.extend_from_slice(end.as_bytes());
            chunks.concat()
        }
    };
    (wire, body)
}

proptest! {
    #[test]
    fn a_response_is_the_same_for_every_splitting(
        sent in sent(),
        interim in any::<bool>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let (wire, body) = wire(&sent, interim);
        let answer = read(cut(&wire, &cuts), false);
        prop_assert_eq!(&answer, &whole(&wire));
        prop_assert_eq!(&answer, &read(wire.chunks(1), false));
        prop_assert_eq!((answer.status, answer.fault, answer.body), (Some(200), None, body));
        prop_assert_eq!(answer.clean, !matches!(sent, Sent::UntilClose(_)));
        prop_assert_eq!(!answer.trailers.is_empty(), matches!(sent, Sent::Chunks(_, true)));
    }

    #[test]
    fn a_response_that_is_cut_anywhere_is_never_whole(sent in sent(), at in any::<usize>()) {
        let (wire, _) = wire(&sent, false);
        let cut = whole(&wire[..at % wire.len()]);
        match sent {
            Sent::UntilClose(_) => prop_assert!(!cut.clean),
            _ => prop_assert!(cut.fault.is_some()),
        }
    }

    #[test]
    fn any_bytes_are_read_the_same_in_one_piece_and_in_many(
        sent in sent(),
        edits in proptest::collection::vec((any::<usize>(), prop_oneof![
            Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(b','), Just(b'0'), Just(0), any::<u8>(),
        ], any::<bool>()), 0..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
        to_head in any::<bool>(),
    ) {
        let (mut wire, _) = wire(&sent, true);
        for (at, byte, insert) in edits {
            let at = at % wire.len();
            if insert { wire.insert(at, byte) } else { wire[at] = byte }
        }
        let one = read([wire.as_slice()], to_head);
        prop_assert_eq!(&read(cut(&wire, &cuts), to_head), &one);
        prop_assert_eq!(&read(wire.chunks(1), to_head), &one);
    }
}
