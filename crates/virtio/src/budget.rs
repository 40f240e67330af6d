// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long a core may serve a queue without a look at its interrupts.

/// How much a visit of a transmit queue may do. It ends with what exceeds either, so add the longest frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Frames or packets taken, and those delivered: one to three receivers counts as three.
    pub frames: u32,
    /// Bytes copied.
    pub bytes: u32,
}

impl Default for Budget {
    /// By 1,500 instructions a frame and 0.3 a byte that stays below 20,000 instructions with interrupts masked, the
    /// frame of 9,018 bytes included that exceeds it.
    fn default() -> Self {
        Self {
            frames: 8,
            bytes: 8 * 1024,
        }
    }
}

impl Budget {
    /// Tells whether the visit is to end.
    pub fn is_spent(self) -> bool {
        self.frames == 0 || self.bytes == 0
    }

    /// Counts a frame, of which so many bytes were copied.
    pub fn spend(&mut self, bytes: u32) {
        self.frames = self.frames.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
