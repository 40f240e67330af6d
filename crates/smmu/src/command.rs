// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands (4.1, 4.3, 4.4, 4.7).

/// A command's two words; their order in memory is that of the array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command(pub [u64; 2]);

/// Bytes of a command.
pub const SIZE: u64 = 16;

const CFGI_STE: u64 = 0x03;
const CFGI_STE_RANGE: u64 = 0x04;
const TLBI_S12_VMALL: u64 = 0x28;
/// CMD_CFGI_STE.Leaf: the table has one level.
const LEAF: u64 = 1;
/// CMD_CFGI_STE_RANGE.Range of CMD_CFGI_ALL.
const ALL: u64 = 31;

impl Command {
    /// Drops all cached stream table entries.
    pub const CFGI_ALL: Self = Self([CFGI_STE_RANGE, ALL]);
    /// Drops all translations of EL2's own streams; illegal without IDR0.Hyp.
    pub const TLBI_EL2_ALL: Self = Self([0x20, 0]);
    /// Drops all translations of guests' streams, of all VMIDs.
    pub const TLBI_NSNH_ALL: Self = Self([0x30, 0]);
    /// Is consumed when all commands before it are complete; tells nobody else (CS = SIG_NONE).
    pub const SYNC: Self = Self([0x46, 0]);

    /// Drops the cached entries of `1 << log2` streams from `first`, which is as aligned.
    pub const fn cfgi(first: u32, log2: u32) -> Self {
        let stream = (first as u64) << 32;
        match log2 {
            0 => Self([CFGI_STE | stream, LEAF]),
            _ => Self([CFGI_STE_RANGE | stream, log2 as u64 - 1]),
        }
    }

    /// Drops all translations of a VMID.
    pub const fn tlbi(vmid: u16) -> Self {
        Self([TLBI_S12_VMALL | (vmid as u64) << 32, 0])
    }
}
