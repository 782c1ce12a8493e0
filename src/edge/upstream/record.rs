//! What was last written to an upstream, kept so that it can be written again to another connection.
//!
//! Copying the bytes of a head costs a fraction of copying its header map, and a second try is rare: only then are they
//! parsed. Bounds: [`HEAD_MAX`] bytes, [`FIELDS_MAX`] fields; what is larger is not sent twice.

use std::cell::RefCell;
use std::rc::Rc;

use http::{HeaderName, HeaderValue, Method, Request, Uri};

use crate::edge::body::RequestBody;

const HEAD_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 256;

/// The bytes of one request head; both ends of a connection hold it.
#[derive(Debug, Clone, Default)]
pub struct Record(Rc<RefCell<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    on: bool,
    bytes: Vec<u8>,
}

impl Record {
    /// Begins anew, or stops.
    pub fn start(&self, on: bool) {
        let mut recorded = self.0.borrow_mut();
        recorded.on = on;
        recorded.bytes.clear();
    }

    /// Called with what was written.
    pub fn wrote(&self, bytes: &[u8]) {
        let mut recorded = self.0.borrow_mut();
        if !recorded.on {
            return;
        }
        if recorded.bytes.len() + bytes.len() > HEAD_MAX {
            recorded.on = false;
            recorded.bytes = Vec::new();
        } else {
            recorded.bytes.extend_from_slice(bytes);
        }
    }

    /// The request again, if its whole head was recorded.
    pub fn request(&self) -> Option<Request<RequestBody>> {
        let recorded = self.0.borrow();
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Request::new(&mut fields);
        if !recorded.on || !head.parse(&recorded.bytes).is_ok_and(|status| status.is_complete()) {
            return None;
        }
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
        *request.uri_mut() = head.path?.parse::<Uri>().ok()?;
        for field in head.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was_written_in_pieces() {
        let record = Record::default();
        record.start(true);
        record.wrote(b"GET /a?b=c HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\n");
        assert!(record.request().is_none(), "it is not complete");
        record.wrote(b"x-a: 2\r\n\r\n");
        let request = record.request().expect("complete");
        assert_eq!(
            (request.method(), request.uri().to_string().as_str()),
            (&Method::GET, "/a?b=c")
        );
        let values: Vec<_> = request.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(request.headers().len(), 3);
    }

    #[test]
    fn nothing_comes_back_of_what_was_not_to_be_recorded_or_is_too_long() {
        let record = Record::default();
        record.start(false);
        record.wrote(b"POST / HTTP/1.1\r\n\r\n");
        assert!(record.request().is_none());
        record.start(true);
        record.wrote(&vec![b'a'; HEAD_MAX + 1]);
        record.wrote(b"GET / HTTP/1.1\r\n\r\n");
        assert!(record.request().is_none());
    }
}
