// SPDX-License-Identifier: MIT OR Apache-2.0

//! One tree through what EL2 does with it, up to what only the hardware can tell.

use std::time::Duration;

use addr::{Pa, PaRange};
use board::{Board, ConsoleKind, Dma};
use physmem::{FreeMap, Wanted};
use platform::GicVersion;
use rustix::time::{ClockId, clock_gettime};

use super::loader;
use super::peek::Peek;

/// The image: aligned as the boot protocol asks, with room for all it may grow to.
const IMAGE: u64 = 2 << 20;
/// What the smallest guest takes.
const GUEST: u64 = 64 << 20;
/// What cores with the most common range of addresses, 48 bits, can address.
const END: u64 = 1 << 48;

/// What guests can on these.
const GUESTS_END: u64 = 1 << 39;

/// How often the time for a tree is taken.
const TRIES: usize = 3;

/// What becomes of a board.
pub struct Verdict {
    /// The interrupt controller, or why the board is refused.
    pub plan: Result<GicVersion, String>,
    /// The console's UART, or what the tree names instead.
    pub console: Result<ConsoleKind, String>,
    /// The tree names OP-TEE.
    pub optee: bool,
    /// SMMUv3s that the normal world has.
    pub smmus: usize,
    /// PCI host bridges: whether a guest could have each behind SMMUs, or by trust, or why not at all.
    pub bridges: Vec<Result<bool, String>>,
    /// Processor time for reading the tree.
    pub took: Duration,
}

/// Judges a tree as a loader passes it.
pub fn judge(blob: &[u8]) -> Verdict {
    let peek = Peek::open(blob);
    let at = peek
        .as_ref()
        .map_or(0, |peek| loader::place(&peek.memory()));
    let read = || (board::console(blob), Board::from_tree(blob, Pa(at)));
    let timed = || {
        let before = processor_time();
        let read = read();
        (processor_time().saturating_sub(before), read)
    };
    let (took, (console, board)) = timed();
    // What else the machine does takes caches, too: the least of a few is the tree's own.
    let took = (1..TRIES).fold(took, |least, _| least.min(timed().0));
    let unknown = || match peek.as_ref().and_then(Peek::stdout) {
        Some(compatible) => compatible,
        None => "no stdout-path".into(),
    };
    Verdict {
        console: console.map(|console| console.kind).ok_or_else(unknown),
        optee: board.as_ref().is_ok_and(|board| board.optee.is_some()),
        smmus: board.as_ref().map_or(0, |board| board.smmus.len()),
        bridges: board
            .as_ref()
            .map_or_else(|_| Vec::new(), |board| bridges(board, blob, peek.as_ref())),
        plan: board
            .map_err(|error| error.to_string())
            .and_then(|board| plan(&board)),
        took,
    }
}

/// Asks for each PCI host bridge, as for a guest.
fn bridges(board: &Board, blob: &[u8], peek: Option<&Peek>) -> Vec<Result<bool, String>> {
    let paths = peek.map_or_else(Vec::new, Peek::bridges);
    let ask = |path: &String| match board.device(blob, path) {
        Ok(mut bridge) => {
            let is_behind = matches!(bridge.dma, Dma::Behind(_));
            bridge.cut(Pa(GUESTS_END)).map(|_| is_behind)
        }
        Err(error) => Err(error),
    };
    let asked = paths.iter().map(ask);
    asked
        .map(|answer| answer.map_err(|error| error.to_string()))
        .collect()
}

/// Goes on as `kernel/src/setup.rs` does.
fn plan(board: &Board) -> Result<GicVersion, String> {
    let free = FreeMap::new(&board.memory, &board.reserved).map_err(|error| error.to_string())?;
    let image = free
        .clone()
        .allocate(IMAGE, IMAGE)
        .ok_or("no room for the image")?;
    let mut reserved = board.reserved.to_vec();
    reserved.push(image);
    let pages = board.cpus.iter().filter_map(|cpu| cpu.release_page());
    let others: Vec<PaRange> = board.bundle.into_iter().chain(pages).collect();
    let devices: Vec<PaRange> = board.frames().collect();
    let plan = physmem::plan(&Wanted {
        memory: &board.memory,
        reserved: &reserved,
        devices: &devices,
        others: &others,
        end: END,
    });
    let mut free = plan.map_err(|error| error.to_string())?.free;
    let guest = free.allocate_guest(GUEST, physmem::MAX_GUEST_RANGES);
    guest.ok_or("no room for a guest of 64 MiB")?;
    board.bundle.ok_or("no initrd")?;
    Ok(board.gic.version())
}

/// Returns this thread's: other programs on the machine do not count.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[cfg(test)]
#[path = "../../../board/tests/fixtures/mod.rs"]
mod fixtures;

#[cfg(test)]
mod tests {
    use super::fixtures::raspberry_pi_4;
    use super::judge;

    /// EL2 does not map GICV, but guests do.
    #[test]
    fn what_guests_map_is_no_memory() {
        let refused = |ram: u32| {
            let tree = raspberry_pi_4().with("memory@0", |node| {
                node.cells("reg", &[0, 0, 0x3c00_0000, 0, ram, 0x2000])
            });
            judge(&tree.blob()).plan.unwrap_err()
        };
        let expected = "a device's registers, 0x2000 bytes at 0xff846000, lie in a memory node's reg: correct the device \
                        tree";
        assert_eq!(refused(0xff84_6000), expected);
        assert_eq!(refused(0xff84_8000), "no initrd");
    }
}
