//! A guest's kernel, initrd and device tree, and where they lie in its RAM.

use core::fmt;

use addr::{Ipa, Pa};
use alloc::vec::Vec;
use guesttree::GuestTree;
use manifest::image::{Image, TREE_ROOM};
use spin::Mutex;
use stage2::GuestRam;

use super::Vm;
use crate::arch::cache;
use crate::memory;

/// What is laid into the guest's RAM each time it starts.
pub struct Images {
    /// The kernel's first instruction.
    pub entry: Ipa,
    /// The device tree.
    pub tree: Ipa,
    kernel: &'static [u8],
    initrd: Option<(Ipa, &'static [u8])>,
    /// What the tree says, but for the seeds.
    pub settings: TreeSettings,
}

/// What a guest's tree says beyond its RAM, vCPUs and initrd.
pub struct TreeSettings {
    /// /chosen bootargs.
    pub bootargs: &'static str,
    /// SMC or HVC.
    pub conduit: guesttree::Conduit,
    /// INTID of OP-TEE's notifications, if they are offered.
    pub tee_interrupt: Option<u32>,
    /// The timer's frequency in Hz where the firmware did not set CNTFRQ_EL0.
    pub timer_frequency: Option<u32>,
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
        }
    }
}

impl Images {
    /// Places the images in RAM that is consecutive for the guest: the kernel at the bottom, the tree at the top,
    /// the initrd below it.
    pub fn place(
        kernel: &'static [u8],
        initrd: Option<&'static [u8]>,
        ram: &GuestRam,
        settings: TreeSettings,
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
        Ok(Self {
            entry: Ipa(ram.start().0 + image.text_offset),
            tree: Ipa(tree),
            kernel,
            initrd: initrd.map(|initrd| (Ipa(tree - initrd_size).page(), initrd)),
            settings,
        })
    }
}

/// Held while a guest's tree is on the heap.
static BUILDING: Mutex<()> = Mutex::new(());

/// Writes `most` bytes of the images, from number `done` on, into the guest's RAM. Returns how
/// many it wrote: 0 when all are there.
pub fn lay_out(vm: &Vm, done: u64, most: u64) -> Result<u64, ImageError> {
    let images = &vm.images;
    if done == 0 {
        // One after another, whatever core they restart on: the heap has room for one tree more than
        // the guests are counted with, and it was enough for each of them at boot.
        let _one = BUILDING.lock();
        let tree = tree(vm).map_err(ImageError::Tree)?;
        write(vm, images.tree, &tree)?;
    }
    let kernel = (images.entry, images.kernel);
    let mut first = 0;
    for (at, bytes) in [Some(kernel), images.initrd].into_iter().flatten() {
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

fn tree(vm: &Vm) -> Result<Vec<u8>, guesttree::Error> {
    let settings = &vm.images.settings;
    let seed = memory::seed(vm.id);
    guesttree::build(&GuestTree {
        vcpus: vm.vcpus.len() as u8,
        ram: &[(vm.ram.start(), vm.ram.size())],
        bootargs: settings.bootargs,
        initrd: vm
            .images
            .initrd
            .map(|(at, initrd)| (at, Ipa(at.0 + initrd.len() as u64))),
        kaslr_seed: seed.last_chunk().copied().map(u64::from_le_bytes),
        rng_seed: seed,
        gic: if vm.has_gicv3() {
            guesttree::GicVersion::V3
        } else {
            guesttree::GicVersion::V2
        },
        conduit: settings.conduit,
        // OP-TEE may take a guest once and refuse it after a restart.
        tee: vm.has_tee().then_some(guesttree::Tee {
            interrupt: settings.tee_interrupt,
        }),
        devices: &vm.devices.describe(),
        watchdog: vm.has_watchdog(),
        timer_frequency: settings.timer_frequency,
    })
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
