//! A line of a text that is being written.

/// Writes a line, formatted as by `writeln!`, to the end of a string; writing to a string cannot fail.
macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($arg:tt)*) => {{
        use std::fmt::Write as _;
        let _ = writeln!($out, $($arg)*);
    }};
}

pub(in crate::report) use line;
