// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tells which guest's device did what an SMMU refused.

use log::{error, info, warn};
use smmu::Event;

use crate::iommu::{self, Report};

/// Tells what SMMUs have refused, if it is time for that at `now`, in ticks of CNTPCT. Only the housekeeping core calls it.
// Not inlined into the loop of all cores.
#[cold]
#[inline(never)]
pub fn report(now: u64) {
    iommu::reports(now, |report| match report {
        Report::Refused(smmu, event) => refused(smmu, &event, ""),
        Report::TooMany(smmu, event) => {
            refused(smmu, &event, "; what else devices do is not told any more")
        }
        Report::Lost(at) => {
            info!("the SMMU at {at} refuses more than it can tell");
            true
        }
        Report::Failed(at, errors) => {
            error!("the SMMU at {at} has failed: {errors}");
            true
        }
    });
}

/// Tells of an access that was refused. False if it was of no guest's device.
fn refused(smmu: usize, event: &Event, more: &str) -> bool {
    let mut owners = super::all().iter().filter_map(|vm| {
        let device = vm.devices.masters.owner(smmu, event.stream)?;
        Some((vm, device))
    });
    match owners.next() {
        Some((vm, device)) => info!("{}: its device {device}, {event}{more}", vm.name),
        None => {
            warn!("a device of no guest, {event}: it is not told again{more}");
            return false;
        }
    }
    true
}
