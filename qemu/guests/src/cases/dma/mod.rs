// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device that masters the bus reaches, and when: QEMU's edu, on the PCI bus of a host bridge that is the guest's.
//!
//! - `dma`: it reads and writes the guest's RAM by the guest's addresses, and its interrupt comes.
//! - `dma-hostile`: it is aimed at all else. The guest sees that it reads nothing; that it writes nothing is for others to
//!   see, whose RAM that would be.
//! - `dma-lives`: each life leaves a write behind, and looks for that of the life before.

mod edu;
mod hostile;
mod lives;
mod own;
mod pci;

pub use hostile::TESTS as HOSTILE;
pub use lives::TESTS as LIVES;
pub use own::TESTS as OWN;

use crate::outcome::{Outcome, Stop, Text};
use crate::rt::env;
use edu::Edu;

/// Bytes of a page.
const PAGE: usize = 4096;
/// Bytes of the device's memory that the tests use. It has a page, of which QEMU 7.2 refuses the last byte.
const BUFFER: usize = 2048;

/// A page of RAM that the device and this program both use.
#[derive(Clone, Copy)]
struct Page(*mut u8);

impl Page {
    /// Returns the `n`th of RAM that nothing else uses.
    fn free(n: u64) -> Self {
        Self((env::free_ram().start + n * PAGE as u64) as *mut u8)
    }

    fn address(self) -> u64 {
        self.0 as u64
    }

    /// Sets each byte to what `value` says of its offset.
    fn fill(self, value: impl Fn(usize) -> u8) {
        for offset in 0..PAGE {
            // SAFETY: a page of RAM that no Rust object is in.
            unsafe { self.0.add(offset).write_volatile(value(offset)) };
        }
    }

    fn byte(self, offset: usize) -> u8 {
        assert!(offset < PAGE);
        // SAFETY: as above.
        unsafe { self.0.add(offset).read_volatile() }
    }

    /// Fails unless each byte of `range` is one that `allowed` takes, by its offset.
    fn check(
        self,
        what: &str,
        range: core::ops::Range<usize>,
        allowed: impl Fn(usize, u8) -> bool,
    ) -> Outcome {
        for offset in range {
            let found = self.byte(offset);
            crate::ensure!(allowed(offset, found), "{what}: {found:#x} at {offset:#x}");
        }
        Ok(())
    }
}

/// Returns a byte for an offset, of which few are the same in a row and none is 0.
fn pattern(offset: usize) -> u8 {
    (offset * 7 + offset / 256 * 13) as u8 | 1
}

/// Returns the first byte of spare RAM, from `start` on, that is not 0.
fn first_dirty(start: u64) -> Option<(u64, u64)> {
    let words = env::spare_ram().flat_map(|range| range.step_by(8));
    let mut words = words.filter(|at| *at >= start).map(|at| {
        // SAFETY: mapped RAM that no Rust object is in.
        (at, unsafe { (at as *const u64).read_volatile() })
    });
    words.find(|(_, word)| *word != 0)
}

/// Returns the device, ready to master the bus.
fn device() -> Result<Edu, Stop> {
    let found = pci::Function::find(edu::ID).and_then(Edu::new);
    found.map_err(|why| Stop::Failed(Text::new(format_args!("{why}"))))
}
