//! Guest memory as EL2 reaches it: through the identity map, by physical address.

use addr::{Ipa, VmId};
use stage2::{GuestRam, RamRegion};

use crate::arch::{cache, timer};

/// Calls `act` with the physical address, the offset and the length of each contiguous piece of
/// `len` bytes at `ipa`. False, and nothing is done, if one of them is not the guest's RAM.
#[inline]
fn pieces(ram: &GuestRam, ipa: Ipa, len: usize, mut act: impl FnMut(u64, usize, usize)) -> bool {
    // Nearly always the bytes lie in one region.
    match ram.locate(ipa) {
        Some((pa, left)) if left >= len as u64 => act(pa.0, 0, len),
        Some(_) if is_ram(ram, ipa, len) => {
            let mut done = 0;
            while let Some((pa, left)) = ram.locate(Ipa(ipa.0 + done as u64)).filter(|_| done < len) {
                let piece = (len - done).min(left as usize);
                act(pa.0, done, piece);
                done += piece;
            }
        }
        _ => return false,
    }
    true
}

fn is_ram(ram: &GuestRam, ipa: Ipa, len: usize) -> bool {
    let Some(end) = ipa.checked_add(len as u64) else {
        return false;
    };
    let mut at = ipa;
    while at < end {
        match ram.locate(at) {
            Some((_, left)) => at = Ipa(at.0 + left),
            None => return false,
        }
    }
    true
}

/// Copies `bytes` into the RAM of a guest that does not run, visible to cores without caches.
/// False if they don't fit.
pub fn write_stopped(ram: &GuestRam, ipa: Ipa, bytes: &[u8]) -> bool {
    pieces(ram, ipa, bytes.len(), |pa, at, len| {
        // SAFETY: `pa..pa + len` is RAM of the guest, which does not run; EL2 maps all of it.
        unsafe { (pa as *mut u8).copy_from_nonoverlapping(bytes[at..].as_ptr(), len) };
        cache::clean_invalidate(pa, len as u64);
    })
}

/// Reads a running guest's RAM. False, and `bytes` unchanged, if not all of it is RAM.
#[inline]
pub fn read(ram: &GuestRam, ipa: Ipa, bytes: &mut [u8]) -> bool {
    pieces(ram, ipa, bytes.len(), |pa, at, len| read_physical(pa, &mut bytes[at..at + len]))
}

/// Writes a running guest's RAM. False, and nothing written, if not all of it is RAM.
#[inline]
pub fn write(ram: &GuestRam, ipa: Ipa, bytes: &[u8]) -> bool {
    pieces(ram, ipa, bytes.len(), |pa, at, len| write_physical(pa, &bytes[at..at + len]))
}

/// Copies memory that others may write at the same time, each byte once, by words where it can.
///
/// `pa..pa + bytes.len()` is RAM that EL2 maps: callers got it from a guest's RAM or own it.
#[inline]
pub fn read_physical(pa: u64, bytes: &mut [u8]) {
    if pa % 8 == 0 {
        let (words, rest) = bytes.as_chunks_mut::<8>();
        let tail = pa + 8 * words.len() as u64;
        for (n, word) in words.iter_mut().enumerate() {
            // SAFETY: mapped RAM by the callers' promise, aligned; volatile, since others may write it.
            *word = unsafe { ((pa + 8 * n as u64) as *const u64).read_volatile() }.to_ne_bytes();
        }
        return read_bytes(tail, rest);
    }
    read_bytes(pa, bytes);
}

fn read_bytes(pa: u64, bytes: &mut [u8]) {
    for (n, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: as in `read_physical`.
        *byte = unsafe { ((pa + n as u64) as *const u8).read_volatile() };
    }
}

/// Copies to memory that others may read or write at the same time, each byte once.
///
/// `pa..pa + bytes.len()` is RAM that EL2 maps: callers got it from a guest's RAM or own it.
#[inline]
pub fn write_physical(pa: u64, bytes: &[u8]) {
    if pa % 8 == 0 {
        let (words, rest) = bytes.as_chunks::<8>();
        let tail = pa + 8 * words.len() as u64;
        for (n, word) in words.iter().enumerate() {
            // SAFETY: mapped RAM by the callers' promise, aligned; volatile, since others may use it.
            unsafe { ((pa + 8 * n as u64) as *mut u64).write_volatile(u64::from_ne_bytes(*word)) };
        }
        return write_bytes(tail, rest);
    }
    write_bytes(pa, bytes);
}

fn write_bytes(pa: u64, bytes: &[u8]) {
    for (n, byte) in bytes.iter().enumerate() {
        // SAFETY: as in `write_physical`.
        unsafe { ((pa + n as u64) as *mut u8).write_volatile(*byte) };
    }
}

/// Overwrites a stopped guest's region with zeros.
pub fn zero(region: &RamRegion) {
    // SAFETY: the guest's own RAM, in whole pages; the guest does not run.
    unsafe { cache::zero(region.pa.0, region.size) }
}

/// 64 bytes for a guest's random number generator: different for each guest and start, and only
/// as secret as the counter. docs/threat-model.md says what that means.
pub fn seed(vm: VmId) -> [u8; 64] {
    let mut state = timer::now() ^ u64::from(vm.0) << 48;
    let mut seed = [0; 64];
    for word in seed.as_chunks_mut::<8>().0 {
        // SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        *word = (mixed ^ mixed >> 31).to_le_bytes();
    }
    seed
}
