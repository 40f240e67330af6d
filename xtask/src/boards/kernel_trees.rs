// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boards' device trees that come with Debian's kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::apt::Apt;
use crate::cache::{self, Cache, Inputs};
use crate::packages;

/// The Raspberry Pi 4's, below the kernel's folder.
pub const RPI4: &str = "broadcom/bcm2711-rpi-4-b.dtb";
/// The ZCU102's.
pub const ZCU102: &str = "xilinx/zynqmp-zcu102-rev1.0.dtb";

const KERNEL: &str = "linux-image-arm64";
const TREES: [&str; 2] = [RPI4, ZCU102];

/// Fetches them: the file of the one that is wanted, beside the others.
pub fn ensure(cache: &Cache, wanted: &str) -> Result<PathBuf> {
    let suite = packages::RELEASE.name();
    let inputs = Inputs::default().texts(["1", suite]).texts(TREES);
    let dir = cache.step(packages::DEVICE_TREES, inputs, |work| {
        let apt = Apt::arm64(cache, suite);
        apt.prepare(work)?;
        let kernel = packages::kernel(&apt, KERNEL)?;
        apt.binaries(&[&kernel], work)?;
        let root = work.dir.join("root");
        let folder = root.join(kernel.replacen("linux-image", "usr/lib/linux-image", 1));
        for tree in TREES {
            let file = Path::new(tree).file_name().unwrap_or_default();
            fs::copy(folder.join(tree), work.dir.join(file))?;
        }
        cache::remove(&root)
    })?;
    Ok(dir.join(Path::new(wanted).file_name().unwrap_or_default()))
}
