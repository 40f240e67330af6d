// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo xtask run-qemu`: one command from sources to a guest's shell.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use platform::Conduit;

use crate::boards;
use crate::bundle::{self, Changes};
use crate::cache::Cache;
use crate::choices::one_of;
use crate::firmware::Optee;
use crate::guest;
use crate::image::{self, LogLevel, Profile};
use crate::packages::Packages;
use crate::qemu::{Board, Files, Firmware, Machine};
use crate::script::Script;
use crate::session::{self, Ended, Mode, Outcome, RunDir, Until};
use crate::terminals::Guests;
use crate::toolchain::Toolchain;
use crate::{host, ui};

/// What a guest needs to say to Linux on the virtual platform.
const BASELINE_ARGUMENTS: &str = "console=ttyAMA0 quiet";
/// Exit code when the guest ended without reporting its command's status.
const NO_REPORT: u8 = 125;
/// Exit code when the time limit was reached, as of timeout(1).
const TIME_LIMIT: u8 = 124;

/// Arguments of `run-qemu`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    machine: Machine,
    /// Run a command in the guest and exit with its status, instead of giving its shell
    #[arg(long, value_name = "COMMAND")]
    guest_cmd: Option<String>,
    /// Manifest of the guests [default: qemu/profiles/linux.toml]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Number of vCPUs of the first guest
    #[arg(long, value_name = "N")]
    vcpus: Option<u32>,
    /// How the first guest calls PSCI and OP-TEE
    #[arg(long, value_parser = one_of(Conduit::ALL, Conduit::name))]
    conduit: Option<Conduit>,
    /// Boot Linux without the hypervisor, on plain OP-TEE
    #[arg(long, conflicts_with_all = ["manifest", "vcpus", "conduit", "debug"])]
    no_hypervisor: bool,
    /// Build with optimization (the default)
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Build with debug assertions
    #[arg(long)]
    debug: bool,
    /// How much the hypervisor tells of what it does
    #[arg(long, value_enum, default_value_t, conflicts_with = "no_hypervisor")]
    log_level: LogLevel,
    /// A UART on which the hypervisor speaks before it has read the device tree: docs/hardware.md
    #[arg(long, value_name = "UART", conflicts_with = "no_hypervisor")]
    early_console: Option<boards::EarlyConsole>,
    /// Keep the run's files here: console.log, tee.log, board.dtb, command
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// Write what each guest prints to a file of its own here, NAME.log
    #[arg(long, value_name = "DIR", conflicts_with = "no_hypervisor")]
    guest_logs: Option<PathBuf>,
    /// Give each guest a terminal of its own, a device for screen or minicom
    #[arg(long, conflicts_with = "no_hypervisor")]
    guest_terminals: bool,
    /// End after this many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl Options {
    /// Tells whether the guest runs a command instead of a shell.
    pub fn has_command(&self) -> bool {
        self.guest_cmd.is_some()
    }

    /// Tells whether the hypervisor runs.
    pub fn has_hypervisor(&self) -> bool {
        !self.no_hypervisor
    }
}

/// Performs it.
pub fn run(options: &Options) -> Result<ExitCode> {
    Ok(with_script(options, &[])?.1)
}

/// Performs a run in which `script` is typed if no person types. Also gives what the console said.
pub fn with_script(options: &Options, script: Script) -> Result<(Vec<String>, ExitCode)> {
    session::remove_stale_runs()?;
    let dir = RunDir::new("run-qemu", options.log.as_deref())?;
    let (machine, files) = prepare(options, &dir)?;
    let mode = if options.guest_cmd.is_some() {
        Mode::Shown
    } else {
        Mode::Interactive
    };
    if mode == Mode::Interactive {
        ui::note(
            "Ctrl-C or Ctrl-A x ends QEMU; Ctrl-A c sends Ctrl-C to the guest; Ctrl-] ? helps",
        );
    }
    if machine.gdb {
        ui::note("waiting for a debugger: gdb-multiarch -ex 'target remote :1234'");
    }
    let guests = guests(options)?.map(RefCell::new);
    let until = Until {
        limit: options.timeout.map(Duration::from_secs),
        guests: guests.as_ref(),
        script,
        ..Until::default()
    };
    let outcome = session::run(&machine, &files, &dir, &until, mode)?;
    let code = exit_code(&outcome, mode);
    Ok((outcome.lines, code))
}

/// Opens the guests' own logs and terminals, if they are wanted.
fn guests(options: &Options) -> Result<Option<Guests>> {
    let logs = options.guest_logs.as_deref();
    if logs.is_none() && !options.guest_terminals {
        return Ok(None);
    }
    let names = bundle::guest_names(&manifest(options))?;
    Guests::new(names, logs, options.guest_terminals).map(Some)
}

fn manifest(options: &Options) -> PathBuf {
    options
        .manifest
        .clone()
        .unwrap_or_else(bundle::default_manifest)
}

fn exit_code(outcome: &Outcome, mode: Mode) -> ExitCode {
    match (outcome.ended, outcome.statuses.iter().max()) {
        (Ended::TimeLimit, _) => {
            ui::note("the time limit was reached");
            TIME_LIMIT.into()
        }
        (Ended::Quit, _) if mode == Mode::Interactive => ExitCode::SUCCESS,
        (Ended::Quit, _) => 130.into(),
        (_, Some(status)) => u8::try_from(*status).unwrap_or(u8::MAX).into(),
        (_, None) if mode == Mode::Interactive => ExitCode::SUCCESS,
        (_, None) => {
            ui::note("the machine went off without a guest's report of its exit status");
            NO_REPORT.into()
        }
    }
}

fn prepare(options: &Options, dir: &RunDir) -> Result<(Machine, Files)> {
    let cache = Cache::open()?;
    host::ensure_tools(&cache)?;
    let mut machine = options.machine.clone();
    let packages = Packages::with_optee(&cache, boards::optee_suite(&machine))?;
    let manifest = manifest(options);
    // What is wrong with it is told when it is packed.
    let text = std::fs::read_to_string(&manifest).unwrap_or_default();
    let guests = guest::for_manifest(&cache, &packages, &text)?;
    if options.no_hypervisor {
        anyhow::ensure!(
            machine.board == Board::Virt,
            "--no-hypervisor is for the virt board"
        );
        if boards::secure_world(&machine) == Optee::Virtualized {
            // That build waits for a hypervisor to create guests.
            machine.optee = Some(Optee::Plain);
        }
    }
    let firmware = boards::firmware(&cache, &packages, &machine)?;
    if options.no_hypervisor {
        let files = baseline(firmware, &guests, options.guest_cmd.as_deref());
        return Ok((machine, files));
    }
    let toolchain = Toolchain::ensure(&cache)?;
    drop(cache);
    let profile = if options.debug {
        Profile::Debug
    } else {
        Profile::Release
    };
    let bl33 = image::hypervisor_with(
        &toolchain,
        profile,
        options.log_level,
        options.early_console,
    )?;
    let initrd = dir.file("bundle");
    let bytes = bundle::pack(&manifest, &guests, &changes(options))?;
    std::fs::write(&initrd, bytes).with_context(|| format!("{}", initrd.display()))?;
    Ok((
        machine,
        Files {
            firmware,
            bl33,
            initrd: Some(initrd),
            bootargs: None,
        },
    ))
}

fn changes(options: &Options) -> Changes {
    let usual = match options.manifest {
        None => boards::recipe(options.machine.board).usual_vcpus(),
        Some(_) => None,
    };
    Changes {
        vcpus: options.vcpus.or(usual),
        conduit: options.conduit,
        command: options.guest_cmd.clone(),
    }
}

/// Prepares Linux in the hypervisor's place.
pub fn baseline(firmware: Firmware, guests: &Path, command: Option<&str>) -> Files {
    let command = command.map(guest::command_argument);
    let words = [Some(BASELINE_ARGUMENTS.to_owned()), command];
    Files {
        firmware,
        bl33: guests.join(guest::KERNEL),
        initrd: Some(guests.join(guest::INITRAMFS)),
        bootargs: Some(words.into_iter().flatten().collect::<Vec<_>>().join(" ")),
    }
}
