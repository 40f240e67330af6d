// SPDX-License-Identifier: MIT OR Apache-2.0

//! How the guest was entered, and whether its tree tells the truth.

use super::Test;
use crate::outcome::Outcome;
use crate::rt::{entry, env, time};
use crate::{ensure, ensure_eq, mrs};
use platform::RAM_BASE;

pub const TESTS: &[Test] = &[
    ("el1", el1),
    ("registers", registers),
    ("affinity", affinity),
    ("tree", tree),
    ("counter", counter),
    ("memory", memory),
];

fn el1() -> Outcome {
    ensure_eq!(mrs!("CurrentEL") >> 2 & 3, 1, "exception level");
    let entered = entry::entered();
    ensure_eq!(entered.sctlr & 5, 0, "MMU and data cache at entry");
    ensure_eq!(entered.daif, 0x3c0, "DAIF at entry");
    Ok(())
}

/// Checks the boot protocol: x0 the tree, x1–x3 reserved and 0.
fn registers() -> Outcome {
    let x = entry::entered().x;
    ensure!(x[0].is_multiple_of(8), "tree at {:#x}", x[0]);
    ensure_eq!([x[1], x[2], x[3]], [0; 3], "x1-x3");
    Ok(())
}

fn affinity() -> Outcome {
    let mpidr = mrs!("mpidr_el1");
    ensure_eq!(mpidr & 0xff_00ff_ffff, 0, "affinity of the boot vCPU");
    ensure_eq!(mpidr >> 30 & 3, 2, "MPIDR_EL1 bits 31 and 30");
    Ok(())
}

fn tree() -> Outcome {
    let env = env::get();
    let (start, size) = env.ram;
    ensure_eq!(start, RAM_BASE.0, "start of RAM");
    let end = start + size;
    for (what, address) in [
        ("tree", env.tree.0),
        ("program", env::image().0),
        ("stacks", env::image().1 - 1),
    ] {
        ensure!(
            (start..end).contains(&address),
            "{what} at {address:#x}, outside RAM"
        );
    }
    ensure!((1..=8).contains(&env.vcpus), "{} vCPUs", env.vcpus);
    Ok(())
}

fn counter() -> Outcome {
    ensure!(
        time::frequency() >= 1_000_000,
        "the timer counts at {} Hz",
        time::frequency()
    );
    let (first, second) = (time::now(), time::now());
    ensure!(first <= second, "the counter went from {first} to {second}");
    let later = time::eventually(|| time::now() > second);
    ensure!(later, "the counter stands still");
    Ok(())
}

/// Writes one word of its own in every 2 MiB of RAM that nothing occupies: they are all there, and
/// no two are the same memory.
fn memory() -> Outcome {
    let mut written = 0u64;
    for address in free_blocks() {
        // SAFETY: mapped RAM that neither the program nor its tree uses.
        unsafe { (address as *mut u64).write_volatile(!address) };
        written += 1;
    }
    ensure!(written > 0, "no free RAM");
    for address in free_blocks() {
        // SAFETY: as above.
        let found = unsafe { (address as *const u64).read_volatile() };
        ensure!(found == !address, "{address:#x} holds {found:#x}");
    }
    Ok(())
}

const BLOCK: u64 = 2 << 20;

fn free_blocks() -> impl Iterator<Item = u64> {
    let env = env::get();
    let tree = (env.tree.0, env.tree.0 + env.tree.1 as u64);
    let is_free = move |&block: &u64| {
        let occupied = [Some(env::image()), Some(tree), env.initrd];
        let mut occupied = occupied.iter().flatten();
        occupied.all(|&(start, end)| end <= block || block + BLOCK <= start)
    };
    (env.ram.0..env.ram.0 + env.ram.1)
        .step_by(BLOCK as usize)
        .filter(is_free)
}
