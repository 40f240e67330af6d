// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console's UART: what /chosen says, else the first that we know.

use crate::BoardError;
use crate::interrupt::{Controller, Interrupt, is_private};
use crate::tree::{NodeContext, Tree};
use addr::PaRange;
use core::ops::ControlFlow;
use platform::{AccessWidth, ConsoleKind, RegisterLayout};

/// The console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Console {
    /// How it is driven.
    pub kind: ConsoleKind,
    /// Registers of the UART.
    pub registers: PaRange,
    /// Where they are in there.
    pub layout: RegisterLayout,
    /// Interrupt of the UART, unless the tree names none of the GIC's, or a private one: any core would serve that.
    pub interrupt: Option<Interrupt>,
}

/// Returns the console of a tree of which not even the rest need be sound.
///
/// For a console before [`crate::Board::from_tree`] had a chance to fail.
pub fn console(blob: &[u8]) -> Option<Console> {
    let tree = Tree::open(blob).ok()?;
    let gic = Controller::find(&tree).ok().flatten();
    find(&tree, gic.map(|(_, controller)| controller))
}

/// Returns the console: what /chosen's `stdout-path` names, if that is enabled and within reach, else the first in the tree.
///
/// None if it is a UART that we don't know, or that can't be as it is described: nothing says that the firmware has set
/// another one up, or that it is ours.
pub(crate) fn find(tree: &Tree, gic: Option<Controller>) -> Option<Console> {
    let chosen = stdout(tree).filter(NodeContext::is_enabled);
    let Some(place) = chosen else {
        return first(tree, gic);
    };
    driven(&place)?;
    match place.reg().next() {
        None => first(tree, gic),
        Some(_) => read(&place, gic),
    }
}

/// Returns the node that `stdout-path` names by path or alias; options follow a colon.
fn stdout<'a>(tree: &Tree<'a>) -> Option<NodeContext<'a>> {
    let text = tree.find("/chosen")?.string("stdout-path")?;
    tree.named(text.split(':').next()?)
}

/// Returns the first UART that boards without `stdout-path` have. Others may be without a clock, and a core that reads
/// such a one hangs.
fn first(tree: &Tree, gic: Option<Controller>) -> Option<Console> {
    use ConsoleKind::{Bcm2835Aux, Cadence, Pl011, Sbsa};
    let mut found = None;
    // A tree that breaks off below the UART has shown it all the same.
    let _: Result<(), BoardError> = tree.each(&mut |place| {
        found = read(place, gic)
            .filter(|console| matches!(console.kind, Pl011 | Sbsa | Bcm2835Aux | Cadence));
        if found.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    found
}

fn read(place: &NodeContext, gic: Option<Controller>) -> Option<Console> {
    let (kind, layout) = driven(place)?;
    let interrupt = gic.and_then(|gic| gic.interrupt(place, 0));
    Some(Console {
        kind,
        registers: place.reg().next()?.ok()?,
        layout: described(place, kind, layout)?,
        interrupt: interrupt.filter(|interrupt| !is_private(interrupt.intid)),
    })
}

/// Returns how a UART is driven, and where such a one has its registers, if nothing else is said.
fn driven(place: &NodeContext) -> Option<(ConsoleKind, RegisterLayout)> {
    // In the tree's order: from what it is to what it is like.
    place.strings("compatible").find_map(known)
}

/// Returns what Linux's bindings say of a UART by its `compatible`.
fn known(compatible: &str) -> Option<(ConsoleKind, RegisterLayout)> {
    /// Registers of 32 bits with the numbers that they have where they are bytes.
    const SPREAD: RegisterLayout = RegisterLayout::packed(AccessWidth::Word, 2);
    use ConsoleKind::*;
    use RegisterLayout as Layout;
    Some(match compatible {
        "arm,pl011" => (Pl011, Layout::WORDS),
        "arm,sbsa-uart" => (Sbsa, Layout::WORDS),
        "brcm,bcm2835-aux-uart" => (Bcm2835Aux, Layout::WORDS),
        "xlnx,zynqmp-uart" | "cdns,uart-r1p12" | "cdns,uart-r1p8" => (Cadence, Layout::WORDS),
        "snps,dw-apb-uart" | "marvell,armada-38x-uart" => (DwApb, Layout::BYTES),
        "ns16550" | "ns16550a" | "nuvoton,npcm750-uart" => (Ns16550, Layout::BYTES),
        "mediatek,mt6577-uart" | "socionext,uniphier-uart" => (Ns16550, SPREAD),
        "ti,am654-uart" | "ti,omap4-uart" => (Ns16550, SPREAD),
        "nvidia,tegra20-uart" => (Tegra, SPREAD),
        "fsl,imx6q-uart" | "fsl,imx21-uart" => (Imx, Layout::WORDS),
        "fsl,ls1021a-lpuart" => (Lpuart, Layout::WORDS.big_endian()),
        "fsl,ls1028a-lpuart" => (Lpuart, Layout::WORDS),
        "fsl,imx7ulp-lpuart" | "fsl,imx8ulp-lpuart" | "fsl,imx8qxp-lpuart" => {
            (Lpuart, Layout::WORDS.from(0x10))
        }
        "amlogic,meson-gx-uart"
        | "amlogic,meson-g12a-uart"
        | "amlogic,meson-s4-uart"
        | "amlogic,meson-a1-uart" => (Meson, Layout::WORDS),
        "renesas,scif" | "renesas,hscif" => (Scif, Layout::packed(AccessWidth::Half, 2)),
        "renesas,scif-r9a07g044" | "renesas,scif-r9a09g057" => {
            (Scif, Layout::packed(AccessWidth::Half, 1))
        }
        "qcom,geni-debug-uart" | "qcom,geni-uart" => (Geni, Layout::WORDS),
        "samsung,exynos4210-uart"
        | "samsung,exynos5433-uart"
        | "samsung,exynos850-uart"
        | "samsung,exynos8895-uart"
        | "google,gs101-uart"
        | "axis,artpec8-uart" => (Samsung, Layout::WORDS),
        "qcom,msm-uartdm-v1.4" => (MsmUartdm, Layout::WORDS),
        "marvell,armada-3700-uart" => (Armada3700, Layout::WORDS),
        "st,stm32h7-uart" => (Stm32, Layout::WORDS),
        "fsl,s32v234-linflexuart" => (Linflex, Layout::WORDS),
        "sprd,sc9836-uart" => (Sprd, Layout::WORDS),
        _ => return None,
    })
}

/// Returns the layout as a 16550's node describes it: `reg-shift`, `reg-io-width`, `reg-offset`, `big-endian`. None if
/// no registers can be like that.
fn described(
    place: &NodeContext,
    kind: ConsoleKind,
    layout: RegisterLayout,
) -> Option<RegisterLayout> {
    if !matches!(
        kind,
        ConsoleKind::Ns16550 | ConsoleKind::DwApb | ConsoleKind::Tegra
    ) {
        return Some(layout);
    }
    let shift = place
        .cell("reg-shift")
        .map_or(Ok(layout.shift), u8::try_from);
    Some(RegisterLayout {
        offset: place.cell("reg-offset").unwrap_or(layout.offset),
        shift: shift.ok().filter(|shift| *shift <= 8)?,
        width: match place.cell("reg-io-width") {
            None => layout.width,
            Some(1) => AccessWidth::Byte,
            Some(2) => AccessWidth::Half,
            Some(4) => AccessWidth::Word,
            Some(_) => return None,
        },
        is_big_endian: place.property("big-endian").is_some(),
    })
}
