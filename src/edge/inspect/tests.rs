//! Every rule once, and properties: what passes is what two other parsers read, splitting changes nothing, memory is
//! bounded.

use proptest::prelude::*;

use super::*;

#[path = "../../../tests/it/support/notation.rs"]
mod notation;

const LIMITS: Limits = Limits { head_max: 8192, fields_max: 20, uri_max: 1024 };

/// What came out of a gate.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Out {
    passed: Vec<u8>,
    heads: u64,
    refused: Option<Refused>,
    fault: Option<&'static str>,
}

/// Feeds the bytes in pieces of these sizes, in turn, as a connection would; an upgrade comes to nothing at once.
fn feed(bytes: &[u8], sizes: &[usize], limits: Limits) -> Out {
    let mut gate = Gate::new(limits);
    let mut out = Out::default();
    let mut rest = bytes;
    let mut sizes = sizes.iter().copied().cycle();
    loop {
        out.heads += gate.passed();
        out.refused = out.refused.or(gate.refused().map(|refused| *refused));
        let ready = gate.ready().to_vec();
        if !ready.is_empty() {
            let taken = ready.len().min(sizes.next().unwrap_or(1).max(1));
            out.passed.extend_from_slice(&ready[..taken]);
            gate.took(taken);
            continue;
        }
        if gate.is_held() && rest.is_empty() {
            gate.release();
            continue;
        }
        let wants = gate.wants();
        let room = match wants {
            Wants::Direct => usize::MAX,
            Wants::More(room) => room,
            Wants::Silence => break,
            Wants::Fault(rule) => {
                out.fault = Some(rule);
                break;
            }
        };
        let (piece, behind) =
            rest.split_at(sizes.next().unwrap_or(1).clamp(1, room.max(1)).min(rest.len()));
        if piece.is_empty() {
            break;
        }
        if room == 0 {
            gate.release();
            continue;
        }
        rest = behind;
        if wants == Wants::Direct {
            let pass = gate.look(piece);
            out.passed.extend_from_slice(&piece[..pass]);
        } else {
            gate.add(piece);
        }
        assert!(
            gate.kept_bytes() <= 4 * limits.head_max + 32 * 1024,
            "{} bytes",
            gate.kept_bytes()
        );
    }
    out
}

fn whole(bytes: &[u8]) -> Out {
    feed(bytes, &[usize::MAX], LIMITS)
}

fn denial(bytes: impl AsRef<[u8]>) -> Option<Denial> {
    whole(bytes.as_ref()).refused.map(|refused| refused.denial)
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
}

fn chunked(body: &str) -> String {
    format!("{}{body}", get("Transfer-Encoding: chunked\r\n"))
}

#[test]
fn requests_of_every_framing_pass_as_they_are() {
    let all = [
        get(""),
        get("Content-Length: 5\r\n") + "GET /",
        get("content-length:0\r\n"),
        chunked("5\r\nhello\r\n0\r\n\r\n"),
        chunked("5;a=b; c=\"d\"\r\nhello\r\n000A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY:\t2\r\n\r\n"),
        chunked("0\r\n\r\n"),
        get("tRANSFER-eNCODING:  Chunked  \r\n") + "1\r\nx\r\n0\r\n\r\n",
        "POST http://a.example/x?y HTTP/1.1\r\nHost: A.example\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx".into(),
        "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n".into(),
        "GET / HTTP/1.0\r\n\r\n".into(),
        "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n".into(),
        get("X: \t a\t\u{e9}b  \r\nEmpty:\r\n"),
        get("Upgrade: websocket\r\nConnection: upgrade\r\n") + &get(""),
    ];
    let stream = all.concat();
    let out = whole(stream.as_bytes());
    assert_eq!(String::from_utf8_lossy(&out.passed), stream);
    assert_eq!((out.heads, out.refused, out.fault), (14, None, None));
}

#[test]
fn a_request_line_has_one_form() {
    for line in [
        "\r\nGET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.x",
        "GET / HTTP/11",
        "GET / HTTP 1.1",
        "GET /",
        "GET",
        "G(T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET a.example HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "GET /%4 HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "GET / HTTP/1.1\rX: y",
    ] {
        let found = denial(format!("{line}\r\nHost: a.example\r\n\r\n"));
        assert!(matches!(found, Some(Denial::BadRequestLine { .. })), "{line:?}: {found:?}");
    }
    assert!(matches!(denial("GET / HTTP/1.1\nHost: a\n\n"), Some(Denial::BadRequestLine { .. })));
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.1", "HTTP/2.0x", "HTTP/1.9\u{0}"] {
        assert_eq!(denial(format!("PRI * {version}\r\n\r\n")), Some(Denial::UnknownVersion));
    }
    assert_eq!(denial("M".repeat(33)), Some(Denial::UnknownMethod));
    assert_eq!(denial(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(32))), None);
}

#[test]
fn a_field_has_one_form() {
    for field in [
        "Host : b",
        "X y: z",
        " X: y",
        "\tX: y",
        ": y",
        "X",
        "X\u{e9}: y",
        "X(: y",
        "X: a\r b",
        "X: a\0",
        "X: a\u{7f}",
        "X: a\u{1b}[0m",
        "X: a\u{b}b",
        "X: y\nZ: z",
        "X:\r\n y",
        "X\r\n: y",
        "\u{b}X: y",
        "X: a\r\r\nY: z",
        "\r",
    ] {
        let found = denial(get(&format!("{field}\r\n")));
        assert!(matches!(found, Some(Denial::BadField { .. })), "{field:?}: {found:?}");
    }
    let long = "x".repeat(257);
    assert!(matches!(denial(get(&format!("{long}: y\r\n"))), Some(Denial::BadField { .. })));
}

#[test]
fn a_request_names_one_host() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET http://b@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: b@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n",
    ] {
        assert_eq!(denial(head), Some(Denial::BadHost), "{head:?}");
    }
}

#[test]
fn the_end_of_a_body_is_said_once_and_clearly() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length: 00000000000000000005\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length:\t5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\tchunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chun ked\r\n",
    ] {
        let found = denial(get(fields));
        assert!(matches!(found, Some(Denial::BadFraming { .. })), "{fields:?}: {found:?}");
    }
    assert_eq!(denial(get("Transfer-Encoding: gzip, chunked\r\n")), Some(Denial::UnknownCoding));
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(matches!(denial(old), Some(Denial::BadFraming { .. })));
    assert_eq!(denial(get("Expect: 200-ok\r\n")), Some(Denial::UnknownExpectation));
    assert_eq!(denial(get("Expect: 100-continue, x\r\n")), Some(Denial::UnknownExpectation));
    let most = get("Content-Length: 9999999999999999999\r\n");
    assert_eq!(whole(most.as_bytes()).heads, 1);
}

#[test]
fn chunks_keep_to_their_sizes_and_lines() {
    let long = "x".repeat(257);
    let many = format!("1;{}\r\nx\r\n", "e".repeat(255)).repeat(65);
    let fields = "x: y\r\n".repeat(21);
    for body in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\nx\r\n",
        " 1\r\nx\r\n",
        "1 \r\nx\r\n",
        "1\nx\r\n",
        "1\r\nx\n",
        "1\r\nxy\r\n",
        "1\r\nx\r\r\n",
        "00000000000000001\r\nx\r\n",
        "1;a\nb\r\nx\r\n",
        "1;a\rb\r\nx\r\n",
        "1;\u{1}\r\nx\r\n",
        "1;\u{e9}\r\nx\r\n",
        ";a\r\n",
        "1,2\r\n",
        &format!("1;{long}\r\n"),
        &many,
        "0\r\n x: y\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
        "0\r\nHost: b\r\n\r\n",
        "0\r\nCookie: a\r\n\r\n",
        "0\r\nAuthorization: x\r\n\r\n",
        "0\r\nConnection: close\r\n\r\n",
        &format!("0\r\n{fields}\r\n"),
        &format!("0\r\nX: {}\r\n\r\n", "y".repeat(8192)),
    ] {
        let stream = chunked(body) + &get("");
        let out = whole(stream.as_bytes());
        assert!(out.fault.is_some(), "{body:?}");
        assert_eq!(out.heads, 1, "nothing behind it: {body:?}");
    }
    let out = whole(chunked("ffffffffffffffff\r\nx").as_bytes());
    assert_eq!((out.heads, out.fault), (1, None), "a chunk of the largest size may begin");
}

#[test]
fn sizes_are_kept_to_the_byte() {
    let padded = |bytes: usize| {
        let head = get("X: \r\n");
        get(&format!("X: {}\r\n", "x".repeat(bytes - head.len())))
    };
    assert_eq!(denial(padded(8192)), None);
    assert_eq!(denial(padded(8193)), Some(Denial::HeadTooLarge { head_max: 8192 }));
    assert_eq!(
        denial("GET /".to_owned() + &"a".repeat(9000)),
        Some(Denial::UriTooLong { uri_bytes: 8188 })
    );
    let target =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(bytes - 1));
    assert_eq!(denial(target(1024)), None);
    assert_eq!(denial(target(1025)), Some(Denial::UriTooLong { uri_bytes: 1025 }));
    let absolute = target(1024).replace(" /", " http://a/");
    assert_eq!(denial(absolute), None, "the authority does not count");
    assert_eq!(denial(get(&"x: y\r\n".repeat(19))), None);
    assert_eq!(denial(get(&"x: y\r\n".repeat(20))), Some(Denial::TooManyFields { fields_max: 20 }));
}

#[test]
fn a_refused_head_tells_the_log_what_could_be_read() {
    let head =
        "POST /a?b HTTP/1.1\r\nAccept: application/json\r\nX : y\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let out = whole(head.as_bytes());
    let refused = out.refused.expect("refused");
    assert_eq!(refused.method, Some(http::Method::POST));
    assert_eq!(refused.target.expect("a target").as_str(), "/a?b");
    assert_eq!(refused.accept.expect("accept"), "application/json");
    assert_eq!(out.passed, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(out.heads, 0);
    let head = whole(b"HEAD / HTTP/1.1\r\n\r\n");
    assert!(head.passed.starts_with(b"HEAD / "), "its answer has no body");
}

#[test]
fn requests_before_a_bad_one_go_on() {
    let stream = get("") + &get("Content-Length: 2\r\n") + "ab" + "bad\r\n" + &get("");
    let out = whole(stream.as_bytes());
    assert_eq!(out.heads, 2);
    let good = stream.split("bad").next().expect("text");
    assert!(out.passed.starts_with(good.as_bytes()));
    assert_eq!(
        &out.passed[good.len()..],
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn nothing_behind_a_request_for_an_upgrade_passes_before_it_is_decided() {
    let upgrade = get("Connection: upgrade\r\nUpgrade: websocket\r\n");
    let mut gate = Gate::new(LIMITS);
    let both = upgrade.clone() + "GET / HTTP/1.1\r\nHo";
    assert_eq!(gate.look(both.as_bytes()), upgrade.len());
    assert_eq!(gate.ready(), b"");
    assert!(gate.is_held() && gate.wants() == Wants::More(16 * 1024 - 18));
    gate.add(b"st: a\r\n\r\n");
    assert_eq!(gate.ready(), b"");
    gate.release();
    assert_eq!(gate.ready(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut gate = Gate::new(LIMITS);
    gate.look(&[upgrade.as_bytes(), &[0xff; 20_000]].concat());
    assert_eq!(gate.wants(), Wants::More(0));
    assert_eq!(gate.into_held(), [0xff; 20_000]);
    for not in [
        "GET / HTTP/1.0\r\nUpgrade: x\r\n\r\n".to_owned(),
        get("Upgrade: x\r\nContent-Length: 1\r\n"),
    ] {
        let mut gate = Gate::new(LIMITS);
        gate.look(not.as_bytes());
        assert!(!gate.is_held(), "{not}");
    }
    let mut gate = Gate::new(LIMITS);
    gate.look(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nbytes");
    assert!(gate.is_held());
}

#[test]
fn a_gate_with_nothing_to_keep_keeps_no_memory() {
    let mut gate = Gate::new(LIMITS);
    gate.look(b"GET / HT");
    assert!(gate.has_half_head() && gate.kept_bytes() > 0);
    gate.add(b"TP/1.1\r\nHost: a\r\n\r\n");
    gate.took(5);
    gate.took(gate.ready().len());
    assert!(gate.is_between());
    assert_eq!(gate.kept_bytes(), 0);
}

/// Pieces that requests and attacks are made of.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(get("")),
        2 => Just(get("Content-Length: 5\r\n") + "hello"),
        2 => Just(chunked("5\r\nhello\r\n0\r\n\r\n")),
        1 => Just(chunked("3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")),
        1 => Just(get("Connection: upgrade\r\nUpgrade: websocket\r\n")),
        1 => Just("POST http://a.example/b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n".to_owned()),
        1 => Just("GET /?a=b&c[]={d} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned()),
        1 => Just("OPTIONS * HTTP/1.1\r\nHost: a.example:443\r\nX-Y: \t1  2\t\r\n\r\n".to_owned()),
    ];
    proptest::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat().into_bytes())
}

/// One change to a stream of requests.
fn change() -> impl Strategy<Value = (usize, u8, Vec<u8>)> {
    let text = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 1..3),
        3 => proptest::sample::select(vec![
            "\r", "\n", "\r\n", " ", "\t", "\0", ":", ";", ",", "\u{b}", "0", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: x\r\n", "Host: b\r\n", "Expect: 100-continue\r\n", "Upgrade: h2c\r\n", "%2f", "%", "#", "HTTP/1.0", "//", "\\", "_",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    (any::<usize>(), 0..3_u8, text)
}

fn mutated(mut bytes: Vec<u8>, changes: &[(usize, u8, Vec<u8>)]) -> Vec<u8> {
    for (at, kind, text) in changes {
        let at = at % (bytes.len() + 1);
        let removed = match kind {
            0 => 0,
            1 => text.len(),
            _ => 1,
        };
        let end = (at + removed).min(bytes.len());
        let text = if *kind == 2 { &[][..] } else { text };
        bytes.splice(at..end, text.iter().copied());
    }
    bytes
}

/// Reads what passed as httparse and the `http` crate read it, which is how hyper reads it.
fn read_by_others(mut rest: &[u8]) -> Result<u64, String> {
    let mut heads = 0;
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(rest) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Err("half a head".into()),
            Err(error) => return Err(error.to_string()),
        };
        http::Method::from_bytes(request.method.unwrap_or_default().as_bytes())
            .map_err(|e| e.to_string())?;
        let uri: Uri = request.path.unwrap_or_default().parse().map_err(|e| format!("{e}"))?;
        let line = format!(
            "{} {} HTTP/1.{}\r\n",
            request.method.unwrap_or_default(),
            request.path.unwrap_or_default(),
            request.version.unwrap_or(9)
        );
        if !rest.starts_with(line.as_bytes()) {
            return Err(format!("another request line: {line}"));
        }
        let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
        if request.path.is_some_and(|sent| sent.starts_with('/') && sent != path) {
            return Err(format!("another path: {path}"));
        }
        let (mut length_field, mut te, mut hosts) = (None, 0, 0);
        for field in request.headers.iter() {
            http::HeaderName::from_bytes(field.name.as_bytes()).map_err(|e| e.to_string())?;
            HeaderValue::from_bytes(field.value).map_err(|e| e.to_string())?;
            let value = String::from_utf8_lossy(field.value);
            match field.name.to_ascii_lowercase().as_str() {
                "content-length" if length_field.is_some() => return Err("two lengths".into()),
                "content-length" => {
                    length_field = Some(value.parse::<u64>().map_err(|e| e.to_string())?)
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => te += 1,
                "transfer-encoding" => return Err(format!("coding {value:?}")),
                "host" => hosts += 1,
                _ => {}
            }
        }
        if te > 1
            || (te == 1 && length_field.is_some())
            || hosts > 1
            || (hosts == 0 && request.version == Some(1))
        {
            return Err("ambiguous".into());
        }
        heads += 1;
        rest = &rest[length..];
        if te == 1 {
            match chunked_by_others(rest)? {
                Some(behind) => rest = behind,
                None => break,
            }
        } else {
            let body = usize::try_from(length_field.unwrap_or(0)).unwrap_or(usize::MAX);
            rest = rest.get(body..).unwrap_or_default();
        }
    }
    Ok(heads)
}

/// What follows a chunked body; `None` if it has not ended.
fn chunked_by_others(mut rest: &[u8]) -> Result<Option<&[u8]>, String> {
    loop {
        let (start, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("chunk size".into()),
        };
        rest = &rest[start..];
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            return match httparse::parse_headers(rest, &mut fields) {
                Ok(httparse::Status::Complete((length, _))) => Ok(rest.get(length..)),
                Ok(httparse::Status::Partial) => Ok(None),
                Err(error) => Err(error.to_string()),
            };
        }
        let size = usize::try_from(size).map_err(|e| e.to_string())?;
        let Some(behind) = rest.get(size..) else { return Ok(None) };
        match behind {
            [b'\r', b'\n', behind @ ..] => rest = behind,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("chunk end".into()),
        }
    }
}

/// What clients send in `tests/fixtures/http`.
fn corpus() -> Vec<Vec<u8>> {
    let files = [
        include_str!("../../../tests/fixtures/http/framing.txt"),
        include_str!("../../../tests/fixtures/http/chunks.txt"),
        include_str!("../../../tests/fixtures/http/lines.txt"),
        include_str!("../../../tests/fixtures/http/targets.txt"),
    ];
    let lines = files.iter().flat_map(|file| file.lines());
    let sent: Vec<_> =
        lines.filter_map(|line| line.strip_prefix("send ")).map(notation::unescaped).collect();
    assert!(sent.len() > 100);
    sent.into_iter().filter(|bytes| bytes.len() < 4000).collect()
}

fn same_however_it_is_split(bytes: &[u8], sizes: &[usize]) {
    let whole = feed(bytes, &[usize::MAX], LIMITS);
    for sizes in [sizes, &[1], &[2]] {
        let split = feed(bytes, sizes, LIMITS);
        let text = String::from_utf8_lossy(bytes);
        assert_eq!((split.heads, split.fault), (whole.heads, whole.fault), "{text:?}");
        // How much of a broken line went on before its fault depends on the pieces; nobody reads a request there.
        assert!(whole.fault.is_some() || split.passed == whole.passed, "{text:?}");
        let told = |out: &Out| {
            out.refused.as_ref().map(|r| (r.denial.clone(), r.method.clone(), r.target.clone()))
        };
        assert_eq!(told(&split), told(&whole), "{text:?}");
    }
}

fn read_alike_by_others(bytes: &[u8]) {
    let out = feed(bytes, &[usize::MAX], LIMITS);
    let text = String::from_utf8_lossy(bytes);
    if out.fault.is_none() {
        let stand_ins = u64::from(out.refused.is_some());
        assert_eq!(read_by_others(&out.passed), Ok(out.heads + stand_ins), "{text:?}");
    }
    assert!(out.refused.is_some() || bytes.starts_with(&out.passed), "{text:?}");
}

#[test]
fn every_request_of_the_corpus_is_judged_alike_however_it_is_split() {
    for bytes in corpus() {
        same_however_it_is_split(&bytes, &[3, 1, 7]);
        read_alike_by_others(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_passes_is_read_in_the_same_way_by_others(stream in pieces(), changes in proptest::collection::vec(change(), 0..4)) {
        read_alike_by_others(&mutated(stream, &changes));
    }

    #[test]
    fn splitting_changes_nothing(stream in pieces(), changes in proptest::collection::vec(change(), 0..3), sizes in proptest::collection::vec(1..40_usize, 1..8)) {
        same_however_it_is_split(&mutated(stream, &changes), &sizes);
    }

    #[test]
    fn changes_of_the_corpus_are_judged_alike_by_everybody(case in proptest::sample::select(corpus()), changes in proptest::collection::vec(change(), 1..4), sizes in proptest::collection::vec(1..40_usize, 1..8)) {
        let bytes = mutated(case, &changes);
        same_however_it_is_split(&bytes, &sizes);
        read_alike_by_others(&bytes);
    }

    #[test]
    fn any_bytes_are_judged_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..10_000), sizes in proptest::collection::vec(1..5000_usize, 1..4)) {
        feed(&bytes, &sizes, Limits { head_max: 8192, fields_max: 10, uri_max: 256 });
    }
}
