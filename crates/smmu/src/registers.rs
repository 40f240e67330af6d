// SPDX-License-Identifier: MIT OR Apache-2.0

//! Offsets and fields of the registers that are used (6.2, 6.3).

pub const IDR0: u64 = 0x00;
pub const IDR1: u64 = 0x04;
pub const IDR5: u64 = 0x14;
pub const AIDR: u64 = 0x1c;
pub const CR0: u64 = 0x20;
pub const CR0ACK: u64 = 0x24;
pub const CR1: u64 = 0x28;
pub const CR2: u64 = 0x2c;
pub const GBPA: u64 = 0x44;
pub const IRQ_CTRL: u64 = 0x50;
pub const IRQ_CTRLACK: u64 = 0x54;
pub const GERROR: u64 = 0x60;
pub const GERRORN: u64 = 0x64;
pub const GERROR_IRQ_CFG0: u64 = 0x68;
pub const STRTAB_BASE: u64 = 0x80;
pub const STRTAB_BASE_CFG: u64 = 0x88;
pub const CMDQ_BASE: u64 = 0x90;
pub const CMDQ_PROD: u64 = 0x98;
pub const CMDQ_CONS: u64 = 0x9c;
pub const EVENTQ_BASE: u64 = 0xa0;
pub const EVENTQ_IRQ_CFG0: u64 = 0xb0;
pub const EVENTQ_PROD: u64 = 0x1_00a8;
pub const EVENTQ_CONS: u64 = 0x1_00ac;

pub const CR0_SMMUEN: u32 = 1 << 0;
pub const CR0_PRIQEN: u32 = 1 << 1;
pub const CR0_EVENTQEN: u32 = 1 << 2;
pub const CR0_CMDQEN: u32 = 1 << 3;
/// What a device says it has translated itself is checked against its stream table entry, which forbids it.
pub const CR0_ATSCHK: u32 = 1 << 4;
/// Tables and queues are write-back cacheable and inner shareable.
pub const CR1_WRITE_BACK: u32 = 3 << 10 | 1 << 8 | 1 << 6 | 3 << 4 | 1 << 2 | 1;
/// Streams beyond the table are recorded.
pub const CR2_RECINVSID: u32 = 1 << 1;
/// Guests' broadcast TLB maintenance is none of the SMMU's.
pub const CR2_PTM: u32 = 1 << 2;
pub const GBPA_ABORT: u32 = 1 << 20;
pub const GBPA_UPDATE: u32 = 1 << 31;
pub const IRQ_CTRL_GERROR: u32 = 1 << 0;
pub const IRQ_CTRL_EVENTQ: u32 = 1 << 2;
pub const GERROR_CMDQ: u32 = 1 << 0;
pub const GERROR_EVENTQ: u32 = 1 << 2;
/// Read-allocate hint of a table or of the command queue, write-allocate hint of the event queue.
pub const BASE_ALLOCATE: u64 = 1 << 62;
/// EVENTQ_PROD.OVFLG and EVENTQ_CONS.OVACKFLG.
pub const OVERFLOW: u32 = 1 << 31;
