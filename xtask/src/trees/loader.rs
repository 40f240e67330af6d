// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a board's loader adds to its tree: how much memory there is, and where the initrd is.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::peek::{Memory, Peek};
use crate::boards::tree::Tree;

/// Changes when what is added does.
pub const VERSION: &str = "2";
/// Memory of a board whose tree leaves that to the loader: as much as nearly every one of them has.
const MEMORY: u64 = 1 << 30;
/// Where memory is if not even that is said: there is some here on nearly every board.
const START: u64 = 0x8000_0000;
/// Where the tree and the initrd are loaded, from the start of memory on.
const TREE: u64 = 64 << 20;
const INITRD: u64 = 128 << 20;
const INITRD_SIZE: u64 = 16 << 20;

/// Adds it to a tree's file.
pub fn load(file: &Path) -> Result<()> {
    let blob = fs::read(file)?;
    let peek = Peek::open(&blob).with_context(|| format!("{}", file.display()))?;
    let tree = Tree(file);
    let mut memory = peek.memory();
    if memory.is_empty {
        memory.start = if memory.start == 0 {
            START
        } else {
            memory.start
        };
        let path = format!("/{}", memory.node);
        tree.node(&path)?;
        tree.text(&path, "device_type", "memory")?;
        tree.cells(&path, "reg", &cells(&memory))?;
    }
    tree.node("/chosen")?;
    tree.address("linux,initrd-start", memory.start + INITRD)?;
    tree.address("linux,initrd-end", memory.start + INITRD + INITRD_SIZE)
}

/// Returns where [`load`]'s loader puts the tree itself.
pub fn place(memory: &Memory) -> u64 {
    memory.start + TREE
}

/// Returns `reg` of a memory node.
fn cells(memory: &Memory) -> Vec<u32> {
    let number = |value: u64, cells: usize| {
        let both = [(value >> 32) as u32, value as u32];
        both[2 - cells.min(2)..].to_vec()
    };
    let mut reg = number(memory.start, memory.address_cells);
    reg.extend(number(MEMORY, memory.size_cells));
    reg
}
