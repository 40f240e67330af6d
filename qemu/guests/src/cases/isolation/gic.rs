// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interrupt controller, written to as no driver would. It answers as the architecture says,
//! works again once it is set up anew, and reaches no other guest.

use crate::cases::needs_hypervisor;
use crate::outcome::{Outcome, Stop};
use crate::rt::random::Random;
use crate::rt::sysreg::Sysreg;
use crate::rt::{cpu, env, gic, read8, read32, read64, time, trap, write8, write32, write64};
use crate::{ensure, ensure_eq, msr};
use core::ops::Range;
use platform::{GICC_BASE, GICC_SIZE, GICD_BASE, GICR_BASE, GICR_STRIDE};

/// Tries every register of the distributor, and of the redistributors or the CPU interface.
pub fn every_register() -> Outcome {
    needs_hypervisor()?;
    cpu::mask_irqs();
    let result = frame(GICD_BASE.0, 0x1_0000, Some(is_distributor)).and_then(|()| {
        if env::get().gicv3 {
            let frames = GICR_STRIDE * env::get().vcpus as u64;
            frame(GICR_BASE.0, frames, Some(is_redistributor))
        } else {
            frame(GICC_BASE.0, GICC_SIZE, None)
        }
    });
    restore();
    result?;
    works()
}

const BANKS: Range<u64> = 0x080..0xd00;

/// Tells whether the distributor has something at `offset` (docs of crates/vgic): else RAZ/WI.
fn is_distributor(offset: u64) -> bool {
    match offset {
        0..0xc => true,
        0xf00..0xf30 | 0xfe8 => !env::get().gicv3,
        0x6000..0x7fe0 | 0xffe8 => env::get().gicv3,
        _ => BANKS.contains(&offset),
    }
}

fn is_redistributor(offset: u64) -> bool {
    match offset % GICR_STRIDE {
        0x4..0x18 | 0xffe8 => true,
        offset => BANKS.contains(&offset.wrapping_sub(0x1_0000)),
    }
}

/// Words, then other widths, of a frame.
fn frame(base: u64, size: u64, has: Option<fn(u64) -> bool>) -> Outcome {
    let mut random = Random::new(base);
    for offset in (0..size).step_by(4) {
        let at = base + offset;
        for value in [0, u32::MAX, random.next() as u32] {
            write32(at, value);
            let read = read32(at);
            let nothing = has.is_some_and(|has| !has(offset));
            ensure!(!nothing || read == 0, "{at:#x} is {read:#x}, not RAZ/WI");
        }
    }
    for _ in 0..4096 {
        let (at, value) = (base + random.below(size), random.next());
        let taken = trap::catch(|| match random.below(4) {
            0 => drop_value(read8(at).into()),
            1 => drop_value(read64(at & !7)),
            2 => write8(at, value as u8),
            _ => write64(at & !7, value),
        });
        // Which widths the hardware's own CPU interface takes is up to it.
        let right =
            taken.is_none_or(|e| has.is_none() && e.is_data_abort(at & !7, e.esr & 64 != 0));
        ensure!(right, "access to {at:#x}: {taken:x?}");
    }
    Ok(())
}

fn drop_value(_: u64) {}

/// Sets all up anew; the active priorities too, which no driver writes.
fn restore() {
    const GICC_APR: u64 = 0xd0;
    const GICC_NSAPR: u64 = 0xe0;
    if env::get().gicv3 {
        for crm in [8, 9] {
            for op2 in if crm == 8 { 4..8 } else { 0..4 } {
                // Not all are there.
                let _ = Sysreg(3, 0, 12, crm, op2).write(0);
            }
        }
    } else {
        for n in 0..4 {
            write32(GICC_BASE.0 + GICC_APR + 4 * n, 0);
            write32(GICC_BASE.0 + GICC_NSAPR + 4 * n, 0);
        }
    }
    gic::init_distributor();
    gic::init_cpu();
    cpu::unmask_irqs();
}

/// Checks SGIs to itself and to vCPU 1, an SPI and the priority mask.
fn works() -> Outcome {
    const SPI: u32 = 90;
    for intid in [3, SPI] {
        let before = gic::taken(0, intid);
        if intid == SPI {
            gic::set_edge(SPI, true);
            gic::enable(SPI);
            gic::set_pending(SPI);
        } else {
            gic::send_sgi(intid, 1);
        }
        let arrived = time::eventually(|| gic::taken(0, intid) > before);
        gic::disable(SPI);
        ensure!(arrived, "INTID {intid} does not arrive");
    }
    if env::get().vcpus > 1 {
        ensure!(cpu::start_all(), "not all vCPUs are on");
        let done = (1..env::get().vcpus).all(|cpu| cpu::run_on(cpu, |x| x + 1, 41) == Some(42));
        let off = (1..env::get().vcpus).all(cpu::stop);
        ensure!(done && off, "work by SGI");
    }
    Ok(())
}

/// Tries what an ICC_SGI*R names: target list, Aff1, INTID, Aff2, IRM, range selector and Aff3.
pub fn wild_sgis() -> Outcome {
    needs_hypervisor()?;
    let taken = || (0..16).map(|sgi| gic::taken(0, sgi)).sum::<u32>();
    let before = taken();
    let result = if env::get().gicv3 {
        wild_v3()
    } else {
        wild_v2()
    };
    let sent = result?;
    let arrived = time::eventually(|| taken() - before == sent);
    ensure!(arrived, "{} SGIs of {sent} arrived", taken() - before);
    // Those that the others got, which are off, do no harm.
    works()
}

const LISTS: [u64; 6] = [0, 1, 2, 0xaaaa, 0xfffe, 0xffff];

/// Counts how many SGIs went to this vCPU, each of which has arrived.
fn wild_v3() -> Result<u32, Stop> {
    const AFFINITIES: [u64; 4] = [0, 1, 0x80, 0xff];
    const IRM: u64 = 1 << 40;
    const ELSEWHERE: u64 = 0xff << 48 | 0xf << 44 | 0xff << 32 | 0xff << 16;
    let mut sent = 0;
    for n in 0..6 * 4 * 4 * 4 * 4u64 {
        let field = |index: u32| (n / 6) >> (2 * index) & 3;
        let affinity = |index| AFFINITIES[field(index) as usize];
        let value = LISTS[(n % 6) as usize]
            | affinity(0) << 16
            | (n % 16) << 24
            | affinity(1) << 32
            | (field(3) & 1) << 40
            | (field(3) >> 1) << 44
            | affinity(2) << 48;
        // All are of group 1: ICC_SGI0R_EL1 and ICC_ASGI1R_EL1 reach none.
        msr!("S3_0_C12_C11_7", value);
        msr!("S3_0_C12_C11_6", value);
        msr!("S3_0_C12_C11_5", value);
        if value & (IRM | ELSEWHERE) == 0 && value & 1 != 0 {
            sent += 1;
            arrived_alone((value >> 24 & 0xf) as u32)?;
        }
    }
    Ok(sent)
}

/// Sends wild SGIs by GICD_SGIR: filter, target list, NSATT, INTID and reserved bits.
fn wild_v2() -> Result<u32, Stop> {
    const SGIR: u64 = 0xf00;
    let mut sent = 0;
    for n in 0..4 * 6 * 16 * 8u64 {
        let (filter, list) = (n & 3, LISTS[(n / 4 % 6) as usize] & 0xff);
        let sgi = n / 24 % 16;
        let reserved = (n / 384) << 26 | (n / 384) << 4;
        let value = filter << 24 | list << 16 | sgi | reserved;
        write32(GICD_BASE.0 + SGIR, value as u32);
        if filter == 0 && list & 1 != 0 || filter == 2 {
            sent += 1;
            arrived_alone(sgi as u32)?;
        }
    }
    Ok(sent)
}

/// Waits for what was sent before the next one could merge with it.
fn arrived_alone(sgi: u32) -> Outcome {
    let gone = time::eventually(|| !gic::is_pending(sgi) && !gic::is_active(sgi));
    ensure!(gone, "SGI {sgi} stays pending");
    ensure_eq!(gic::strays(), 0, "interrupts of no INTID");
    Ok(())
}

/// Writes the CPU interface's system registers with any value, and back.
pub fn cpu_interface() -> Outcome {
    needs_hypervisor()?;
    if !env::get().gicv3 {
        return Err(Stop::Skipped("GICv2"));
    }
    let mut random = Random::new(0x69);
    cpu::mask_irqs();
    for _ in 0..4096 {
        let register = Sysreg(3, 0, 12, 8 + random.below(5) as u32, random.below(8) as u32);
        let value = match random.below(3) {
            0 => 0,
            1 => u64::MAX,
            _ => random.next(),
        };
        for taken in [register.write(value).err(), register.read().err()] {
            let right = taken.is_none_or(|e| e.is_undefined());
            ensure!(right, "{register:?}: {taken:x?}");
        }
    }
    restore();
    works()
}
