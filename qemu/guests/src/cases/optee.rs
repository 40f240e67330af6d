//! placeholder
use super::Test;
pub const TESTS: &[Test] = &[];
