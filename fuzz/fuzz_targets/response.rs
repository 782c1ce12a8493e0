//! What an app answers: any bytes are read the same whole and in pieces, and never more comes out than went in.
//!
//! The first byte chooses the method that is answered and the size of the pieces.
#![no_main]

use bytes::BufMut;
use libfuzzer_sys::fuzz_target;
use palisade::edge::upstream::Fault;
use palisade::edge::upstream::incoming::{Incoming, Piece};

#[derive(Debug, Default, PartialEq)]
struct Read {
    status: Option<u16>,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    fault: Option<Fault>,
}

fn take(incoming: &mut Incoming, read: &mut Read) -> Result<(), Fault> {
    if read.status.is_none() {
        let Some(head) = incoming.head()? else { return Ok(()) };
        read.status = Some(head.status.as_u16());
        for (name, value) in &head.headers {
            read.fields.push((name.to_string(), value.as_bytes().to_vec()));
        }
    }
    while let Piece::Frame(frame) = incoming.body()? {
        read.body.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    Ok(())
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, to_head: bool) -> Read {
    let mut incoming = Incoming::default();
    incoming.begin(to_head, http::HeaderMap::new());
    let mut read = Read::default();
    for piece in pieces {
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

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let to_head = how & 1 == 1;
    let whole = read(std::iter::once(bytes).filter(|bytes| !bytes.is_empty()), to_head);
    assert!(whole.body.len() <= bytes.len());
    assert_eq!(read(bytes.chunks(usize::from(how >> 1) + 1), to_head), whole);
});
