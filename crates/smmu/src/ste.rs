// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stream table entries (5.2).

use addr::{PAGE_SIZE, Pa};

use crate::{Error, Features};

/// Bytes of an entry in the stream table.
pub const SIZE: u64 = 64;

/// V, without which an access aborts and is recorded as [`Kind::BadSte`](crate::Kind::BadSte).
pub const VALID: u64 = 1;
/// Word 0 of a stream that nobody has.
pub const INVALID: u64 = 0;
/// Word 0 of a stream whose accesses abort without a record: Config is 0b000.
pub const ABORT: u64 = VALID;
/// Word 0 of a guest's stream: stage 1 is bypassed, stage 2 translates.
pub const STAGE_2: u64 = VALID | 0b110 << 1;

/// SHCFG: the device's own shareability goes into stage 2. All else is the device's too: MTCFG, ALLOCCFG, PRIVCFG and
/// INSTCFG are zero. So is EATS: the device gets no translations, and has its own refused.
const SHCFG_INCOMING: u64 = 0b01 << 44;
const S2AA64: u64 = 1 << 51;
/// A fault is recorded. S2S is zero: it terminates the access. So is S2AFFD: an access flag counts as it does for cores.
const S2R: u64 = 1 << 58;

/// VTCR_EL2's fields that entries have too, in the same order: S2T0SZ, S2SL0, S2IR0, S2OR0, S2SH0, S2TG and S2PS.
const VTCR: u64 = 0x7_ffff;
const VTCR_T0SZ: u64 = 0x3f;
const VTCR_TG0: u64 = 0b11 << 14;
const VTCR_PS_SHIFT: u32 = 16;
/// HA and HD, by which tables are updated as they are walked.
const VTCR_UPDATES: u64 = 0b11 << 21;

/// How guests' tables are walked: what VTCR_EL2 says to cores, as far as this SMMU's addresses go.
#[derive(Clone, Copy, Debug)]
pub struct Geometry(u64);

impl Geometry {
    /// Takes over VTCR_EL2. The tables have the 4 KiB granule, nothing updates them on a walk, and the SMMU's output is
    /// as wide as a guest's addresses (3.4).
    pub const fn new(vtcr: u64, features: &Features) -> Result<Self, Error> {
        let input_bits = 64 - (vtcr & VTCR_T0SZ) as u32;
        let asked = vtcr >> VTCR_PS_SHIFT & 7;
        if vtcr & (VTCR_TG0 | VTCR_UPDATES) != 0 || asked > 5 || input_bits > features.output_bits()
        {
            return Err(Error::Geometry(vtcr));
        }
        let has = features.output_size as u64;
        let size = if asked < has { asked } else { has };
        let others = vtcr & VTCR & !(7 << VTCR_PS_SHIFT);
        Ok(Self(others | size << VTCR_PS_SHIFT))
    }
}

/// Returns words 1 to 3 of an entry by which a stream is translated by the tables at `root`; all further ones are 0. Word
/// 0 is to be [`STAGE_2`] once the SMMU has seen the others.
pub const fn stage_2(geometry: Geometry, vmid: u16, root: Pa) -> [u64; 3] {
    let walk = vmid as u64 | geometry.0 << 32 | S2AA64 | S2R;
    let base = root.0 & !(PAGE_SIZE - 1);
    [SHCFG_INCOMING, walk, base]
}
