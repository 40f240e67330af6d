// SPDX-License-Identifier: MIT OR Apache-2.0

//! The virtual devices whose registers EL2 emulates: where they are, and who answers. What the guest's tree says of them
//! is in `crates/guesttree/src/nodes.rs`, how they are reset in `Vm::reset_devices`.

use addr::Ipa;
use platform::VcpuId;
use vgic::Frame;
use vwatchdog::Frame as WatchdogFrame;

use crate::vm::{Vm, vcpu::VcpuContext};

/// A frame of registers.
struct VirtualDevice {
    base: Ipa,
    /// Bytes that this guest has of it, 0 for none.
    size: fn(&Vm) -> u64,
    /// Reads so many bytes at an offset.
    read: fn(&mut VcpuContext, u64, u8) -> u64,
    /// Writes so many bytes at an offset.
    write: fn(&mut VcpuContext, u64, u8, u64),
}

/// All of them, those that are used most at the front.
static DEVICES: [VirtualDevice; 5] = [
    VirtualDevice {
        base: platform::UART_BASE,
        size: |_| platform::UART_SIZE,
        read: |vcpu, offset, size| vcpu.vm.uart_read(offset, size).into(),
        write: |vcpu, offset, size, value| vcpu.vm.uart_write(offset, size, value),
    },
    VirtualDevice {
        base: platform::GICD_BASE,
        size: |_| platform::GICD_SIZE,
        read: |vcpu, offset, size| vcpu.gic_read(Frame::Dist, offset, size),
        write: |vcpu, offset, size, value| vcpu.gic_write(Frame::Dist, offset, size, value),
    },
    VirtualDevice {
        base: platform::GICR_BASE,
        size: |vm| match vm.has_gicv3() {
            true => vm.vcpus.len() as u64 * platform::GICR_STRIDE,
            false => 0,
        },
        read: |vcpu, offset, size| {
            let (frame, offset) = redistributor(offset);
            vcpu.gic_read(frame, offset, size)
        },
        write: |vcpu, offset, size, value| {
            let (frame, offset) = redistributor(offset);
            vcpu.gic_write(frame, offset, size, value);
        },
    },
    VirtualDevice {
        base: platform::WATCHDOG_CONTROL_BASE,
        size: watchdog_size,
        read: |vcpu, offset, size| vcpu.vm.watchdog_read(WatchdogFrame::Control, offset, size),
        write: |vcpu, offset, size, value| {
            vcpu.vm
                .watchdog_write(WatchdogFrame::Control, offset, size, value)
        },
    },
    VirtualDevice {
        base: platform::WATCHDOG_REFRESH_BASE,
        size: watchdog_size,
        read: |vcpu, offset, size| vcpu.vm.watchdog_read(WatchdogFrame::Refresh, offset, size),
        write: |vcpu, offset, size, value| {
            vcpu.vm
                .watchdog_write(WatchdogFrame::Refresh, offset, size, value)
        },
    },
];

/// Returns the vCPU's redistributor that `offset` lies in, and where in it.
fn redistributor(offset: u64) -> (Frame, u64) {
    let owner = VcpuId((offset / platform::GICR_STRIDE) as u8);
    (Frame::Redist(owner), offset % platform::GICR_STRIDE)
}

fn watchdog_size(vm: &Vm) -> u64 {
    match vm.has_watchdog() {
        true => platform::WATCHDOG_SIZE,
        false => 0,
    }
}

/// The registers that an access reaches.
#[derive(Clone, Copy)]
pub struct Registers {
    device: &'static VirtualDevice,
    offset: u64,
}

/// Finds what the guest has at `ipa`.
pub fn find(vm: &Vm, ipa: Ipa) -> Option<Registers> {
    DEVICES.iter().find_map(|device| {
        let offset = ipa.0.wrapping_sub(device.base.0);
        (offset < (device.size)(vm)).then_some(Registers { device, offset })
    })
}

impl Registers {
    /// Reads `size` bytes.
    pub fn read(self, vcpu: &mut VcpuContext, size: u8) -> u64 {
        (self.device.read)(vcpu, self.offset, size)
    }

    /// Writes the low `size` bytes of `value`.
    pub fn write(self, vcpu: &mut VcpuContext, size: u8, value: u64) {
        (self.device.write)(vcpu, self.offset, size, value & mask(size));
    }
}

/// Returns the bits of `size` bytes.
pub fn mask(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size))
}
