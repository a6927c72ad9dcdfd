//! What is printed, and to whom: the macros of the standard library's names, for all subcommands.
//!
//! The library's own panic where nobody reads any more, as after `outbid explain --json | head -1`. There
//! is nothing wrong then and nothing to say: the process ends as the signal would end it that Rust ignores.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

/// The exit code of a process that SIGPIPE ends, as shells tell it: neither success, since a verdict
/// may be among what was not read, nor a failure of ours.
const PIPE_BROKEN: i32 = 128 + 13;

/// A line to standard output, in place of [`std::println`].
macro_rules! println {
    () => { $crate::cli::out::line(format_args!("")) };
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
}

/// A line to standard error, in place of [`std::eprintln`].
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::out::error_line(format_args!($($text)*)) };
}

/// See [`println`].
pub fn line(text: Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout().lock(), "{text}") {
        if error.kind() != ErrorKind::BrokenPipe {
            // A full disk behind `>`, say: what there is of the output is not all of it.
            error_line(format_args!("outbid: standard output: {error}"));
            std::process::exit(1);
        }
        std::process::exit(PIPE_BROKEN);
    }
}

/// See [`eprintln`]. Where even that cannot be written there is nobody left to be told.
pub fn error_line(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
