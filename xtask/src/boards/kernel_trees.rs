// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boards' device trees that come with Debian's kernel.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::apt::Apt;
use crate::cache::{self, Cache, Inputs};
use crate::packages;

/// The Raspberry Pi 4's, below the folder.
pub const RPI4: &str = "broadcom/bcm2711-rpi-4-b.dtb";
/// The i.MX 8M Plus EVK's.
pub const IMX8MP: &str = "freescale/imx8mp-evk.dtb";
/// The ZCU102's.
pub const ZCU102: &str = "xilinx/zynqmp-zcu102-rev1.0.dtb";

const KERNEL: &str = "linux-image-arm64";

/// Fetches them, and returns their folder.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let suite = packages::RELEASE.name();
    let inputs = Inputs::default().texts(["2", suite, KERNEL]);
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
        cache::remove(&root)
    })
}
