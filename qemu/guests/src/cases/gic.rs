// SPDX-License-Identifier: MIT OR Apache-2.0

//! The virtual GIC, version 2 or 3: the same tests on both.

use super::{Test, needs_second_vcpu};
use crate::outcome::{Outcome, Stop};
use crate::rt::{cpu, env, gic, read8, read32, read64, time};
use crate::{ensure, ensure_eq};
use platform::{GICD_BASE, GICR_BASE, GICR_STRIDE, INTIDS};

pub const TESTS: &[Test] = &[
    ("identity", identity),
    ("read_back", read_back),
    ("spurious", spurious),
    ("sgi_to_self", sgi_to_self),
    ("sgi_to_each_vcpu", sgi_to_each_vcpu),
    ("sgi_to_all_at_once", sgi_to_all_at_once),
    ("sgi_ping_pong", sgi_ping_pong),
    ("spi_pending", spi_pending),
    ("disabled_stays_pending", disabled_stays_pending),
    ("clear_pending", clear_pending),
    ("priority_order", priority_order),
    ("priority_mask", priority_mask),
    ("active_blocks_itself", active_blocks_itself),
    ("active_by_register", active_by_register),
    ("preemption", preemption),
    ("ppi_pending", ppi_pending),
    ("routing", routing),
    ("all_spis", all_spis),
    ("no_strays", no_strays),
];

/// SPIs that no device of the platform drives.
const SPI: u32 = 88;
const OTHER: u32 = 89;
const THIRD: u32 = 90;

fn identity() -> Outcome {
    let lines = (read32(GICD_BASE.0 + gic::TYPER) & 0x1f) * 32 + 32;
    ensure!(lines as usize >= INTIDS, "GICD_TYPER counts {lines} INTIDs");
    if env::get().gicv3 {
        let last = env::get().vcpus - 1;
        for cpu in 0..=last {
            let base = GICR_BASE.0 + GICR_STRIDE * cpu as u64;
            let typer = read32(base + 8);
            ensure_eq!(read32(base + 12) as usize, cpu, "affinity in GICR_TYPER");
            ensure_eq!(typer & 1 << 4 != 0, cpu == last, "GICR_TYPER.Last");
            ensure_eq!(
                (typer >> 8 & 0xffff) as usize,
                cpu,
                "GICR_TYPER.Processor_Number"
            );
            ensure_eq!(read32(base + 0xffe8) >> 4 & 0xf, 3, "GICR_PIDR2.ArchRev");
        }
    }
    Ok(())
}

fn read_back() -> Outcome {
    gic::enable(SPI);
    let enabled = gic::is_enabled(SPI);
    gic::disable(SPI);
    ensure!(enabled && !gic::is_enabled(SPI), "enable and disable");
    for priority in [0x00, 0x10, 0x80, 0xf0] {
        gic::set_priority(SPI, priority);
        ensure_eq!(gic::priority(SPI), priority, "priority");
        ensure_eq!(
            gic::priority(OTHER),
            gic::PRIORITY,
            "priority of its neighbour"
        );
    }
    let address = GICD_BASE.0 + 0x400 + u64::from(SPI);
    ensure_eq!(read8(address), 0xf0, "priority, read as a byte");
    gic::set_priority(SPI, gic::PRIORITY);
    if env::get().gicv3 {
        let router = GICD_BASE.0 + 0x6000 + 8 * u64::from(SPI);
        ensure_eq!(
            read64(router),
            u64::from(read32(router)),
            "GICD_IROUTER and its low half"
        );
    }
    for edge in [true, false, true] {
        gic::set_edge(SPI, edge);
        ensure_eq!(gic::is_edge(SPI), edge, "edge-triggered");
    }
    ensure!(gic::is_edge(0), "SGIs are edge-triggered");
    Ok(())
}

fn spurious() -> Outcome {
    cpu::without_irqs(|| {
        ensure_eq!(gic::highest_pending(), gic::SPURIOUS, "highest pending");
        ensure_eq!(gic::acknowledge() & 0x3ff, gic::SPURIOUS, "acknowledged");
        ensure!(
            gic::running_priority() >= 0xf0,
            "running priority {:#x}",
            gic::running_priority()
        );
        Ok(())
    })
}

fn sgi_to_self() -> Outcome {
    for sgi in (0..16).filter(|&sgi| sgi != cpu::WORK_SGI) {
        let before = gic::taken(0, sgi);
        gic::send_sgi(sgi, 1);
        ensure!(
            time::eventually(|| gic::taken(0, sgi) > before),
            "SGI {sgi} was not taken"
        );
        ensure_eq!(gic::taken(0, sgi), before + 1, "times taken");
    }
    Ok(())
}

fn sgi_to_each_vcpu() -> Outcome {
    needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    let vcpus = env::get().vcpus;
    for target in 1..vcpus {
        let before: [u32; cpu::MAX] = core::array::from_fn(|cpu| gic::taken(cpu, 1));
        gic::send_sgi(1, 1 << target);
        let taken = time::eventually(|| gic::taken(target, 1) > before[target]);
        ensure!(taken, "vCPU {target} took no SGI");
        for (cpu, before) in before.into_iter().enumerate() {
            let expected = before + u32::from(cpu == target);
            ensure_eq!(gic::taken(cpu, 1), expected, "SGIs taken");
        }
    }
    Ok(())
}

fn sgi_to_all_at_once() -> Outcome {
    needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    let vcpus = env::get().vcpus;
    for _ in 0..20 {
        let before: [u32; cpu::MAX] = core::array::from_fn(|cpu| gic::taken(cpu, 2));
        gic::send_sgi(2, (1 << vcpus) - 1);
        let all = || (0..vcpus).all(|cpu| gic::taken(cpu, 2) > before[cpu]);
        ensure!(time::eventually(all), "not every vCPU took the SGI");
    }
    Ok(())
}

const ROUNDS: u64 = 200;

/// Lets vCPU 0 send SGI 3, each of which vCPU 1 answers with SGI 4.
fn sgi_ping_pong() -> Outcome {
    needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    let (pings, pongs) = (gic::taken(1, 3), gic::taken(0, 4));
    cpu::begin(1, answer, u64::from(pings));
    for round in 1..=ROUNDS as u32 {
        gic::send_sgi(3, 1 << 1);
        let answered = time::eventually(|| gic::taken(0, 4) == pongs + round);
        ensure!(answered, "no answer in round {round}");
    }
    ensure_eq!(cpu::finish(1), Some(ROUNDS), "rounds answered");
    ensure_eq!(gic::taken(1, 3), pings + ROUNDS as u32, "pings taken");
    Ok(())
}

/// Answers [`ROUNDS`] pings, of which the first is number `before` + 1.
fn answer(before: u64) -> u64 {
    for round in 1..=ROUNDS {
        if !time::eventually(|| u64::from(gic::taken(1, 3)) >= before + round) {
            return round;
        }
        gic::send_sgi(4, 1);
    }
    ROUNDS
}

/// Makes `SPI` taken once by ISPENDR.
fn spi_pending() -> Outcome {
    gic::set_edge(SPI, true);
    gic::enable(SPI);
    for _ in 0..10 {
        let before = gic::taken(0, SPI);
        gic::set_pending(SPI);
        let taken = time::eventually(|| gic::taken(0, SPI) > before);
        ensure!(taken, "INTID {SPI} was not taken");
        ensure_eq!(gic::taken(0, SPI), before + 1, "times taken");
        ensure!(
            !gic::is_pending(SPI) && !gic::is_active(SPI),
            "pending or active after its end"
        );
    }
    gic::disable(SPI);
    Ok(())
}

fn disabled_stays_pending() -> Outcome {
    gic::disable(SPI);
    let before = gic::taken(0, SPI);
    gic::set_pending(SPI);
    time::pause(2);
    let early = gic::taken(0, SPI) - before;
    let pending = gic::is_pending(SPI);
    gic::enable(SPI);
    let taken = time::eventually(|| gic::taken(0, SPI) > before);
    gic::disable(SPI);
    ensure_eq!(early, 0, "times taken while disabled");
    ensure!(pending, "not pending while disabled");
    ensure!(taken, "not taken once enabled");
    Ok(())
}

fn clear_pending() -> Outcome {
    gic::enable(SPI);
    let before = gic::taken(0, SPI);
    cpu::without_irqs(|| {
        gic::set_pending(SPI);
        ensure!(gic::is_pending(SPI), "not pending");
        gic::clear_pending(SPI);
        ensure!(!gic::is_pending(SPI), "still pending");
        Ok(())
    })?;
    time::pause(2);
    gic::disable(SPI);
    ensure_eq!(gic::taken(0, SPI), before, "times taken");
    Ok(())
}

/// Acknowledges the next interrupt with IRQs masked. Its IAR.
fn next() -> Result<u32, Stop> {
    let mut iar = gic::SPURIOUS;
    let came = time::eventually(|| {
        iar = gic::acknowledge();
        iar & 0x3ff != gic::SPURIOUS
    });
    ensure!(came, "nothing to acknowledge");
    Ok(iar)
}

/// Runs `body` with IRQs masked and the three test SPIs enabled, and leaves them as they were.
fn with_spis(body: fn() -> Outcome) -> Outcome {
    let spis = [SPI, OTHER, THIRD];
    for spi in spis {
        gic::set_edge(spi, true);
        gic::enable(spi);
    }
    let outcome = cpu::without_irqs(|| {
        let outcome = body();
        for spi in spis {
            gic::disable(spi);
            gic::clear_pending(spi);
            gic::set_priority(spi, gic::PRIORITY);
        }
        outcome
    });
    gic::set_mask(0xf0);
    outcome
}

fn priority_order() -> Outcome {
    with_spis(|| {
        for (spi, priority) in [(SPI, 0xa0), (OTHER, 0x40), (THIRD, 0x80)] {
            gic::set_priority(spi, priority);
            gic::set_pending(spi);
        }
        for expected in [OTHER, THIRD, SPI] {
            let iar = next()?;
            gic::end(iar);
            ensure_eq!(iar & 0x3ff, expected, "acknowledged");
        }
        Ok(())
    })
}

fn priority_mask() -> Outcome {
    with_spis(|| {
        gic::set_mask(0x80);
        gic::set_pending(SPI);
        time::pause(2);
        ensure_eq!(
            gic::acknowledge() & 0x3ff,
            gic::SPURIOUS,
            "acknowledged behind the mask"
        );
        gic::set_mask(0xf0);
        let iar = next()?;
        gic::end(iar);
        ensure_eq!(iar & 0x3ff, SPI, "acknowledged");
        Ok(())
    })
}

/// Checks that an active interrupt that becomes pending again waits for its own end.
fn active_blocks_itself() -> Outcome {
    with_spis(|| {
        gic::set_pending(SPI);
        let first = next()?;
        ensure!(gic::is_active(SPI), "not active");
        ensure_eq!(gic::running_priority(), gic::PRIORITY, "running priority");
        gic::set_pending(SPI);
        time::pause(1);
        let during = gic::acknowledge() & 0x3ff;
        ensure!(gic::is_pending(SPI), "not pending again");
        gic::end(first);
        let second = next()?;
        gic::end(second);
        ensure_eq!(during, gic::SPURIOUS, "acknowledged while active");
        ensure_eq!(second & 0x3ff, SPI, "acknowledged");
        ensure!(!gic::is_active(SPI), "still active");
        Ok(())
    })
}

fn active_by_register() -> Outcome {
    with_spis(|| {
        gic::set_active(SPI);
        let active = gic::is_active(SPI);
        gic::set_pending(SPI);
        time::pause(1);
        let during = gic::acknowledge() & 0x3ff;
        gic::clear_active(SPI);
        let iar = next()?;
        gic::end(iar);
        ensure!(active, "ISACTIVER had no effect");
        ensure_eq!(during, gic::SPURIOUS, "acknowledged while active");
        ensure_eq!(iar & 0x3ff, SPI, "acknowledged");
        Ok(())
    })
}

/// Checks that a higher priority is signaled while a lower one is active; an equal one is not.
fn preemption() -> Outcome {
    with_spis(|| {
        gic::set_priority(OTHER, 0x40);
        gic::set_pending(SPI);
        let low = next()?;
        gic::set_pending(THIRD);
        time::pause(1);
        let equal = gic::acknowledge() & 0x3ff;
        gic::set_pending(OTHER);
        let high = next()?;
        let running = gic::running_priority();
        gic::end(high);
        let back = gic::running_priority();
        gic::end(low);
        let last = next()?;
        gic::end(last);
        ensure_eq!(equal, gic::SPURIOUS, "acknowledged at equal priority");
        ensure_eq!(
            [low & 0x3ff, high & 0x3ff, last & 0x3ff],
            [SPI, OTHER, THIRD],
            "order"
        );
        ensure_eq!([running, back], [0x40, gic::PRIORITY], "running priorities");
        Ok(())
    })
}

/// Checks that a PPI is private to its vCPU.
fn ppi_pending() -> Outcome {
    const PPI: u32 = 20;
    if env::is_bare() && !env::get().gicv3 {
        return Err(Stop::Skipped("QEMU's GICv2 does not do it"));
    }
    gic::enable(PPI);
    let before = gic::taken(0, PPI);
    gic::set_pending(PPI);
    let taken = time::eventually(|| gic::taken(0, PPI) > before);
    gic::clear_pending(PPI);
    gic::disable(PPI);
    ensure!(taken, "INTID {PPI} was not taken");
    for cpu in 1..env::get().vcpus {
        ensure_eq!(gic::taken(cpu, PPI), 0, "times taken elsewhere");
    }
    Ok(())
}

fn routing() -> Outcome {
    needs_second_vcpu()?;
    ensure!(cpu::start_all(), "not all vCPUs are on");
    gic::set_edge(SPI, true);
    let here = gic::taken(0, SPI);
    for target in 1..env::get().vcpus {
        gic::route(SPI, target);
        gic::enable(SPI);
        for _ in 0..10 {
            let before = gic::taken(target, SPI);
            gic::set_pending(SPI);
            let taken = time::eventually(|| gic::taken(target, SPI) > before);
            ensure!(taken, "vCPU {target} did not take INTID {SPI}");
        }
        gic::disable(SPI);
    }
    gic::route(SPI, 0);
    ensure_eq!(gic::taken(0, SPI), here, "times taken by vCPU 0");
    Ok(())
}

/// Raises all SPIs at once: more than there are list registers.
fn all_spis() -> Outcome {
    let spis = SPI..INTIDS as u32;
    let before: [u32; INTIDS] = core::array::from_fn(|intid| gic::taken(0, intid as u32));
    cpu::without_irqs(|| {
        for spi in spis.clone() {
            gic::set_edge(spi, true);
            gic::enable(spi);
            gic::set_pending(spi);
        }
    });
    let all = || {
        spis.clone()
            .all(|spi| gic::taken(0, spi) > before[spi as usize])
    };
    let done = time::eventually(all);
    for spi in spis.clone() {
        gic::disable(spi);
    }
    ensure!(done, "not every SPI was taken");
    for spi in spis {
        ensure_eq!(gic::taken(0, spi), before[spi as usize] + 1, "times taken");
    }
    Ok(())
}

/// Checks that nothing above was interrupted by what nobody sent.
fn no_strays() -> Outcome {
    ensure_eq!(gic::strays(), 0, "spurious interrupts");
    Ok(())
}
