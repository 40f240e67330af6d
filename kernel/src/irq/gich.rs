// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of a GICv2's virtual CPU interface: the GICH frame (IHI 0048B 5.3).

use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {u32,
    /// GICH_VTR.
    pub VgicType [
        /// Number of list registers, minus one.
        LIST_REGISTERS OFFSET(0) NUMBITS(6) [],
    ],
}

register_structs! {
    /// The frame that each core has for itself.
    pub Gich {
        /// GICH_HCR.
        (0x000 => pub control: ReadWrite<u32>),
        /// GICH_VTR.
        (0x004 => pub vgic_type: ReadOnly<u32, VgicType::Register>),
        /// GICH_VMCR.
        (0x008 => pub machine_control: ReadWrite<u32>),
        (0x00c => _reserved0),
        /// GICH_APR.
        (0x0f0 => pub active_priorities: ReadWrite<u32>),
        (0x0f4 => _reserved1),
        /// GICH_LRn.
        (0x100 => pub list: [ReadWrite<u32>; 64]),
        (0x200 => @END),
    }
}
