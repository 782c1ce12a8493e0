//! The notation of `tests/fixtures/http`, told in its README. Read by the tests beside the inspector as well.

/// The bytes that a text in the notation stands for.
pub fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (kind, behind) = behind.split_at(1);
        rest = behind;
        match kind {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "t" => out.push(b'\t'),
            "0" => out.push(0),
            "\\" => out.push(b'\\'),
            "H" => out.extend_from_slice(b"Host: app.localhost\r\n"),
            "x" => {
                let (digits, behind) = behind.split_at(2);
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = behind;
            }
            "{" => {
                let (repeat, behind) = behind.split_once('}').unwrap();
                let (count, what) = repeat.split_once('*').unwrap();
                out.extend(unescaped(what).repeat(count.parse().unwrap()));
                rest = behind;
            }
            _ => panic!("\\{kind} in {text}"),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
