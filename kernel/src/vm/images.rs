// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest's kernel, initrd and device tree, and where they lie in its RAM.

use core::fmt;

use addr::{Ipa, Pa};
use guesttree::{GuestTree, Template};
use manifest::image::{Image, TREE_ROOM};
use stage2::GuestRam;

use super::Vm;
use crate::arch::cache;
use crate::memory;

/// What is laid into the guest's RAM each time it starts.
pub struct Images {
    /// The kernel's first instruction.
    pub entry: Ipa,
    /// Where the device tree lies.
    pub tree: Ipa,
    template: Template,
    kernel: &'static [u8],
    initrd: Option<(Ipa, &'static [u8])>,
}

/// Why a guest's images can't be laid out.
#[derive(Clone, Copy, Debug)]
pub enum ImageError {
    /// The kernel does not start with an arm64 Image header.
    NotAnImage,
    /// Kernel, initrd and tree need more than the guest's RAM.
    TooLittleMemory {
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        have: u64,
    },
    /// The tree could not be written.
    Tree(guesttree::Error),
    /// The tree has more bytes than there is room for.
    TreeTooLong,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => f.write_str(
                "the kernel is not an arm64 Image (compressed kernels must be unpacked)",
            ),
            Self::TooLittleMemory { needed, have } => write!(
                f,
                "kernel, initrd and device tree need {} MiB and the guest has {} MiB: raise `memory`",
                needed.div_ceil(1 << 20),
                have >> 20
            ),
            Self::Tree(error) => write!(f, "cannot write the device tree: {error}"),
            Self::TreeTooLong => write!(
                f,
                "its device tree has more than {} MiB: give it fewer of `devices`",
                TREE_ROOM >> 20
            ),
        }
    }
}

impl Images {
    /// Places the images in RAM that is consecutive for the guest: the kernel at the bottom, the tree at the top,
    /// the initrd below it. The tree is that of `guest`, with the initrd.
    pub fn place(
        kernel: &'static [u8],
        initrd: Option<&'static [u8]>,
        ram: &GuestRam,
        guest: &GuestTree<'_>,
    ) -> Result<Self, ImageError> {
        let image = Image::parse(kernel).ok_or(ImageError::NotAnImage)?;
        let initrd_size = initrd.map_or(0, |initrd| initrd.len() as u64);
        let needed = image.ram_needed(initrd_size);
        let memory = ram.size();
        if needed > memory {
            return Err(ImageError::TooLittleMemory {
                needed,
                have: memory,
            });
        }
        let tree = ram.start().0 + memory - TREE_ROOM;
        let initrd = initrd.map(|initrd| (Ipa(tree - initrd_size).page(), initrd));
        let template = guesttree::build(&GuestTree {
            initrd: initrd.map(|(at, initrd)| (at, Ipa(at.0 + initrd.len() as u64))),
            ..*guest
        })
        .map_err(ImageError::Tree)?;
        if template.bytes().len() as u64 > TREE_ROOM {
            return Err(ImageError::TreeTooLong);
        }
        Ok(Self {
            entry: Ipa(ram.start().0 + image.text_offset),
            tree: Ipa(tree),
            template,
            kernel,
            initrd,
        })
    }

    /// Returns what is copied as it is, and where to.
    fn pieces(&self) -> impl Iterator<Item = (Ipa, &[u8])> {
        let always = [
            (self.tree, self.template.bytes()),
            (self.entry, self.kernel),
        ];
        always.into_iter().chain(self.initrd)
    }
}

/// Writes `most` bytes of the images, from number `done` on, into the guest's RAM. Returns how
/// many it wrote: 0 when all are there, with what this start alone has.
pub fn lay_out(vm: &Vm, done: u64, most: u64) -> Result<u64, ImageError> {
    let mut first = 0;
    for (at, bytes) in vm.images.pieces() {
        let last = first + bytes.len() as u64;
        if done < last {
            let from = done - first;
            let to = (from + most).min(bytes.len() as u64);
            let piece = &bytes[from as usize..to as usize];
            write(vm, Ipa(at.0 + from), piece)?;
            return Ok(to - from);
        }
        first = last;
    }
    // OP-TEE may take a guest once and refuse it after a restart.
    let seed = memory::seed(vm.id);
    for (offset, bytes) in vm.images.template.patches(&seed, vm.has_tee()) {
        write(vm, Ipa(vm.images.tree.0 + offset as u64), bytes)?;
    }
    cache::invalidate_instructions();
    Ok(0)
}

fn write(vm: &Vm, at: Ipa, bytes: &[u8]) -> Result<(), ImageError> {
    if memory::write_stopped(&vm.ram, at, bytes) {
        Ok(())
    } else {
        Err(ImageError::TooLittleMemory {
            needed: u64::MAX,
            have: vm.ram.size(),
        })
    }
}

/// Overwrites at most `most` bytes of the guest's RAM, from number `done` on, with zeros. Returns
/// how many.
pub fn scrub(vm: &Vm, done: u64, most: u64) -> u64 {
    let mut first = 0;
    for region in vm.ram.regions() {
        if done < first + region.size {
            let from = done - first;
            let size = most.min(region.size - from);
            memory::zero(Pa(region.pa.0 + from), size);
            return size;
        }
        first += region.size;
    }
    0
}
