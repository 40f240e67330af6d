// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest's device is there for.

use super::{BUFFER, PAGE, Page, device, pattern};
use crate::cases::Test;
use crate::outcome::Outcome;
use crate::rt::{cpu, gic, time};
use crate::{ensure, ensure_eq};

pub const TESTS: &[Test] = &[
    ("both_ways", both_ways),
    ("odd_addresses", odd_addresses),
    ("interrupt", interrupt),
];

/// The device reads one page of RAM and writes another.
fn both_ways() -> Outcome {
    let edu = device()?;
    let (from, to) = (Page::free(0), Page::free(1));
    from.fill(pattern);
    to.fill(|_| 0);
    edu.load(from)?;
    edu.store(to)?;
    to.check("copied", 0..BUFFER, |offset, found| {
        found == pattern(offset)
    })?;
    to.check("not copied", BUFFER..PAGE, |_, found| found == 0)
}

/// It writes neither more nor less than it is told, at any address.
fn odd_addresses() -> Outcome {
    const AT: usize = 0xfe1;
    const COUNT: usize = 30;
    let edu = device()?;
    let (from, to) = (Page::free(0), Page::free(1));
    from.fill(pattern);
    to.fill(|_| 0);
    edu.read(from.address() + 3, 1, COUNT)?;
    edu.write(to.address() + AT as u64, 1, COUNT)?;
    to.check("copied", 0..PAGE, |offset, found| {
        let inside = (AT..AT + COUNT).contains(&offset);
        found == if inside { pattern(offset - AT + 3) } else { 0 }
    })
}

/// Its pin is level-sensitive: the interrupt is there until the device is told, and then it is not.
fn interrupt() -> Outcome {
    const OF_DMA: u32 = 0x100;
    let edu = device()?;
    cpu::mask_irqs();
    gic::route(edu.intid, cpu::me());
    gic::enable(edu.intid);
    edu.begin_read(Page::free(0).address(), 0, BUFFER);
    let mut iar = gic::SPURIOUS;
    let came = time::eventually(|| {
        iar = gic::acknowledge();
        iar & 0x3ff == edu.intid
    });
    let status = edu.acknowledge();
    if came {
        gic::end(iar);
    }
    let is_quiet = time::eventually(|| !gic::is_pending(edu.intid));
    gic::disable(edu.intid);
    cpu::unmask_irqs();
    ensure!(came, "no interrupt {}", edu.intid);
    ensure_eq!(status, OF_DMA, "interrupt status");
    ensure!(is_quiet, "it is pending still");
    Ok(())
}
