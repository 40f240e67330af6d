// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine that QEMU plays, as plain data: which board, with what, from which files.
//! `boards` has the command that starts it.

use std::path::{Path, PathBuf};

use crate::choices::one_of;
use crate::emulator::{Emulator, escape};
use crate::firmware::Optee;
use crate::packages::Suite;
use platform::GicVersion;

/// Where the bytes lie that something before the hypervisor left: free RAM, which guests are given
/// first.
pub const RESIDUE: u64 = 0x40a0_0000;

/// A board.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Board {
    /// QEMU's virt machine
    #[default]
    Virt,
    /// NXP i.MX 8M Plus EVK, QEMU's imx8mp-evk, with the loader direct
    Imx8mp,
    /// Raspberry Pi 4 Model B, QEMU's raspi4b
    Rpi4,
    /// QEMU's sbsa-ref, a server
    Sbsa,
    /// AMD Versal, QEMU's xlnx-versal-virt, with the loader direct
    Versal,
    /// Xilinx ZCU102 (Zynq UltraScale+), QEMU's xlnx-zcu102
    Zcu102,
}

/// What starts the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Loader {
    /// TF-A, and OP-TEE where the board has it
    #[default]
    TfA,
    /// QEMU itself, as it loads Linux: no firmware, so no TEE
    Direct,
    /// Debian's U-Boot, from the disk that `cargo xtask image` makes: no TEE
    UBoot,
}

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
    #[arg(long, value_parser = one_of(GicVersion::ALL, GicVersion::number), default_value = "3")]
    pub gic: GicVersion,
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
    /// An SMMUv3 before the PCI bus, on the virt machine [QEMU 10 or newer is fetched if it is not installed]
    #[arg(long)]
    pub smmu: bool,
    /// A raw image: an NVMe disk on the PCI bus
    #[arg(long, value_name = "FILE")]
    pub nvme: Option<PathBuf>,
    /// An e1000e network card on the PCI bus, in QEMU's user network
    #[arg(long)]
    pub e1000e: bool,
    /// Another device on the PCI bus, as QEMU's -device has it: edu, for one
    #[arg(long, value_name = "DEVICE")]
    pub pci: Vec<String>,
    /// Wait for a debugger on port 1234 of this machine
    #[arg(long)]
    pub gdb: bool,
    /// A folder whose files the network card's other end gives by TFTP, as 10.0.2.2.
    #[arg(skip)]
    pub tftp: Option<PathBuf>,
    /// Whether the cores have EL2; without it, TF-A enters its payload at EL1.
    #[arg(skip = true)]
    pub el2: bool,
    /// What is loaded into QEMU itself, with its arguments.
    #[arg(skip)]
    pub plugin: Option<Plugin>,
    /// The file that is the virt machine's RAM.
    #[arg(skip)]
    pub ram: Option<PathBuf>,
    /// Ranges of a page that the device tree reserves, far apart, on the virt machine.
    #[arg(skip)]
    pub holes: u32,
    /// Whether the Raspberry Pi's tree calls its mini UART a 16550, which it is nearly, without an interrupt.
    #[arg(skip)]
    pub polled_16550: bool,
    /// Whether the virt machine is played by QEMU 9.0 or newer, fetched if it is not installed.
    #[arg(skip)]
    pub newer_qemu: bool,
    /// A file that is in RAM at [`RESIDUE`] when the machine starts.
    #[arg(skip)]
    pub residue: Option<PathBuf>,
}

/// A program that QEMU runs along with the machine: its file, and `NAME=VALUE` arguments.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The shared library.
    pub file: PathBuf,
    /// Arguments of the plugin.
    pub arguments: Vec<(&'static str, String)>,
}

impl Plugin {
    /// Returns what QEMU's option says.
    pub fn option(&self) -> String {
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
            gic: GicVersion::V3,
            cpu: "cortex-a57".into(),
            smp: 4,
            mem: "2G".into(),
            optee: None,
            optee_suite: None,
            icount: false,
            disk: None,
            smmu: false,
            nvme: None,
            e1000e: false,
            pci: Vec::new(),
            tftp: None,
            gdb: false,
            el2: true,
            plugin: None,
            residue: None,
            ram: None,
            holes: 0,
            polled_16550: false,
            newer_qemu: false,
        }
    }
}

/// What a machine is started from that is not ours.
#[derive(Clone, Debug, Default)]
pub struct Firmware {
    /// The QEMU that has the machine.
    pub emulator: Emulator,
    /// The flash image of the virt machine, or the folder with the board's files; none if QEMU
    /// itself is the loader.
    pub image: Option<PathBuf>,
}

impl Firmware {
    /// Makes the firmware of the virt machine's flash image.
    pub fn flash(image: PathBuf) -> Self {
        Self {
            emulator: Emulator::default(),
            image: Some(image),
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
