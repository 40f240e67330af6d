//! The distributor's registers that GICv2 and GICv3 have alike (IHI 0069H 12.9, IHI 0048B 4.3).

use crate::arch::mmio::Mmio;

pub const CTLR: u64 = 0x0;
pub const TYPER: u64 = 0x4;
pub const IGROUPR: u64 = 0x80;
pub const ISENABLER: u64 = 0x100;
pub const ICENABLER: u64 = 0x180;
const ICPENDR: u64 = 0x280;
const ICACTIVER: u64 = 0x380;
pub const ISACTIVER: u64 = 0x300;
pub const IPRIORITYR: u64 = 0x400;
const ICFGR: u64 = 0xc00;

/// Makes `intid` an edge or a level.
pub fn set_trigger(distributor: &Mmio, intid: u32, edge: bool) {
    let offset = ICFGR + 4 * u64::from(intid / 16);
    let bit = 2 << (2 * (intid % 16));
    let old = distributor.read32(offset);
    distributor.write32(offset, if edge { old | bit } else { old & !bit });
}

/// Enables the SPI `intid`; what is left from an earlier use is neither pending nor active.
pub fn open(distributor: &Mmio, intid: u32) {
    for bank in [ICPENDR, ICACTIVER, ISENABLER] {
        set_bit(distributor, bank, intid);
    }
}

/// Disables the SPI `intid`.
pub fn close(distributor: &Mmio, intid: u32) {
    set_bit(distributor, ICENABLER, intid);
}

/// Writes the one bit of `intid`: in these banks zeros change nothing.
fn set_bit(distributor: &Mmio, bank: u64, intid: u32) {
    distributor.write32(bank + 4 * u64::from(intid / 32), 1 << (intid % 32));
}
