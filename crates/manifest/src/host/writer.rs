// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing the blob that `blob` reads.

use crate::{Dialect, Guest, Policy, Tee, VERSION, Watchdog};
use vm_fdt::FdtWriter;

/// Writes guests that passed [`crate::check`].
pub(super) fn blob(guests: &[Guest], housekeeping_core: Option<u32>) -> Vec<u8> {
    // A checked name is a valid node name and checked text has no NUL: all that can fail here.
    write(guests, housekeeping_core).expect("checked guests can be written")
}

fn write(guests: &[Guest], housekeeping_core: Option<u32>) -> Result<Vec<u8>, vm_fdt::Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_u32("version", VERSION)?;
    if let Some(core) = housekeeping_core {
        tree.property_u32("housekeeping-core", core)?;
    }
    for guest in guests {
        write_guest(&mut tree, guest)?;
    }
    tree.end_node(root)?;
    tree.finish()
}

fn write_guest(tree: &mut FdtWriter, guest: &Guest) -> Result<(), vm_fdt::Error> {
    let node = tree.begin_node(guest.name)?;
    tree.property_u32("vcpus", guest.vcpus)?;
    tree.property("cpus", guest.cpus)?;
    tree.property_u32("exclusive", guest.exclusive.into())?;
    tree.property_u32("slice", guest.slice)?;
    tree.property_u64("memory", guest.memory)?;
    tree.property_string("kernel", guest.kernel)?;
    if let Some(initrd) = guest.initrd {
        tree.property_string("initrd", initrd)?;
    }
    tree.property_string("bootargs", guest.bootargs)?;
    tree.property_string("conduit", guest.conduit.name())?;
    tree.property_string("on-crash", policy(guest.on_crash))?;
    if let Some(most) = guest.max_restarts {
        tree.property_u32("max-restarts", most)?;
    }
    tree.property_u32("max-restart-delay", guest.max_restart_delay)?;
    tree.property_u32("direct-map", guest.direct_map.into())?;
    if guest.devices.iter().next().is_some() {
        let list = [guest.devices.joined().as_bytes(), b"\0"].concat();
        tree.property("devices", &list)?;
    }
    if let Some(watchdog) = guest.watchdog {
        write_watchdog(tree, watchdog)?;
    }
    if let Some(tee) = &guest.tee {
        write_tee(tree, tee)?;
    }
    tree.end_node(node)
}

fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::Stop => "stop",
        Policy::Restart => "restart",
    }
}

fn write_watchdog(tree: &mut FdtWriter, watchdog: Watchdog) -> Result<(), vm_fdt::Error> {
    let node = tree.begin_node("watchdog")?;
    tree.property_string("action", policy(watchdog.action))?;
    if let Some(timeout) = watchdog.timeout {
        tree.property_u32("timeout", timeout)?;
    }
    tree.end_node(node)
}

fn write_tee(tree: &mut FdtWriter, tee: &Tee) -> Result<(), vm_fdt::Error> {
    let node = tree.begin_node("tee")?;
    tree.property_string(
        "dialect",
        match tee.dialect {
            Dialect::Modern => "modern",
            Dialect::Classic => "classic",
        },
    )?;
    tree.property_u32("notifications", tee.notifications.into())?;
    tree.property_u32("max-calls", tee.max_calls)?;
    tree.property_u32("max-buffers", tee.max_buffers)?;
    tree.property_u64("max-shared", tee.max_shared)?;
    tree.property_u32("max-sessions", tee.max_sessions)?;
    tree.property_u32("max-vms", tee.max_vms)?;
    tree.property_u32("fresh", tee.fresh.into())?;
    tree.property_u32("rpmb", tee.rpmb.into())?;
    tree.property("allow", tee.allow.as_flattened())?;
    tree.property("deny", tee.deny.as_flattened())?;
    tree.end_node(node)
}
