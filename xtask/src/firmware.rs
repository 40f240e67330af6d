// SPDX-License-Identifier: MIT OR Apache-2.0

//! The flash image that QEMU boots: TF-A, built from Debian's source, with OP-TEE's binaries.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use platform::GicVersion;

use crate::cache::{Cache, Inputs};
use crate::fip;
use crate::make::{OpteeBuild, TfA};
use crate::packages::Packages;

/// Where BL2 expects the firmware package in the flash.
const FIP_OFFSET: usize = 256 * 1024;
/// Where BL2 hands over: the hypervisor's image, or a Linux kernel, is there already.
pub const BL33: u64 = 0x6000_0000;

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
pub const FLASHES: [(GicVersion, Optee); 4] = [
    (GicVersion::V2, Optee::None),
    (GicVersion::V3, Optee::None),
    (GicVersion::V3, Optee::Plain),
    (GicVersion::V3, Optee::Virtualized),
];

/// Tells whether OP-TEE for a machine is built here: Debian's is built for a GICv3 and four cores.
pub fn is_built(gic: GicVersion, cores: u32) -> bool {
    gic == GicVersion::V2 || cores > 4
}

/// Makes the flash image for a machine.
pub fn flash(
    cache: &Cache,
    packages: &Packages,
    gic: GicVersion,
    cores: u32,
    optee: Optee,
) -> Result<PathBuf> {
    let parts = optee_parts(cache, packages, gic, cores, optee)?;
    let tfa = tfa(cache, packages, gic, optee)?;
    let built = match parts {
        Some(Parts::Built(_)) => "-built",
        _ => "",
    };
    let name = format!(
        "firmware/flash-gic{}-{}{built}{}",
        gic.number(),
        optee.name(),
        packages.suite().suffix()
    );
    let mut inputs = packages.stamps(Inputs::default().text("2"))?.stamp(&tfa)?;
    if let Some(Parts::Built(dir)) = &parts {
        inputs = inputs.stamp(dir)?;
    }
    let dir = cache.step(&name, inputs, |work| {
        let image = assemble(&tfa, parts.as_ref().map(Parts::folder), FIP_OFFSET)?;
        Ok(fs::write(work.dir.join("flash.bin"), image)?)
    })?;
    Ok(dir.join("flash.bin"))
}

/// The folder with OP-TEE's parts.
enum Parts {
    /// In Debian's package.
    Packaged(PathBuf),
    /// Made here.
    Built(PathBuf),
}

impl Parts {
    fn folder(&self) -> &Path {
        match self {
            Self::Packaged(folder) | Self::Built(folder) => folder,
        }
    }
}

/// Makes OP-TEE for a machine.
fn optee_parts(
    cache: &Cache,
    packages: &Packages,
    gic: GicVersion,
    cores: u32,
    optee: Optee,
) -> Result<Option<Parts>> {
    let Some(folder) = optee.folder() else {
        return Ok(None);
    };
    if !is_built(gic, cores) {
        let packaged = packages.optee_root().join("usr/lib/optee").join(folder);
        return Ok(Some(Parts::Packaged(packaged)));
    }
    if optee == Optee::Plain {
        bail!(
            "for GICv2 or more than four cores, OP-TEE is built with virtualization only: use \
             --optee virtualized"
        );
    }
    let (name, gicv3) = match gic {
        GicVersion::V2 => ("virt-gic2", "CFG_ARM_GICV3=n"),
        GicVersion::V3 => ("virt-gic3", "CFG_ARM_GICV3=y"),
    };
    let build = OpteeBuild {
        name,
        platform: "vexpress-qemu_armv8a",
        options: vec![
            gicv3.into(),
            "CFG_TEE_CORE_NB_CORE=8".into(),
            "CFG_TEE_CORE_LOG_LEVEL=3".into(),
        ],
        environment: &[],
    };
    build.ensure(cache, packages).map(Parts::Built).map(Some)
}

/// Makes the flash image of TF-A and OP-TEE, with the firmware package where BL2 expects it.
pub fn assemble(tfa: &Path, optee: Option<&Path>, fip_offset: usize) -> Result<Vec<u8>> {
    let stage = |name: &str| read(&tfa.join(name));
    let mut images = vec![
        (fip::BL2, stage("bl2.bin")?),
        (fip::BL31, stage("bl31.bin")?),
    ];
    if let Some(dir) = optee {
        for (uuid, part) in [
            (fip::BL32, "tee-header_v2.bin"),
            (fip::BL32_EXTRA1, "tee-pager_v2.bin"),
            (fip::BL32_EXTRA2, "tee-pageable_v2.bin"),
        ] {
            images.push((uuid, read(&dir.join(part))?));
        }
    }
    let mut flash = stage("bl1.bin")?;
    anyhow::ensure!(flash.len() <= fip_offset, "bl1.bin is too large");
    flash.resize(fip_offset, 0);
    flash.extend(fip::build(&images));
    Ok(flash)
}

/// Makes TF-A's boot stages bl1.bin, bl2.bin and bl31.bin.
fn tfa(cache: &Cache, packages: &Packages, gic: GicVersion, optee: Optee) -> Result<PathBuf> {
    let name = match (gic, optee) {
        (GicVersion::V2, Optee::None) => "gic2-none",
        (GicVersion::V2, _) => "gic2-opteed",
        (GicVersion::V3, Optee::None) => "gic3-none",
        (GicVersion::V3, _) => "gic3-opteed",
    };
    let build = TfA {
        name,
        platform: "qemu",
        options: options(gic, optee),
        environment: &[],
        targets: &["bl1", "bl2", "bl31"],
        files: &["bl1.bin", "bl2.bin", "bl31.bin"],
    };
    build.ensure(cache, packages)
}

fn options(gic: GicVersion, optee: Optee) -> Vec<String> {
    let mut options = vec![
        format!("SPD={}", optee.dispatcher()),
        format!("QEMU_USE_GIC_DRIVER=QEMU_GICV{}", gic.number()),
        // x0 = device tree at the entry of BL33, as Linux's boot protocol has it.
        "ARM_LINUX_KERNEL_AS_BL33=1".into(),
        format!("PRELOADED_BL33_BASE={BL33:#x}"),
    ];
    if optee != Optee::None {
        options.push("BL32_RAM_LOCATION=tdram".into());
    }
    options
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
