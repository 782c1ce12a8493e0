//! HTTP/1.1 messages, read to the letter.

use std::io::{self, BufRead};

/// A message: its first line, its fields as sent, its body without the framing.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// First line and fields, up to and without the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field, the first one of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn is_field(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
}

/// The first field `name` of a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let line = head.lines().skip(1).find(|line| is_field(line, name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// Everything up to the empty line, that included; `None` at the end of the connection.
pub fn read_head(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        if from.read_until(b'\n', &mut head)? == 0 {
            return if head.is_empty() {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        if matches!(&head[before..], b"\r\n" | b"\n") {
            return Ok(Some(head));
        }
    }
}

/// Passes the body that follows `head` to `take`; what arrives after a whole message stays unread.
pub fn read_body(
    from: &mut impl BufRead,
    head: &str,
    until_close: bool,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    if field(head, "transfer-encoding").is_some_and(|te| te.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = line.trim().split(';').next().unwrap_or_default().to_owned();
            let size = u64::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            copy(from, size, &mut take)?;
            let mut end = String::new();
            from.read_line(&mut end)?;
            if size == 0 {
                return Ok(());
            }
        }
    }
    match field(head, "content-length").and_then(|length| length.parse().ok()) {
        Some(length) => copy(from, length, &mut take),
        None if until_close => {
            let mut rest = Vec::new();
            from.read_to_end(&mut rest)?;
            take(&rest);
            Ok(())
        }
        None => Ok(()),
    }
}

fn copy(from: &mut impl BufRead, mut left: u64, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = from.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take(&buffer[..read]);
        left -= read as u64;
    }
    Ok(())
}

/// One response to `method`; interim ones (1xx but 101) are passed over.
pub fn read_answer(from: &mut impl BufRead, method: &str) -> io::Result<Answer> {
    loop {
        let head = read_head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8_lossy(&head).trim_end().to_owned();
        let status: u16 =
            head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("not a response: {head:?}"))
            })?;
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let mut body = Vec::new();
        if method != "HEAD" && !matches!(status, 101 | 204 | 304) {
            read_body(from, &head, true, |bytes| body.extend_from_slice(bytes))?;
        }
        return Ok(Answer { status, head, body });
    }
}
