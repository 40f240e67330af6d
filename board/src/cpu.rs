// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CPUs and how each is started.

use crate::BoardError;
use crate::tree::{NodeContext, Tree};
use addr::{PAGE_SIZE, Pa, PaRange};
use arrayvec::ArrayVec;

/// Most CPUs: further ones in the tree stay off.
pub const MAX_CPUS: usize = 32;

/// How a CPU that is off is started (`enable-method`, Linux binding arm/cpus).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnableMethod {
    /// By PSCI's CPU_ON.
    Psci,
    /// By writing an entry address to this one, then SEV; others may wait for the same one.
    SpinTable(Pa),
    /// The tree does not say: only the CPU that booted can be used.
    Unknown,
}

/// A CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cpu {
    /// The affinity fields of its MPIDR_EL1.
    pub mpidr: u64,
    /// How it is started.
    pub enable: EnableMethod,
}

impl Cpu {
    /// Returns the page with the word that releases the CPU, if it waits in a spin table: nobody
    /// else's.
    pub fn release_page(&self) -> Option<PaRange> {
        match self.enable {
            EnableMethod::SpinTable(at) => PaRange::new(at.page(), PAGE_SIZE),
            EnableMethod::Psci | EnableMethod::Unknown => None,
        }
    }
}

/// Reads /cpus. A CPU whose `status` is "disabled" waits to be started (specification 3.8.1),
/// so it counts; one that failed does not.
pub(crate) fn cpus(tree: &Tree) -> Result<ArrayVec<Cpu, MAX_CPUS>, BoardError> {
    let mut cpus = ArrayVec::new();
    let parent = tree.find("/cpus").ok_or(BoardError::NoCpus)?;
    for place in parent.children() {
        let place = place?;
        if place.string("device_type") == Some("cpu") && !has_failed(&place) {
            cpus.push(read(&place)?);
        }
        if cpus.is_full() {
            break;
        }
    }
    if cpus.is_empty() {
        Err(BoardError::NoCpus)
    } else {
        Ok(cpus)
    }
}

fn has_failed(place: &NodeContext) -> bool {
    place
        .string("status")
        .is_some_and(|status| status.starts_with("fail"))
}

fn read(place: &NodeContext) -> Result<Cpu, BoardError> {
    let malformed = |property| BoardError::property(place.name(), property);
    let release = || {
        let at = place.number("cpu-release-addr").map(Pa);
        at.filter(|at| at.is_aligned(8))
            .ok_or(malformed("cpu-release-addr"))
    };
    // What a loader has not filled in is 0: the word there is somebody else's.
    let spinning = |at| match at {
        Pa(0) => EnableMethod::Unknown,
        at => EnableMethod::SpinTable(at),
    };
    Ok(Cpu {
        mpidr: place.unit().ok_or(malformed("reg"))?,
        enable: match place.string("enable-method") {
            Some("psci") => EnableMethod::Psci,
            Some("spin-table") => spinning(release()?),
            _ => EnableMethod::Unknown,
        },
    })
}
