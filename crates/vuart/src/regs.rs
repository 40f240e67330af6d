// SPDX-License-Identifier: MIT OR Apache-2.0

//! The programmer's model: offsets and bits (DDI 0183G chapter 3).

pub(crate) const DR: u64 = 0x000;
pub(crate) const RSR_ECR: u64 = 0x004;
pub(crate) const FR: u64 = 0x018;
pub(crate) const ILPR: u64 = 0x020;
pub(crate) const IBRD: u64 = 0x024;
pub(crate) const FBRD: u64 = 0x028;
pub(crate) const LCR_H: u64 = 0x02c;
pub(crate) const CR: u64 = 0x030;
pub(crate) const IFLS: u64 = 0x034;
pub(crate) const IMSC: u64 = 0x038;
pub(crate) const RIS: u64 = 0x03c;
pub(crate) const MIS: u64 = 0x040;
pub(crate) const ICR: u64 = 0x044;
pub(crate) const DMACR: u64 = 0x048;
pub(crate) const ID_FIRST: u64 = 0xfe0;
pub(crate) const ID_LAST: u64 = 0xfff;

pub(crate) const DR_OE: u32 = 1 << 11;
pub(crate) const RSR_OE: u32 = 1 << 3;

pub(crate) const FR_CTS: u32 = 1 << 0;
pub(crate) const FR_DSR: u32 = 1 << 1;
pub(crate) const FR_DCD: u32 = 1 << 2;
pub(crate) const FR_RXFE: u32 = 1 << 4;
pub(crate) const FR_RXFF: u32 = 1 << 6;
pub(crate) const FR_TXFE: u32 = 1 << 7;

pub(crate) const LCR_H_FEN: u32 = 1 << 4;
pub(crate) const LCR_H_WLEN_8: u32 = 0b11 << 5;

pub(crate) const CR_UARTEN: u32 = 1 << 0;
pub(crate) const CR_LBE: u32 = 1 << 7;
pub(crate) const CR_TXE: u32 = 1 << 8;
pub(crate) const CR_RXE: u32 = 1 << 9;
/// All but the reserved bits 6:3.
pub(crate) const CR_MASK: u32 = 0xff87;

/// Both trigger levels at one half.
pub(crate) const IFLS_HALF: u32 = 0x12;

pub(crate) const INT_RX: u32 = 1 << 4;
pub(crate) const INT_TX: u32 = 1 << 5;
pub(crate) const INT_RT: u32 = 1 << 6;
pub(crate) const INT_OE: u32 = 1 << 10;
pub(crate) const INT_ALL: u32 = 0x7ff;

/// UARTPeriphID0–3 (part 0x011, designer 0x41, revision 3 = r1p5, whose FIFOs are 32 deep)
/// and UARTPCellID0–3.
pub(crate) const ID: [u32; 8] = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

/// Returns the register an access touches, the bit it starts at there, and the mask of its width;
/// `None` for what the bus would not carry.
pub(crate) fn lane(offset: u64, size: u8) -> Option<(u64, u32, u32)> {
    let mask = match size {
        1 => 0xff,
        2 => 0xffff,
        4 => u32::MAX,
        _ => return None,
    };
    if !offset.is_multiple_of(u64::from(size)) {
        return None;
    }
    Some((offset & !3, (offset & 3) as u32 * 8, mask))
}
