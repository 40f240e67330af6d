// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask measure`: what the hypervisor itself costs, in numbers that repeat.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::boards;
use crate::bundle::{self, Changes};
use crate::cache::Cache;
use crate::firmware;
use crate::image::{self, Profile};
use crate::packages::Packages;
use crate::qemu::{Files, Firmware, Machine};
use crate::session::{self, Ended, Mode, RunDir, Until};
use crate::toolchain::Toolchain;
use crate::{guest, host, test};

/// With `-icount shift=0` an instruction takes a nanosecond, and QEMU's system counter ticks at
/// 62.5 MHz.
const INSTRUCTIONS_PER_TICK: u64 = 16;

/// Most instructions from EL2's entry until its cores serve guests, OP-TEE's for the guest's VM included.
const ENTRY_BUDGET: u64 = 8_000_000;

/// Performs the task.
pub fn run() -> Result<ExitCode> {
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    let packages = Packages::ensure(&cache)?;
    let guests = guest::ensure(&cache, &packages)?;
    let machine = Machine {
        smp: 1,
        icount: true,
        ..Machine::default()
    };
    let flash = firmware::flash(
        &cache,
        &packages,
        machine.gic,
        machine.smp,
        boards::secure_world(&machine),
    )?;
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    let bl33 = image::hypervisor(&toolchain, Profile::Release)?;
    let size = fs::metadata(&bl33)?.len();
    let dir = RunDir::new("measure", None)?;
    let changes = Changes {
        vcpus: Some(1),
        command: Some("true".into()),
        ..Changes::default()
    };
    let initrd = dir.file("bundle");
    fs::write(
        &initrd,
        bundle::pack(&bundle::default_manifest(), &guests, &changes)?,
    )?;
    let files = Files {
        firmware: Firmware::flash(flash),
        bl33,
        initrd: Some(initrd),
        bootargs: None,
    };
    let until = Until {
        limit: Some(Duration::from_secs(300)),
        ..Until::default()
    };
    let outcome = session::run(&machine, &files, &dir, &until, Mode::Captured)?;
    ensure!(
        outcome.ended == Ended::Off,
        "the machine did not go off: {:?}",
        outcome.ended
    );
    let figures = figures(&outcome.lines).with_context(|| {
        let console = outcome.lines.join("\n");
        format!("no lines of the hypervisor tell its figures:\n{console}\n")
    })?;
    let entry = figures.entry_ticks * INSTRUCTIONS_PER_TICK;
    let fits = entry <= ENTRY_BUDGET;
    let verdict = if fits { "kept" } else { "EXCEEDED" };
    let guest = (figures.start_ticks - figures.entry_ticks) * INSTRUCTIONS_PER_TICK;
    println!("image                        {size} bytes");
    println!("EL2's memory                 {} KiB", figures.memory_kib);
    println!("entry to cores, instructions {entry} of {ENTRY_BUDGET}: {verdict} (one core)");
    println!("preparing the guest          {guest} more instructions");
    let masked = test::run_masked(&toolchain)?;
    Ok(match fits && masked {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Figures {
    memory_kib: u64,
    entry_ticks: u64,
    start_ticks: u64,
}

/// Reads `EL2 keeps M KiB of RAM (…); T ticks from entry` and `NAME: started S ticks after EL2's entry`.
fn figures(lines: &[String]) -> Option<Figures> {
    let behind = |mark| lines.iter().find_map(|line| line.split_once(mark));
    let (memory, rest) = behind("teevisor: EL2 keeps ")?
        .1
        .split_once(" KiB of RAM")?;
    let entry = rest.strip_suffix(" ticks from entry")?.rsplit(' ').next()?;
    let start = behind(": started ")?
        .1
        .split_once(" ticks after EL2's entry")?;
    Some(Figures {
        memory_kib: memory.parse().ok()?,
        entry_ticks: entry.parse().ok()?,
        start_ticks: start.0.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_from_the_hypervisors_lines() {
        let keeps = "teevisor: EL2 keeps 1600 KiB of RAM (12 of 1024 KiB of heap in use); 5000 ticks from entry";
        let started = "teevisor: linux: started 8000 ticks after EL2's entry";
        let expected = Figures {
            memory_kib: 1600,
            entry_ticks: 5000,
            start_ticks: 8000,
        };
        let figures =
            |lines: &[&str]| figures(&lines.iter().map(|&line| line.into()).collect::<Vec<_>>());
        assert_eq!(
            figures(&["", keeps, "Linux version", started]),
            Some(expected)
        );
        assert_eq!(figures(&[keeps]), None);
        assert_eq!(
            figures(&["teevisor: EL2 keeps some KiB of RAM", started]),
            None
        );
    }
}
