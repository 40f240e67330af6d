//! The flash image that QEMU boots: TF-A, built from Debian's source, with OP-TEE's binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Inputs, Work};
use crate::packages::Packages;
use crate::{command, fip};

/// Where BL2 expects the firmware package in the flash.
const FIP_OFFSET: usize = 256 * 1024;
/// Where BL2 hands over: the hypervisor's image, or a Linux kernel, is there already.
pub const BL33: u64 = 0x6000_0000;

/// Interrupt controller of the machine; TF-A is built for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Gic {
    /// GICv2.
    #[value(name = "2")]
    V2,
    /// GICv3.
    #[value(name = "3")]
    V3,
}

impl Gic {
    /// Its architecture version.
    pub fn version(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// What runs in the secure world.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Optee {
    /// OP-TEE built to serve guests under a hypervisor.
    Virtualized,
    /// OP-TEE as built for one normal world.
    Plain,
    /// TF-A alone.
    None,
}

impl Optee {
    fn name(self) -> &'static str {
        match self {
            Self::Virtualized => "virtualized",
            Self::Plain => "plain",
            Self::None => "none",
        }
    }

    fn folder(self) -> Option<&'static str> {
        match self {
            Self::Virtualized => Some("vexpress-qemu_armv8a-virtualized"),
            Self::Plain => Some("vexpress-qemu_armv8a"),
            Self::None => None,
        }
    }

    fn dispatcher(self) -> &'static str {
        if self == Self::None { "none" } else { "opteed" }
    }
}

/// The machines there are flash images for.
pub const FLASHES: [(Gic, Optee); 4] = [
    (Gic::V2, Optee::None),
    (Gic::V3, Optee::None),
    (Gic::V3, Optee::Plain),
    (Gic::V3, Optee::Virtualized),
];

/// The flash image for a machine.
pub fn flash(cache: &Cache, packages: &Packages, gic: Gic, optee: Optee) -> Result<PathBuf> {
    if gic == Gic::V2 && optee != Optee::None {
        bail!("Debian's OP-TEE is built for GICv3 and stops early on GICv2: use --optee none");
    }
    let tfa = tfa(cache, packages, gic, optee)?;
    let name = format!(
        "firmware/flash-gic{}-{}{}",
        gic.version(),
        optee.name(),
        packages.suite().suffix()
    );
    let inputs = packages.stamps(Inputs::default().text("1"))?.stamp(&tfa)?;
    let dir = cache.step(&name, inputs, |work| {
        let image = assemble(&tfa, packages, optee)?;
        Ok(fs::write(work.dir.join("flash.bin"), image)?)
    })?;
    Ok(dir.join("flash.bin"))
}

fn assemble(tfa: &Path, packages: &Packages, optee: Optee) -> Result<Vec<u8>> {
    let stage = |name: &str| read(&tfa.join(name));
    let mut images = vec![
        (fip::BL2, stage("bl2.bin")?),
        (fip::BL31, stage("bl31.bin")?),
    ];
    if let Some(folder) = optee.folder() {
        let dir = packages.optee_root().join("usr/lib/optee").join(folder);
        for (uuid, part) in [
            (fip::BL32, "tee-header_v2.bin"),
            (fip::BL32_EXTRA1, "tee-pager_v2.bin"),
            (fip::BL32_EXTRA2, "tee-pageable_v2.bin"),
        ] {
            images.push((uuid, read(&dir.join(part))?));
        }
    }
    let mut flash = stage("bl1.bin")?;
    anyhow::ensure!(flash.len() <= FIP_OFFSET, "bl1.bin is too large");
    flash.resize(FIP_OFFSET, 0);
    flash.extend(fip::build(&images));
    Ok(flash)
}

/// TF-A's boot stages bl1.bin, bl2.bin and bl31.bin.
fn tfa(cache: &Cache, packages: &Packages, gic: Gic, optee: Optee) -> Result<PathBuf> {
    let flags = flags(gic, optee);
    let mut version = Command::new("aarch64-linux-gnu-gcc");
    let compiler = command::output(version.arg("--version"))?;
    let inputs = Inputs::default()
        .texts(["1", compiler.lines().next().unwrap_or("")])
        .texts(flags.iter().map(String::as_str))
        .stamp(packages.dir())?;
    let name = format!("firmware/tf-a-gic{}-{}", gic.version(), optee.dispatcher());
    cache.step(&name, inputs, |work| make(packages, &flags, work))
}

fn flags(gic: Gic, optee: Optee) -> Vec<String> {
    let mut flags = vec![
        "CROSS_COMPILE=aarch64-linux-gnu-".into(),
        "PLAT=qemu".into(),
        "DEBUG=0".into(),
        // Notices and errors: the console is the guests'.
        "LOG_LEVEL=20".into(),
        format!("SPD={}", optee.dispatcher()),
        format!("QEMU_USE_GIC_DRIVER=QEMU_GICV{}", gic.version()),
        // Else the times of the build and this repository's commit go in: the same sources make
        // the same image.
        "BUILD_STRING=debian".into(),
        "BUILD_MESSAGE_TIMESTAMP=\"\"".into(),
        // x0 = device tree at the entry of BL33, as Linux's boot protocol has it.
        "ARM_LINUX_KERNEL_AS_BL33=1".into(),
        format!("PRELOADED_BL33_BASE={BL33:#x}"),
    ];
    if optee != Optee::None {
        flags.push("BL32_RAM_LOCATION=tdram".into());
    }
    flags
}

fn make(packages: &Packages, flags: &[String], work: &Work) -> Result<()> {
    let build = work.dir.join("build");
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut make = Command::new("make");
    make.arg("-C").arg(packages.tfa());
    make.arg(format!("-j{jobs}"))
        .arg(format!("BUILD_BASE={}", build.display()));
    make.args(flags).args(["bl1", "bl2", "bl31"]);
    // Flags of an outer make or of the user's shell are not for the firmware.
    for variable in ["MAKEFLAGS", "MFLAGS", "CFLAGS", "LDFLAGS", "CC", "LD", "AS"] {
        make.env_remove(variable);
    }
    command::logged(&mut make, "TF-A", work.log, work.bar)?;
    for stage in ["bl1.bin", "bl2.bin", "bl31.bin"] {
        fs::copy(build.join("qemu/release").join(stage), work.dir.join(stage))?;
    }
    Ok(fs::remove_dir_all(build)?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
