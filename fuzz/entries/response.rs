//! What an app answers: any bytes are read the same whole and in pieces, and never more comes out than went in.
//!
//! The first byte chooses the method that is answered and the size of the pieces.

use bytes::BufMut;
use palisade::edge::upstream::Fault;
use palisade::edge::upstream::incoming::{Incoming, Piece};

/// Shorter inputs are split in two at every place.
const EVERY_SPLIT_MAX: usize = 200;

type Fields = Vec<(String, Vec<u8>)>;

#[derive(Debug, Default, PartialEq)]
struct Read {
    status: Option<u16>,
    fields: Fields,
    body: Vec<u8>,
    trailers: Fields,
    fault: Option<Fault>,
}

fn list(headers: &http::HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn take(incoming: &mut Incoming, read: &mut Read) -> Result<(), Fault> {
    if read.status.is_none() {
        let Some(head) = incoming.head()? else { return Ok(()) };
        read.status = Some(head.status.as_u16());
        read.fields = list(&head.headers);
    }
    while let Piece::Frame(frame) = incoming.body()? {
        match frame.into_data() {
            Ok(data) => read.body.extend_from_slice(&data),
            Err(frame) => read.trailers = frame.trailers_ref().map(list).unwrap_or_default(),
        }
    }
    Ok(())
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, to_head: bool) -> Read {
    let mut incoming = Incoming::default();
    incoming.begin(to_head, http::HeaderMap::new());
    let mut read = Read::default();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        incoming.room().put_slice(piece);
        incoming.filled(piece.len());
        if let Err(fault) = take(&mut incoming, &mut read) {
            read.fault = Some(fault);
            return read;
        }
        if read.status.is_some() && incoming.is_over() {
            return read;
        }
    }
    read.fault = incoming.closed(true).err();
    read
}

pub fn run(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let to_head = how & 1 == 1;
    let whole = read([bytes], to_head);
    assert!(whole.body.len() <= bytes.len());
    assert_eq!(read(bytes.chunks(usize::from(how >> 1) + 1), to_head), whole);
    if bytes.len() <= EVERY_SPLIT_MAX {
        for cut in 1..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(read([first, second], to_head), whole, "cut behind {cut} bytes");
        }
    }
}
