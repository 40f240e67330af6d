// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guest memory as EL2 reaches it: through the identity map, by physical address.

use addr::{Ipa, Pa};
use platform::VmId;
use stage2::GuestRam;

use crate::arch::{cache, timer, words};

/// Returns where the words at `ipa` are, so many bytes, if they lie in the first region of the guest's RAM, as nearly
/// all do.
#[inline(always)]
fn whole(ram: &GuestRam, ipa: Ipa, len: usize) -> Option<u64> {
    if !ipa.is_aligned(8) {
        return None;
    }
    match ram.locate_first(ipa) {
        Some((pa, left)) if left >= len as u64 => Some(pa.0),
        _ => None,
    }
}

/// Calls `act` with the physical address, the offset and the length of each contiguous piece of
/// `len` bytes at `ipa`. False, and nothing is done, if one of them is not the guest's RAM.
fn pieces(ram: &GuestRam, ipa: Ipa, len: usize, mut act: impl FnMut(u64, usize, usize)) -> bool {
    if !is_ram(ram, ipa, len) {
        return false;
    }
    let mut done = 0;
    while let Some((pa, left)) = ram.locate(Ipa(ipa.0 + done as u64)).filter(|_| done < len) {
        let piece = (len - done).min(left as usize);
        act(pa.0, done, piece);
        done += piece;
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
        unsafe { cache::copy(pa, &bytes[at..at + len]) };
    })
}

/// Reads words at an address that is a multiple of 8 from a running guest's RAM, if they lie in its first region. False, and
/// `words` unchanged, if not: then [`read_pieces`] may help.
#[inline(always)]
pub fn read_whole(ram: &GuestRam, ipa: Ipa, words: &mut [u64]) -> bool {
    let found = whole(ram, ipa, size_of_val(words));
    if let Some(pa) = found {
        read_physical(pa, words);
    }
    found.is_some()
}

/// Writes words as [`read_whole`] reads them.
#[inline(always)]
pub fn write_whole(ram: &GuestRam, ipa: Ipa, words: &[u64]) -> bool {
    let found = whole(ram, ipa, size_of_val(words));
    if let Some(pa) = found {
        write_physical(pa, words);
    }
    found.is_some()
}

/// Reads words at an address that is a multiple of 8 from a running guest's RAM. False, and
/// `words` unchanged, if not all of it is RAM.
pub fn read_pieces(ram: &GuestRam, ipa: Ipa, words: &mut [u64]) -> bool {
    ipa.is_aligned(8)
        && pieces(ram, ipa, size_of_val(words), |pa, at, len| {
            read_physical(pa, &mut words[at / 8..(at + len) / 8]);
        })
}

/// Writes words at an address that is a multiple of 8 to a running guest's RAM. False, and
/// nothing written, if not all of it is RAM.
pub fn write_pieces(ram: &GuestRam, ipa: Ipa, words: &[u64]) -> bool {
    ipa.is_aligned(8)
        && pieces(ram, ipa, size_of_val(words), |pa, at, len| {
            write_physical(pa, &words[at / 8..(at + len) / 8]);
        })
}

/// Copies words that others may write at the same time, each once.
///
/// `pa` is aligned, and all of it RAM that EL2 maps: callers got it from a guest's RAM or own it.
#[inline(always)]
pub fn read_physical(pa: u64, words: &mut [u64]) {
    let mut from = pa as *const u64;
    let (groups, rest) = words.as_chunks_mut();
    for group in groups {
        // SAFETY: mapped and aligned by the callers' promise.
        *group = unsafe { words::read(&mut from) };
    }
    for word in rest {
        // SAFETY: mapped and aligned by the callers' promise; volatile, since others may write it.
        *word = unsafe { from.read_volatile() };
        from = from.wrapping_add(1);
    }
}

/// Copies words to memory that others may use at the same time, each once.
///
/// `pa` is aligned, and all of it RAM that EL2 maps: callers got it from a guest's RAM or own it.
#[inline(always)]
pub fn write_physical(pa: u64, words: &[u64]) {
    let mut to = pa as *mut u64;
    let (groups, rest) = words.as_chunks();
    for group in groups {
        // SAFETY: mapped and aligned by the callers' promise; no value of Rust's is in a guest's RAM, nor in what EL2
        // owns to share it.
        unsafe { words::write(&mut to, *group) };
    }
    for word in rest {
        // SAFETY: mapped and aligned by the callers' promise; volatile, since others may use it.
        unsafe { to.write_volatile(*word) };
        to = to.wrapping_add(1);
    }
}

/// Overwrites `size` bytes of a stopped guest's RAM, whole pages, with zeros.
pub fn zero(start: Pa, size: u64) {
    // SAFETY: the guest's own RAM by the callers' promise; the guest does not run.
    unsafe { cache::zero(start.0, size) }
}

/// Returns 64 bytes for a guest's random number generator: different for each guest and start, and only
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
