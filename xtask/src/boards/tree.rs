// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes to a device tree's file, as a boot loader would make them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// A tree's file.
pub struct Tree<'a>(pub &'a Path);

impl Tree<'_> {
    /// Sets a property to 32-bit cells.
    pub fn cells(&self, node: &str, property: &str, cells: &[u32]) -> Result<()> {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:x}")).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        self.put("x", node, property, &cells)
    }

    /// Sets a property to a string.
    pub fn text(&self, node: &str, property: &str, text: &str) -> Result<()> {
        self.put("s", node, property, &[text])
    }

    /// Removes a property.
    pub fn remove(&self, node: &str, property: &str) -> Result<()> {
        let mut put = Command::new("fdtput");
        put.arg("-d").arg(self.0).args([node, property]);
        command::output(&mut put).map(|_| ())
    }

    /// Adds an empty node, with those above it.
    pub fn node(&self, node: &str) -> Result<()> {
        let mut put = Command::new("fdtput");
        put.arg("-cp").arg(self.0).arg(node);
        command::output(&mut put).map(|_| ())
    }

    /// Adds OP-TEE's node.
    pub fn optee(&self) -> Result<()> {
        const OPTEE: &str = "/firmware/optee";
        self.node(OPTEE)?;
        self.text(OPTEE, "compatible", "linaro,optee-tz")?;
        self.text(OPTEE, "method", "smc")
    }

    /// Reserves the page at `address`.
    pub fn reserve(&self, address: u32) -> Result<()> {
        const PARENT: &str = "/reserved-memory";
        let node = format!("{PARENT}/hole@{address:x}");
        self.node(&node)?;
        self.cells(PARENT, "#address-cells", &[2])?;
        self.cells(PARENT, "#size-cells", &[2])?;
        self.put("x", PARENT, "ranges", &[])?;
        self.cells(&node, "reg", &[0, address, 0, 0x1000])
    }

    /// Names the file that is loaded at `address` as the initrd.
    pub fn initrd(&self, file: &Path, address: u64) -> Result<()> {
        let size = std::fs::metadata(file)
            .with_context(|| format!("{}", file.display()))?
            .len();
        self.address("linux,initrd-start", address)?;
        self.address("linux,initrd-end", address + size)
    }

    /// Sets a property of /chosen to an address.
    pub fn address(&self, property: &str, address: u64) -> Result<()> {
        let cells = [(address >> 32) as u32, address as u32];
        self.cells("/chosen", property, &cells)
    }

    fn put(&self, kind: &str, node: &str, property: &str, values: &[&str]) -> Result<()> {
        let mut put = Command::new("fdtput");
        put.args(["-t", kind])
            .arg(self.0)
            .args([node, property])
            .args(values);
        command::output(&mut put).map(|_| ())
    }
}
