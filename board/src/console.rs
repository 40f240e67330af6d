// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console's UART: what /chosen says, else the first that we know.

use crate::BoardError;
use crate::gic;
use crate::interrupt::{Controller, Interrupt};
use crate::tree::{NodeContext, Tree};
use addr::PaRange;
use core::ops::ControlFlow;

/// How a UART is driven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsoleKind {
    /// Arm PL011 (DDI 0183).
    Pl011,
    /// The PL011 subset of the Arm SBSA: always on, no line settings.
    Sbsa,
    /// The Raspberry Pi's mini UART (BCM2835 ARM Peripherals, chapter 2).
    Bcm2835Aux,
    /// Cadence's UART in Xilinx' SoCs (UG1087, module "UART").
    Cadence,
}

/// The console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Console {
    /// How it is driven.
    pub kind: ConsoleKind,
    /// Registers of the UART.
    pub registers: PaRange,
    /// Interrupt of the UART, unless the tree names none of the GIC's.
    pub interrupt: Option<Interrupt>,
}

/// Returns the console of a tree of which not even the rest need be sound.
///
/// For a console before [`crate::Board::from_tree`] had a chance to fail.
pub fn console(blob: &[u8]) -> Option<Console> {
    let tree = Tree::open(blob).ok()?;
    let gic = gic::find(&tree).ok().flatten();
    find(&tree, gic.as_ref().map(Controller::of))
}

/// Returns the console: /chosen's `stdout-path` if it names a UART that we know, else the first in
/// the tree.
pub(crate) fn find(tree: &Tree, gic: Option<Controller>) -> Option<Console> {
    let chosen = stdout(tree).filter(|place| place.is_enabled());
    chosen
        .and_then(|place| read(&place, gic))
        .or_else(|| first(tree, gic))
}

/// Returns the node that `stdout-path` names by path or alias; options follow a colon.
fn stdout<'a>(tree: &Tree<'a>) -> Option<NodeContext<'a>> {
    let text = tree.find("/chosen")?.string("stdout-path")?;
    tree.named(text.split(':').next()?)
}

fn first(tree: &Tree, gic: Option<Controller>) -> Option<Console> {
    let mut found = None;
    // A tree that breaks off below the UART has shown it all the same.
    let _: Result<(), BoardError> = tree.each(&mut |place| {
        found = read(place, gic);
        if found.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    found
}

fn read(place: &NodeContext, gic: Option<Controller>) -> Option<Console> {
    let kinds = [
        (ConsoleKind::Pl011, "arm,pl011"),
        (ConsoleKind::Sbsa, "arm,sbsa-uart"),
        (ConsoleKind::Bcm2835Aux, "brcm,bcm2835-aux-uart"),
        (ConsoleKind::Cadence, "xlnx,zynqmp-uart"),
        (ConsoleKind::Cadence, "cdns,uart-r1p12"),
        (ConsoleKind::Cadence, "cdns,uart-r1p8"),
    ];
    let (kind, _) = kinds.into_iter().find(|(_, name)| place.is(&[name]))?;
    Some(Console {
        kind,
        registers: place.reg().next()?.ok()?,
        interrupt: gic.and_then(|gic| gic.interrupt(place, 0)),
    })
}
