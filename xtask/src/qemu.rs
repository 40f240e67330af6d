//! A machine that QEMU plays: which board, with what, and the command that starts it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::boards::{self, Board, Firmware, Loader, escape};
use crate::command;
use crate::firmware::{self, Gic, Optee};
use crate::packages::Suite;

/// QEMU for 64-bit Arm.
pub const PROGRAM: &str = "qemu-system-aarch64";

/// Where the bytes lie that something before the hypervisor left: free RAM, which guests are given
/// first.
const RESIDUE: u64 = 0x40a0_0000;

/// What the machine has.
#[derive(Clone, clap::Args)]
pub struct Machine {
    /// The board that QEMU plays
    #[arg(long, value_enum, default_value_t)]
    pub board: Board,
    /// What starts the hypervisor
    #[arg(long, value_enum, default_value_t)]
    pub loader: Loader,
    /// Version of the interrupt controller
    #[arg(long, value_enum, default_value = "3")]
    pub gic: Gic,
    /// Model of the cores: cortex-a53, cortex-a57, cortex-a72, cortex-a76, max
    #[arg(long, default_value = "cortex-a57")]
    pub cpu: String,
    /// Number of cores
    #[arg(long, default_value_t = 4)]
    pub smp: u32,
    /// RAM, as QEMU writes it
    #[arg(long, default_value = "2G")]
    pub mem: String,
    /// What runs in the secure world [default: virtualized; none with GICv2, on the Raspberry Pi,
    /// or without firmware]
    #[arg(long, value_enum)]
    pub optee: Option<Optee>,
    /// Debian suite that OP-TEE and its TAs come from [default: trixie; sid where it is built from
    /// source: with GICv2, with more than four cores, on the ZCU102]
    #[arg(long, value_enum)]
    pub optee_suite: Option<Suite>,
    /// One instruction a nanosecond, so that times repeat from run to run
    #[arg(long)]
    pub icount: bool,
    /// A raw image: what is behind the board's /virtio_mmio@a003e00
    #[arg(long, value_name = "FILE")]
    pub disk: Option<PathBuf>,
    /// Wait for a debugger on port 1234 of this machine
    #[arg(long)]
    pub gdb: bool,
    /// Whether the cores have EL2; without it, TF-A enters its payload at EL1.
    #[arg(skip = true)]
    pub el2: bool,
    /// What is loaded into QEMU itself, with its arguments.
    #[arg(skip)]
    pub plugin: Option<Plugin>,
    /// A file that is in RAM at [`RESIDUE`] when the machine starts.
    #[arg(skip)]
    pub residue: Option<PathBuf>,
}

/// A program that QEMU runs along with the machine: its file, and `NAME=VALUE` arguments.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The shared library.
    pub file: PathBuf,
    /// Its arguments.
    pub arguments: Vec<(&'static str, String)>,
}

impl Plugin {
    fn option(&self) -> String {
        let arguments = self
            .arguments
            .iter()
            .map(|(name, value)| format!(",{name}={}", escape(Path::new(value))));
        escape(&self.file) + &arguments.collect::<String>()
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            board: Board::Virt,
            loader: Loader::TfA,
            gic: Gic::V3,
            cpu: "cortex-a57".into(),
            smp: 4,
            mem: "2G".into(),
            optee: None,
            optee_suite: None,
            icount: false,
            disk: None,
            gdb: false,
            el2: true,
            plugin: None,
            residue: None,
        }
    }
}

/// The files a machine starts from.
pub struct Files {
    /// TF-A, OP-TEE and what else the board needs.
    pub firmware: Firmware,
    /// What TF-A hands over to: the hypervisor, or a kernel.
    pub bl33: PathBuf,
    /// Named by the device tree as the initrd: the bundle, or an initial file system. The tree
    /// names none without it.
    pub initrd: Option<PathBuf>,
    /// The kernel's arguments in the device tree.
    pub bootargs: Option<String>,
}

impl Machine {
    /// What runs in the secure world.
    pub fn secure_world(&self) -> Optee {
        self.optee
            .unwrap_or_else(|| self.board.secure_world(self.loader, self.gic))
    }

    /// The suite that OP-TEE is from. Where it must be built, that is unstable: the sources of the
    /// stable one are gone from the mirrors, which keep the newest only.
    pub fn optee_suite(&self) -> Suite {
        let built = self.secure_world() != Optee::None
            && (self.board == Board::Zcu102 || firmware::is_built(self.gic, self.smp));
        let usual = if built { Suite::Sid } else { Suite::Trixie };
        self.optee_suite.unwrap_or(usual)
    }

    /// Whether the console says that the board was to be powered off, on a board that QEMU does not
    /// power off.
    pub fn is_over(&self, console: &[String]) -> bool {
        let said = |line: &String| line.contains("all guests are off: powering the board off");
        !self.board.powers_off(self.loader) && console.iter().any(said)
    }

    /// The command that starts it; the console is on standard input and output, the other UART's
    /// output, on most boards the secure world's, goes to `log`. Writes the device tree to `tree`
    /// unless QEMU makes it.
    pub fn command(&self, files: &Files, tree: &Path, log: &Path) -> Result<Command> {
        let mut qemu = boards::command(self, files, tree, log)?;
        if self.icount {
            qemu.args(["-icount", "shift=0,sleep=off"]);
        }
        if let Some(disk) = &self.disk {
            let drive = format!("if=none,id=disk,format=raw,file={}", escape(disk));
            qemu.args(["-drive", &drive, "-device", "virtio-blk-device,drive=disk"]);
        }
        if let Some(residue) = &self.residue {
            qemu.args(["-device", &boards::loader(residue, RESIDUE)]);
        }
        if let Some(plugin) = &self.plugin {
            qemu.args(["-plugin", &plugin.option()]);
        }
        if self.gdb {
            qemu.args(["-s", "-S"]);
        }
        Ok(qemu)
    }
}

/// Whether this build of QEMU loads plugins.
pub fn has_plugins() -> Result<bool> {
    let help = command::output(Command::new(PROGRAM).arg("--help"))?;
    Ok(help.lines().any(|line| line.starts_with("-plugin ")))
}

/// QEMU's version line.
pub fn version() -> Result<String> {
    let text = command::output(Command::new(PROGRAM).arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_do_not_end_qemu_options() {
        let plugin = Plugin {
            file: "/a,b".into(),
            arguments: vec![("out", "/c,d".into()), ("size", "10".into())],
        };
        assert_eq!(plugin.option(), "/a,,b,out=/c,,d,size=10");
    }
}
