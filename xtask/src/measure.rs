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
    let found = outcome.lines.iter().find_map(|line| figures(line));
    let figures = found.with_context(|| {
        let console = outcome.lines.join("\n");
        format!("no line of the hypervisor tells its figures:\n{console}\n")
    })?;
    println!("image                        {size} bytes");
    println!("EL2's memory                 {} KiB", figures.memory_kib);
    let boot = figures.boot_ticks * INSTRUCTIONS_PER_TICK;
    println!("entry to guest, instructions {boot} (one vCPU, one core)");
    let images = figures.image_ticks * INSTRUCTIONS_PER_TICK;
    println!("copying the guest's images   {images} more instructions");
    Ok(match test::run_masked(&toolchain)? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Figures {
    memory_kib: u64,
    boot_ticks: u64,
    image_ticks: u64,
}

/// Reads `EL2 keeps M KiB of RAM (…); T ticks from entry, I more for the guests' images`.
fn figures(line: &str) -> Option<Figures> {
    let rest = line.split_once("teevisor: EL2 keeps ")?.1;
    let (memory, rest) = rest.split_once(" KiB of RAM")?;
    let (before, rest) = rest.split_once(" ticks from entry, ")?;
    let ticks = before.rsplit(' ').next()?;
    let images = rest.split_once(" more for ")?.0;
    Some(Figures {
        memory_kib: memory.parse().ok()?,
        boot_ticks: ticks.parse().ok()?,
        image_ticks: images.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_from_the_hypervisors_line() {
        let line = "teevisor: EL2 keeps 1600 KiB of RAM (12 of 1024 KiB of heap in use); \
                    5000 ticks from entry, 3000 more for the guests' images";
        let expected = Figures {
            memory_kib: 1600,
            boot_ticks: 5000,
            image_ticks: 3000,
        };
        assert_eq!(figures(line), Some(expected));
        assert_eq!(figures("teevisor: EL2 keeps some KiB of RAM"), None);
        assert_eq!(figures("Linux version"), None);
    }
}
