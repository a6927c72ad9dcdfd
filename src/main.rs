//! The `outbid` binary: see `outbid --help`.

// Parsing borrows and scratch is pooled, so the allocator matters little on the bid path; it does
// for snapshots, which are built and dropped whole.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    outbid::cli::run()
}
