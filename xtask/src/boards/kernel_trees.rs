// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's kernel for all boards: their device trees, itself, and some of its modules.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apt::Apt;
use crate::cache::{self, Cache, Inputs};
use crate::packages;

/// The Raspberry Pi 4's, below the folder.
pub const RPI4: &str = "broadcom/bcm2711-rpi-4-b.dtb";
/// The i.MX 8M Plus EVK's.
pub const IMX8MP: &str = "freescale/imx8mp-evk.dtb";
/// The ZCU102's.
pub const ZCU102: &str = "xilinx/zynqmp-zcu102-rev1.0.dtb";

/// The kernel itself.
pub const IMAGE: &str = "vmlinuz";
/// Its modules below `drivers`, as far as they are kept, each in a file of its own.
pub const MODULES: &str = "modules";

const KERNEL: &str = "linux-image-arm64";
/// Modules that are kept, below `drivers` and without `.ko.xz`, each after those that it depends on.
pub const KEPT: [&str; 6] = [
    "tee/tee",
    "tee/optee/optee",
    "nvme/common/nvme-auth",
    "nvme/host/nvme-core",
    "nvme/host/nvme",
    "net/ethernet/intel/e1000e/e1000e",
];

/// Fetches them, and returns their folder.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let suite = packages::RELEASE.name();
    let inputs = Inputs::default().texts(["3", suite, KERNEL]).texts(KEPT);
    cache.step(packages::DEVICE_TREES, inputs, |work| {
        let apt = Apt::arm64(cache, suite);
        apt.prepare(work)?;
        let kernel = packages::kernel(&apt, KERNEL)?;
        apt.binaries(&[&kernel], work)?;
        let root = work.dir.join("root");
        let folder = root.join(kernel.replacen("linux-image", "usr/lib/linux-image", 1));
        for vendor in fs::read_dir(folder)? {
            let vendor = vendor?;
            fs::rename(vendor.path(), work.dir.join(vendor.file_name()))?;
        }
        keep(&root, kernel.trim_start_matches("linux-image-"), work.dir)?;
        cache::remove(&root)
    })
}

/// Keeps the kernel of `version` and its modules from the unpacked package.
fn keep(root: &Path, version: &str, to: &Path) -> Result<()> {
    let image = root.join(format!("boot/vmlinuz-{version}"));
    fs::rename(image, to.join(IMAGE))?;
    fs::create_dir(to.join(MODULES))?;
    let drivers = root.join(format!("usr/lib/modules/{version}/kernel/drivers"));
    for module in KEPT {
        let from = drivers.join(format!("{module}.ko.xz"));
        let name = from.file_name().unwrap_or_default();
        fs::rename(&from, to.join(MODULES).join(name))
            .with_context(|| format!("{}", from.display()))?;
    }
    Ok(())
}
