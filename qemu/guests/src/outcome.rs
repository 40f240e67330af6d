// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a test returns.

use core::fmt::{self, Write};

/// A test's result.
pub type Outcome = Result<(), Stop>;

/// Why a test did not pass.
pub enum Stop {
    /// The test failed.
    Failed(Text),
    /// The test has nothing to test here.
    Skipped(&'static str),
}

/// A short text without an allocator; what does not fit is cut.
pub struct Text {
    bytes: [u8; 104],
    len: usize,
}

impl Text {
    /// Makes the text that `args` format to.
    pub fn new(args: fmt::Arguments<'_>) -> Self {
        let mut text = Self {
            bytes: [0; 104],
            len: 0,
        };
        // `write_str` never fails.
        let _ = text.write_fmt(args);
        text
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("?"))
    }
}

/// Fails the test, with a formatted reason, unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::outcome::Stop::Failed($crate::outcome::Text::new(
                format_args!($($why)+),
            )));
        }
    };
}

/// Fails the test unless both sides are equal.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $what:expr) => {{
        let (left, right) = ($left, $right);
        $crate::ensure!(left == right, "{}: {:#x?}, not {:#x?}", $what, left, right);
    }};
}
