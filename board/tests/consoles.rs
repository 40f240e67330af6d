// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which UART is the console, and how its node describes it.
mod fixtures;

use board::{Console, ConsoleKind};
use fixtures::{Node, qemu_virt};
use platform::{AccessWidth, RegisterLayout};

const BYTES: RegisterLayout = RegisterLayout::BYTES;
const SPREAD: RegisterLayout = RegisterLayout::packed(AccessWidth::Word, 2);
/// Renesas': R-Car's and RZ's.
const HALVES: RegisterLayout = RegisterLayout::packed(AccessWidth::Half, 2);
const NARROW: RegisterLayout = RegisterLayout::packed(AccessWidth::Half, 1);
const WORDS: RegisterLayout = RegisterLayout::WORDS;

/// The console of `virt` whose UART is another one, as `change` says.
fn console(change: impl FnOnce(Node) -> Node) -> Option<Console> {
    let tree = qemu_virt().with("pl011@9000000", change);
    board::console(&tree.blob())
}

fn described(compatible: &[u8], cells: &[(&str, u32)]) -> Option<(ConsoleKind, RegisterLayout)> {
    let console = console(|node| {
        let node = node.bytes("compatible", compatible);
        let cell = |node: Node, (name, value): &(&str, u32)| node.cells(name, &[*value]);
        cells.iter().fold(node, cell)
    });
    console.map(|console| (console.kind, console.layout))
}

#[test]
fn each_uart_is_known_by_its_compatible() {
    use ConsoleKind::*;
    for (compatible, kind, layout) in [
        ("snps,dw-apb-uart", DwApb, BYTES),
        ("ns16550", Ns16550, BYTES),
        ("ns16550a", Ns16550, BYTES),
        ("mediatek,mt6577-uart", Ns16550, SPREAD),
        ("socionext,uniphier-uart", Ns16550, SPREAD),
        ("ti,am654-uart", Ns16550, SPREAD),
        ("nvidia,tegra20-uart", Tegra, SPREAD),
        ("fsl,imx6q-uart", Imx, WORDS),
        ("fsl,imx21-uart", Imx, WORDS),
        ("fsl,ls1021a-lpuart", Lpuart, WORDS.big_endian()),
        ("fsl,ls1028a-lpuart", Lpuart, WORDS),
        ("fsl,imx7ulp-lpuart", Lpuart, WORDS.from(0x10)),
        ("fsl,imx8qxp-lpuart", Lpuart, WORDS.from(0x10)),
        ("amlogic,meson-gx-uart", Meson, WORDS),
        ("amlogic,meson-s4-uart", Meson, WORDS),
        ("renesas,scif", Scif, HALVES),
        ("renesas,hscif", Scif, HALVES),
        ("renesas,scif-r9a07g044", Scif, NARROW),
        ("qcom,geni-debug-uart", Geni, WORDS),
        ("qcom,msm-uartdm-v1.4", MsmUartdm, WORDS),
        ("samsung,exynos4210-uart", Samsung, WORDS),
        ("samsung,exynos850-uart", Samsung, WORDS),
        ("marvell,armada-3700-uart", Armada3700, WORDS),
        ("st,stm32h7-uart", Stm32, WORDS),
        ("fsl,s32v234-linflexuart", Linflex, WORDS),
        ("sprd,sc9836-uart", Sprd, WORDS),
    ] {
        let names = format!("acme,special-uart\0{compatible}\0");
        let found = described(names.as_bytes(), &[]);
        assert_eq!(found, Some((kind, layout)), "{compatible}");
    }
}

#[test]
fn the_trees_order_of_compatibles_decides() {
    let kind = |compatible| described(compatible, &[]).unwrap().0;
    assert_eq!(kind(b"arm,sbsa-uart\0arm,pl011\0"), ConsoleKind::Sbsa);
    assert_eq!(kind(b"arm,pl011\0arm,sbsa-uart\0"), ConsoleKind::Pl011);
}

#[test]
fn a_16550s_registers_are_where_its_node_says() {
    let layout = |cells: &[(&str, u32)]| described(b"snps,dw-apb-uart\0", cells).map(|(_, at)| at);
    let spread = [("reg-shift", 2), ("reg-io-width", 4)];
    assert_eq!(layout(&spread), Some(SPREAD));
    let halves = [("reg-shift", 1), ("reg-io-width", 2), ("reg-offset", 0x100)];
    let expected = RegisterLayout {
        offset: 0x100,
        ..RegisterLayout::packed(AccessWidth::Half, 1)
    };
    assert_eq!(layout(&halves), Some(expected));
    assert_eq!(layout(&[("reg-io-width", 8)]), None);
    assert_eq!(layout(&[("reg-shift", 9)]), None);
    assert_eq!(layout(&[("reg-shift", 0x102)]), None);
    let tegra = described(b"nvidia,tegra20-uart\0", &[("reg-shift", 2)]);
    assert_eq!(tegra, Some((ConsoleKind::Tegra, SPREAD)));
}

#[test]
fn a_16550_may_be_big_endian() {
    let node = |node: Node| {
        let node = node.text("compatible", "ns16550a").bytes("big-endian", &[]);
        node.cells("reg-io-width", &[4])
    };
    assert!(console(node).unwrap().layout.is_big_endian);
}

#[test]
fn other_uarts_have_their_registers_where_they_are() {
    let cells = [("reg-shift", 2), ("reg-io-width", 1)];
    let found = described(b"arm,pl011\0arm,primecell\0", &cells);
    assert_eq!(found, Some((ConsoleKind::Pl011, WORDS)));
}

/// `virt` with a second UART, which nothing names, before the first.
fn two(stdout: &str, first: &str, second: &str) -> Option<Console> {
    let tree = qemu_virt()
        .with("pl011@9040000", |node| {
            node.text("status", "okay").text("compatible", first)
        })
        .with("pl011@9000000", |node| node.text("compatible", second))
        .with("chosen", |node| node.text("stdout-path", stdout));
    board::console(&tree.blob())
}

#[test]
fn an_unknown_uart_that_stdout_path_names_leaves_no_console() {
    let silent = two("/pl011@9000000", "arm,pl011", "acme,special-uart");
    assert_eq!(silent, None);
    assert!(two("/pl011@9040000", "arm,pl011", "acme,special-uart").is_some());
}

#[test]
fn a_named_uart_with_registers_of_no_known_shape_leaves_no_console() {
    let tree = qemu_virt()
        .with("pl011@9040000", |node| node.text("status", "okay"))
        .with("pl011@9000000", |node| {
            let node = node.text("compatible", "ns16550a");
            node.cells("reg-io-width", &[8])
        })
        .with("chosen", |node| node.text("stdout-path", "/pl011@9000000"));
    assert_eq!(board::console(&tree.blob()), None);
}

#[test]
fn a_uart_that_may_have_no_clock_is_no_console_unnamed() {
    let at = |first| two("/nothing", first, "arm,pl011").map(|console| console.registers.start.0);
    assert_eq!(at("arm,sbsa-uart"), Some(0x0904_0000));
    assert_eq!(at("snps,dw-apb-uart"), Some(0x0900_0000));
}
