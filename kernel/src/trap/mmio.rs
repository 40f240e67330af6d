// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stage-2 aborts: accesses to the virtual platform's devices, and to nothing at all.

use addr::{Ipa, VcpuId, platform};
use insn::{Access, Base};
use vgic::Frame;
use vwatchdog::Frame as WatchdogFrame;

use crate::arch::guest::{self, Abort, Syndrome};
use crate::memory;
use crate::vm::vcpu::{ExitAction, VcpuContext};

/// The registers an access can reach.
#[derive(Clone, Copy)]
enum Device {
    Gic(Frame, u64),
    Uart(u64),
    Watchdog(WatchdogFrame, u64),
}

/// A load, store or cache maintenance instruction that stage 2 does not map.
pub fn data_abort(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    let abort = syndrome.abort();
    if !abort.is_stage2_fault() || abort.is_table_walk() {
        return external_abort(vcpu, abort);
    }
    let ipa = Ipa(guest::fault_page().0 | (guest::fault_address() & 0xfff));
    match find(vcpu, ipa) {
        // There is no cache line that could hold a device or nothing.
        _ if abort.is_cache_maintenance() => {}
        Some(device) if abort.has_syndrome() => emulate(vcpu, device, abort),
        Some(_) if emulate_instruction(vcpu, ipa, abort.is_write()) => {}
        _ => return external_abort(vcpu, abort),
    }
    vcpu.regs.skip(syndrome);
    ExitAction::Run
}

fn find(vcpu: &VcpuContext, ipa: Ipa) -> Option<Device> {
    let within = |base: Ipa, size: u64| {
        let offset = ipa.0.wrapping_sub(base.0);
        (offset < size).then_some(offset)
    };
    if let Some(offset) = within(platform::UART_BASE, platform::UART_SIZE) {
        return Some(Device::Uart(offset));
    }
    if let Some(offset) = within(platform::GICD_BASE, platform::GICD_SIZE) {
        return Some(Device::Gic(Frame::Dist, offset));
    }
    for (frame, base) in [
        (WatchdogFrame::Control, platform::WATCHDOG_CONTROL_BASE),
        (WatchdogFrame::Refresh, platform::WATCHDOG_REFRESH_BASE),
    ] {
        if let Some(offset) = within(base, platform::WATCHDOG_SIZE) {
            return vcpu
                .vm
                .has_watchdog()
                .then_some(Device::Watchdog(frame, offset));
        }
    }
    let redistributors = vcpu.vm.vcpus.len() as u64 * platform::GICR_STRIDE;
    let offset = within(platform::GICR_BASE, redistributors).filter(|_| vcpu.vm.has_gicv3())?;
    let owner = (offset / platform::GICR_STRIDE) as u8;
    Some(Device::Gic(
        Frame::Redist(VcpuId(owner)),
        offset % platform::GICR_STRIDE,
    ))
}

fn emulate(vcpu: &mut VcpuContext, device: Device, abort: Abort) {
    if abort.is_write() {
        let value = vcpu.regs.get(abort.register());
        write(vcpu, device, abort.size(), value);
    } else {
        let value = read(vcpu, device, abort.size());
        vcpu.regs.set(abort.register(), extend(value, abort));
    }
}

/// Writes the low bytes of `value` to the registers at `device`.
fn write(vcpu: &mut VcpuContext, device: Device, size: u8, value: u64) {
    let value = value & mask(size);
    match device {
        Device::Gic(frame, offset) => vcpu.gic_write(frame, offset, size, value),
        Device::Uart(offset) => vcpu.vm.uart_write(offset, size, value),
        Device::Watchdog(frame, offset) => vcpu.vm.watchdog_write(frame, offset, size, value),
    }
}

/// Reads the registers at `device`.
fn read(vcpu: &mut VcpuContext, device: Device, size: u8) -> u64 {
    match device {
        Device::Gic(frame, offset) => vcpu.gic_read(frame, offset, size),
        Device::Uart(offset) => vcpu.vm.uart_read(offset, size).into(),
        Device::Watchdog(frame, offset) => vcpu.vm.watchdog_read(frame, offset, size),
    }
}

fn mask(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size))
}

/// The loaded value as the instruction wants it in its register.
fn extend(value: u64, abort: Abort) -> u64 {
    let unused = 64 - 8 * u32::from(abort.size());
    let value = value & mask(abort.size());
    if !abort.sign_extends() {
        return value;
    }
    let wide = ((value << unused) as i64 >> unused) as u64;
    if abort.is_64_bit() {
        wide
    } else {
        wide & 0xffff_ffff
    }
}

/// An instruction fetch from where there is no RAM.
pub fn instruction_abort(vcpu: &mut VcpuContext, syndrome: Syndrome) -> ExitAction {
    external_abort(vcpu, syndrome.abort())
}

/// Nothing answers at the address: a synchronous external abort, as a bus would raise it.
fn external_abort(vcpu: &mut VcpuContext, abort: Abort) -> ExitAction {
    // The class is that of an abort from a lower exception level; `raise` corrects it for EL1.
    vcpu.raise(abort.as_external(), Some(guest::fault_address()));
    ExitAction::Run
}

/// Does an access whose abort has no syndrome (ISV = 0) as the instruction itself says it: the one
/// that faulted at `ipa`, base writeback included. False, and nothing is done, if
/// the instruction can't be read, is none of those decoded, or does not explain the fault.
fn emulate_instruction(vcpu: &mut VcpuContext, ipa: Ipa, write: bool) -> bool {
    let Some(access) = instruction(vcpu).and_then(Access::decode) else {
        return false;
    };
    let base = base(vcpu, access.base);
    let far = guest::fault_address();
    let Some(address) = access.explains(base, far, write) else {
        return false;
    };
    // All elements lie in the page that faulted.
    let first = Ipa(ipa.0 & !0xfff | address & 0xfff);
    let Some(devices) = devices(vcpu, first, &access) else {
        return false;
    };
    perform(vcpu, &access, devices);
    if let Some(amount) = access.writeback {
        set_base(vcpu, access.base, base.wrapping_add_signed(amount));
    }
    true
}

/// The A64 instruction at the program counter, read once.
fn instruction(vcpu: &VcpuContext) -> Option<u32> {
    let regs = &vcpu.regs;
    if regs.is_aarch32() || regs.pc & 3 != 0 {
        return None;
    }
    let ipa = guest::translate(regs.pc, regs.spsr)?;
    let mut word = [0];
    memory::read(&vcpu.vm.ram, Ipa(ipa.0 & !7), &mut word)
        .then(|| (word[0] >> (8 * (ipa.0 & 4))) as u32)
}

/// What the elements are in. `None` if one of them is in nothing.
fn devices(vcpu: &VcpuContext, first: Ipa, access: &Access) -> Option<(Device, Option<Device>)> {
    let second = match access.second {
        Some(_) => Some(find(vcpu, Ipa(first.0 + u64::from(access.size)))?),
        None => None,
    };
    Some((find(vcpu, first)?, second))
}

/// Moves the elements, the first one first. A pair's registers change when both are read.
fn perform(vcpu: &mut VcpuContext, access: &Access, (first, second): (Device, Option<Device>)) {
    let moves = [Some((access.first, first)), access.second.zip(second)];
    let mut loaded = [None; 2];
    for (slot, (register, device)) in loaded.iter_mut().zip(moves.into_iter().flatten()) {
        if access.is_store() {
            let value = vcpu.regs.get(register);
            write(vcpu, device, access.size, value);
        } else {
            let value = read(vcpu, device, access.size);
            *slot = Some((register, access.extend(value)));
        }
    }
    for (register, value) in loaded.into_iter().flatten() {
        vcpu.regs.set(register, value);
    }
}

fn base(vcpu: &VcpuContext, base: Base) -> u64 {
    match base {
        Base::General(register) => vcpu.regs.get(register),
        Base::StackPointer => guest::stack_pointer(vcpu.regs.spsr),
    }
}

fn set_base(vcpu: &mut VcpuContext, base: Base, value: u64) {
    match base {
        Base::General(register) => vcpu.regs.set(register, value),
        Base::StackPointer => guest::set_stack_pointer(vcpu.regs.spsr, value),
    }
}
