//! argv to the command line, its answer to an exit code; and how memory is had.

use std::process::ExitCode;

/// Measured against the system's: fewer cycles per request and memory that can be given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything is allocated that could become a huge page.
    palisade::sys::memory::prefer_small_pages();
    palisade::cli::run(std::env::args_os()).into()
}
