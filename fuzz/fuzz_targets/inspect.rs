//! HTTP/1 from clients: no input panics, no splitting changes a verdict, and what passes is a part of what came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade::edge::inspect::replay;

fuzz_target!(|bytes: &[u8]| replay(bytes));
