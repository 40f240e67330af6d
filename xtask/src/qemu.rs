//! QEMU's `virt` machine as a board: its arguments and its device tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::firmware::{BL33, Gic, Optee};
use crate::packages::Suite;

const PROGRAM: &str = "qemu-system-aarch64";
/// Where the bundle, or a kernel's initial file system, is loaded.
const INITRD: u64 = 0x6800_0000;

/// What the machine has.
#[derive(Clone, clap::Args)]
pub struct Machine {
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
    /// What runs in the secure world [default: virtualized; none with GICv2]
    #[arg(long, value_enum)]
    pub optee: Option<Optee>,
    /// Debian suite that OP-TEE and its TAs come from
    #[arg(long, value_enum, default_value_t)]
    pub optee_suite: Suite,
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
            gic: Gic::V3,
            cpu: "cortex-a57".into(),
            smp: 4,
            mem: "2G".into(),
            optee: None,
            optee_suite: Suite::default(),
            icount: false,
            disk: None,
            gdb: false,
            el2: true,
            plugin: None,
        }
    }
}

/// The files a machine starts from.
pub struct Files {
    /// TF-A and OP-TEE.
    pub flash: PathBuf,
    /// What TF-A hands over to: the hypervisor, or a kernel.
    pub bl33: PathBuf,
    /// Named by the device tree as the initrd: the bundle, or an initial file system. The tree
    /// names none without it.
    pub initrd: Option<PathBuf>,
    /// The kernel's arguments in the device tree.
    pub bootargs: Option<String>,
}

impl Machine {
    /// What runs in the secure world: OP-TEE where Debian's build of it can.
    pub fn secure_world(&self) -> Optee {
        self.optee.unwrap_or(match self.gic {
            Gic::V2 => Optee::None,
            Gic::V3 => Optee::Virtualized,
        })
    }

    /// The command that starts it; the first UART is on standard input and output, the secure
    /// world's goes to `tee_log`. Writes the device tree to `tree`.
    pub fn command(&self, files: &Files, tree: &Path, tee_log: &Path) -> Result<Command> {
        self.write_tree(files, tree)?;
        // The kernel of this machine ends QEMU even if xtask is killed.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", PROGRAM])
            .args(self.arguments("", &files.flash));
        qemu.args(["-monitor", "none", "-dtb"]).arg(tree);
        qemu.args(["-device", &loader(&files.bl33, BL33)]);
        if let Some(initrd) = &files.initrd {
            qemu.args(["-device", &loader(initrd, INITRD)]);
        }
        qemu.args([
            "-serial",
            "stdio",
            "-serial",
            &format!("file:{}", escape(tee_log)),
        ]);
        if self.icount {
            qemu.args(["-icount", "shift=0,sleep=off"]);
        }
        if let Some(disk) = &self.disk {
            let drive = format!("if=none,id=disk,format=raw,file={}", escape(disk));
            qemu.args(["-drive", &drive, "-device", "virtio-blk-device,drive=disk"]);
        }
        if let Some(plugin) = &self.plugin {
            qemu.args(["-plugin", &plugin.option()]);
        }
        if self.gdb {
            qemu.args(["-s", "-S"]);
        }
        Ok(qemu)
    }

    fn arguments(&self, machine_option: &str, flash: &Path) -> Vec<String> {
        let gic = self.gic.version();
        let el2 = if self.el2 { "on" } else { "off" };
        let machine =
            format!("virt,secure=on,virtualization={el2},gic-version={gic}{machine_option}");
        let smp = self.smp.to_string();
        let flash = flash.display().to_string();
        let pairs = [
            ("-machine", machine.as_str()),
            ("-cpu", &self.cpu),
            ("-smp", &smp),
            ("-m", &self.mem),
            ("-nic", "none"),
            ("-display", "none"),
            ("-bios", &flash),
        ];
        // The seeds that QEMU writes to /chosen, too, are to repeat.
        let seed = self.icount.then_some(("-seed", "1"));
        pairs
            .iter()
            .chain(&seed)
            .flat_map(|(a, b)| [a.to_string(), b.to_string()])
            .collect()
    }

    /// QEMU's own tree plus what a boot loader would add to /chosen. It must be dumped with
    /// -bios: the tree of a machine without firmware names a secure GPIO that faults.
    fn write_tree(&self, files: &Files, tree: &Path) -> Result<()> {
        let dumped = tree.with_extension("dumped");
        let dump = format!(",dumpdtb={}", escape(&dumped));
        command::output(Command::new(PROGRAM).args(self.arguments(&dump, &files.flash)))?;
        // QEMU leaves a megabyte of free space in it, and doubles that when it loads the tree:
        // more than OP-TEE takes.
        let mut pack = Command::new("dtc");
        pack.args(["-q", "-I", "dtb", "-O", "dtb", "-o"])
            .arg(tree)
            .arg(&dumped);
        command::output(&mut pack)?;
        fs::remove_file(&dumped)?;
        if let Some(initrd) = &files.initrd {
            let size = fs::metadata(initrd)
                .with_context(|| format!("{}", initrd.display()))?
                .len();
            chosen_address(tree, "linux,initrd-start", INITRD)?;
            chosen_address(tree, "linux,initrd-end", INITRD + size)?;
        }
        if let Some(bootargs) = &files.bootargs {
            let mut put = Command::new("fdtput");
            put.args(["-t", "s"])
                .arg(tree)
                .args(["/chosen", "bootargs", bootargs]);
            command::output(&mut put)?;
        }
        Ok(())
    }
}

fn chosen_address(tree: &Path, property: &str, address: u64) -> Result<()> {
    let cells = [address >> 32, address & 0xffff_ffff].map(|cell| format!("{cell:x}"));
    let mut put = Command::new("fdtput");
    put.args(["-t", "x"])
        .arg(tree)
        .args(["/chosen", property])
        .args(cells);
    command::output(&mut put).map(|_| ())
}

fn loader(file: &Path, address: u64) -> String {
    format!(
        "loader,file={},addr={address:#x},force-raw=on",
        escape(file)
    )
}

/// A comma ends a value in QEMU's option syntax; two stand for one.
fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
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
        assert_eq!(
            loader(Path::new("/a,b"), BL33),
            "loader,file=/a,,b,addr=0x60000000,force-raw=on"
        );
        let plugin = Plugin {
            file: "/a,b".into(),
            arguments: vec![("out", "/c,d".into()), ("size", "10".into())],
        };
        assert_eq!(plugin.option(), "/a,,b,out=/c,,d,size=10");
    }
}
