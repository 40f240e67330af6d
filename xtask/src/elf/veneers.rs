// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keeps Cortex-A53's erratum 835769 out of the image: each multiplication that it is about goes to a veneer, as the
//! linker's `--fix-cortex-a53-843419` does with the other erratum.
//!
//! The compiler has a flag for it, `+fix-cortex-a53-835769`, but not for the standard library that it comes with, and
//! puts a NOP before each multiplication after a load, of which most wait for that load anyway. The linker has none.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::a64::{Insn, branch};
use super::{Code, errata, text};

/// Start of the room that linker.ld leaves for veneers, at the end of .text.
const ROOM: &str = "__veneers";

/// A word to write: its address, and the instruction.
type Patch = (u64, Insn);

/// Mends the hypervisor's ELF, once or again; returns how many veneers it has got.
pub fn apply(elf: &Path) -> Result<usize> {
    let code = Code::read(elf)?;
    let mut bytes = fs::read(elf)?;
    let text = text(&bytes)?;
    let room = text.symbol(ROOM).context("linker.ld has no __veneers")?;
    let patches = patches(&code, room..text.end)?;
    for (address, insn) in &patches {
        let at = text.offset(*address);
        bytes[at..at + 4].copy_from_slice(&insn.0.to_le_bytes());
    }
    if !patches.is_empty() {
        fs::write(elf, bytes).with_context(|| format!("{}", elf.display()))?;
    }
    Ok(patches.len() / 3)
}

/// Returns what moves the multiplications to `room`: three words each.
fn patches(code: &Code, room: std::ops::Range<u64>) -> Result<Vec<Patch>> {
    // The first word that has been free until now.
    let mut next = code
        .iter()
        .rfind(|(at, insn)| room.contains(at) && insn.0 != 0);
    let mut free = next.take().map_or(room.start, |(at, _)| at + 4);
    let mut patches = Vec::new();
    for at in errata::erratum_835769(code) {
        ensure!(
            free + 8 <= room.end,
            "no room for veneers: let linker.ld leave more at {ROOM}"
        );
        let multiply = code.from(at).next().context("no instruction there")?;
        let there = branch(at, free).context("a veneer is too far")?;
        let back = branch(free + 4, at + 4).context("a veneer is too far")?;
        patches.extend([(at, there), (free, multiply), (free + 4, back)]);
        free += 8;
    }
    Ok(patches)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LDR_X1_X2: u32 = 0xf940_0041;
    const MADD: u32 = 0x9b09_2869;
    const RET: u32 = 0xd65f_03c0;

    fn mended(mut words: Vec<u32>, room: std::ops::Range<u64>) -> Result<Vec<u32>> {
        for (address, insn) in patches(&Code::of(0, &words), room)? {
            words[address as usize / 4] = insn.0;
        }
        Ok(words)
    }

    #[test]
    fn a_multiplication_moves_to_a_veneer_and_comes_back() {
        let words = vec![LDR_X1_X2, MADD, LDR_X1_X2, MADD, RET, 0, 0, 0, 0];
        let mended = mended(words, 0x14..0x24).unwrap();
        let (to_first, to_second) = (0x1400_0004, 0x1400_0004);
        let (from_first, from_second) = (0x17ff_fffc, 0x17ff_fffc);
        assert_eq!(
            mended,
            [
                LDR_X1_X2,
                to_first,
                LDR_X1_X2,
                to_second,
                RET,
                MADD,
                from_first,
                MADD,
                from_second
            ]
        );
        assert!(errata::erratum_835769(&Code::of(0, &mended)).is_empty());
    }

    #[test]
    fn what_is_mended_stays_as_it_is_and_more_goes_behind() {
        let words = vec![LDR_X1_X2, MADD, RET, 0, 0, 0, 0];
        let once = mended(words, 0xc..0x1c).unwrap();
        assert_eq!(mended(once.clone(), 0xc..0x1c).unwrap(), once);
        let mut more = once.clone();
        more[1] = MADD;
        let twice = mended(more, 0xc..0x1c).unwrap();
        assert_eq!((twice[3], twice[5]), (MADD, MADD));
    }

    #[test]
    fn too_little_room_is_an_error() {
        let error = mended(vec![LDR_X1_X2, MADD, RET, 0], 0xc..0x10).unwrap_err();
        assert!(error.to_string().contains("linker.ld"), "{error}");
    }
}
