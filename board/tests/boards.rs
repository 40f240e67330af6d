// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boards are read as they are.
mod fixtures;

use addr::{Pa, PaRange};
use board::*;
use fixtures::{Node, cpu, node, qemu_virt, raspberry_pi_4};
use platform::{Conduit, RegisterLayout};

const AT: Pa = Pa(0x4a00_0000);

fn range(start: u64, size: u64) -> PaRange {
    PaRange::new(Pa(start), size).unwrap()
}

fn read(tree: &Node) -> Result<Board, BoardError> {
    Board::from_tree(&tree.blob(), AT)
}

fn level(intid: u32) -> Option<Interrupt> {
    Some(Interrupt { intid, edge: false })
}

#[test]
fn qemu_virt_is_read() {
    let blob = qemu_virt().blob_with(&[(0x4000_0000, 0x1000)]);
    let board = Board::from_tree(&blob, AT).unwrap();
    assert_eq!(&board.model, "linux,dummy-virt");
    assert_eq!(board.memory[..], [range(0x4000_0000, 0x8000_0000)]);
    assert_eq!(board.tree, range(AT.0, blob.len() as u64));
    assert_eq!(board.bundle, Some(range(0x6800_0000, 0x0100_0123)));
    assert_eq!(
        board.psci,
        Some(Psci {
            conduit: Conduit::Smc,
            version: PsciVersion::V1_0,
            cpu_on: None,
        })
    );
    let edge = Some(Interrupt {
        intid: 219,
        edge: true,
    });
    assert_eq!(
        board.optee,
        Some(Optee {
            conduit: Conduit::Smc,
            interrupt: edge
        })
    );
    assert_eq!(
        board.cpus[..],
        [0, 1].map(|mpidr| Cpu {
            mpidr,
            enable: EnableMethod::Psci
        })
    );
    assert_eq!(
        board.timer,
        Timer {
            physical: 30,
            virtual_: 27,
            hypervisor: 26,
            frequency: None
        }
    );
    let Gic::V3(gic) = board.gic else {
        panic!("{:?}", board.gic)
    };
    assert_eq!(gic.gicd, range(0x0800_0000, 0x1_0000));
    assert_eq!(gic.gicr[..], [range(0x080a_0000, 0xf6_0000)]);
    assert_eq!(gic.maintenance, 25);
}

#[test]
fn all_that_is_taken_is_reserved() {
    let blob = qemu_virt().blob_with(&[(0x4000_0000, 0x1000), (0x5000_0000, 0x2000)]);
    let board = Board::from_tree(&blob, AT).unwrap();
    let taken = [
        board.tree,
        board.bundle.unwrap(),
        range(0x4000_0000, 0x1000),
        range(0x5000_0000, 0x2000),
        range(0x4200_0000, 0x0020_0000),
        // The secure world's memory, with OP-TEE's in it.
        range(0x0e00_0000, 0x0100_0000),
    ];
    assert_eq!(board.reserved[..], taken);
}

#[test]
fn reservations_that_touch_are_one() {
    let many: Vec<_> = (0..200)
        .map(|n| (0x5000_0000 + n * 0x1000, 0x1000))
        .collect();
    let board = Board::from_tree(&qemu_virt().blob_with(&many), AT).unwrap();
    assert!(board.reserved.contains(&range(0x5000_0000, 200 << 12)));
    let between = [(0x5000_0000, 0x1000), (0x5000_3000, 0x1000)];
    let tree = qemu_virt().with("reserved-memory/optee_shm@42000000", |node| {
        node.cells("reg", &[0, 0x5000_0800, 0, 0x3000])
    });
    let board = Board::from_tree(&tree.blob_with(&between), AT).unwrap();
    assert!(board.reserved.contains(&range(0x5000_0000, 0x4000)));
}

/// Returns what is reserved because of a node with these registers, all of it below `path`.
fn reserved_for(path: &str, at: u32, size: u32) -> Option<PaRange> {
    let device = node("thing").cells("reg", &[0, at, 0, size]);
    let before = read(&qemu_virt()).unwrap().reserved;
    let tree = qemu_virt().with(path, |node| node.child(device));
    let board = read(&tree).unwrap();
    let is_new = |range: &&PaRange| !before.contains(range) && **range != board.tree;
    board.reserved.iter().find(is_new).copied()
}

#[test]
fn what_devices_have_of_ram_is_reserved() {
    // Registers, or memory shared with them: the granules around.
    let shared = reserved_for("", 0x5020_0340, 0x20);
    assert_eq!(shared, Some(range(0x5020_0000, 0x20_0000)));
    let straddling = reserved_for("", 0xbfff_0000, 0x2_0000);
    assert_eq!(straddling, Some(range(0xbfe0_0000, 0x20_0000)));
    // A bus that names all of RAM, and registers elsewhere.
    assert_eq!(reserved_for("", 0x4000_0000, 0x8000_0000), None);
    assert_eq!(reserved_for("", 0x0b00_0000, 0x1000), None);
}

#[test]
fn the_loaders_framebuffer_is_reserved() {
    let chosen = |node: Node| {
        node.cells("#address-cells", &[2])
            .cells("#size-cells", &[2])
            .bytes("ranges", &[])
            .child(
                fixtures::node("framebuffer@70000000")
                    .text("compatible", "simple-framebuffer")
                    .cells("reg", &[0, 0x7000_0000, 0, 0x7e_9000])
                    .text("status", "disabled"),
            )
    };
    let board = read(&qemu_virt().with("chosen", chosen)).unwrap();
    assert!(board.reserved.contains(&range(0x7000_0000, 0x80_0000)));
}

/// Memory nodes go over the registers where the loader does not know better.
#[test]
fn a_gic_in_what_the_tree_calls_memory_is_no_ram() {
    let tree = raspberry_pi_4().with("memory@0", |node| node.cells("reg", &[0, 0, 0xffff_f000]));
    let board = read(&tree).unwrap();
    for frame in board.gic.frames().chain([board.console.unwrap().registers]) {
        let taken = |range: &PaRange| range.contains(&frame);
        assert!(board.reserved.iter().any(taken), "{frame:?}");
    }
}

#[test]
fn a_disabled_reservation_still_counts_and_needs_no_ranges() {
    let tree = qemu_virt()
        .with("reserved-memory", |node| node.without("ranges"))
        .with("reserved-memory/optee_shm@42000000", |node| {
            node.text("status", "disabled")
        });
    assert!(
        read(&tree)
            .unwrap()
            .reserved
            .contains(&range(0x4200_0000, 0x0020_0000))
    );
}

#[test]
fn h04_memory_of_the_secure_world_is_not_ram() {
    let tree = qemu_virt().with("secram@e000000", |node| {
        node.cells("reg", &[0, 0x9000_0000, 0, 0x1000])
    });
    let board = read(&tree).unwrap();
    assert_eq!(board.memory[..], [range(0x4000_0000, 0x8000_0000)]);
    assert!(board.reserved.contains(&range(0x9000_0000, 0x1000)));
}

#[test]
fn bus_addresses_are_translated() {
    let board = read(&raspberry_pi_4()).unwrap();
    assert_eq!(&board.model, "Raspberry Pi 4 Model B");
    assert_eq!(board.memory[..], [range(0, 0x3c00_0000)]);
    let frames = [
        range(0xff84_1000, 0x1000),
        range(0xff84_2000, 0x2000),
        range(0xff84_4000, 0x1000),
        range(0xff84_6000, 0x2000),
    ];
    assert!(board.gic.frames().eq(frames));
    // The last is guests'.
    assert!(board.gic.mapped_frames().eq(frames.into_iter().take(3)));
    assert_eq!(board.ppis.maintenance, 25);
    let registers = range(0xfe20_1000, 0x200);
    assert_eq!(
        board.console,
        Some(Console {
            kind: ConsoleKind::Pl011,
            registers,
            layout: RegisterLayout::WORDS,
            interrupt: level(153)
        })
    );
    assert_eq!(
        board.cpus[3],
        Cpu {
            mpidr: 3,
            enable: EnableMethod::SpinTable(Pa(0xf0))
        }
    );
    assert_eq!((board.psci, board.optee, board.bundle), (None, None, None));
}

#[test]
fn the_pages_of_spin_tables_are_reserved() {
    let board = read(&raspberry_pi_4()).unwrap();
    // All four release addresses lie in page 0, which is reserved once.
    let page = range(0, 0x1000);
    let pages = board.reserved.iter().filter(|taken| **taken == page);
    assert_eq!(pages.count(), 1);
    assert_eq!(board.cpus[3].release_page(), Some(page));
    let board = read(&qemu_virt()).unwrap();
    assert_eq!(board.cpus[1].release_page(), None);
}

#[test]
fn a_cpu_interface_that_fills_its_frame_by_aliases_is_two_neighbouring_pages() {
    let tree = raspberry_pi_4().with("soc/interrupt-controller@40041000", |node| {
        let frames = [
            0x4000_0000,
            0x1_0000,
            0x4010_0000,
            0x2_0000,
            0x4020_0000,
            0x2_0000,
        ];
        node.cells("reg", &[&frames[..], &[0x4030_0000, 0x2_0000]].concat())
    });
    let Gic::V2(gic) = read(&tree).unwrap().gic else {
        panic!("GICv2 expected");
    };
    assert_eq!(gic.gicc, range(0xff90_f000, 0x2000));
    assert_eq!(gic.gich, range(0xffa0_0000, 0x1000));
    assert_eq!(gic.gicv, range(0xffb0_f000, 0x2000));
}

#[test]
fn xilinx_uart_is_a_console() {
    let tree = raspberry_pi_4().with("soc/serial@7e201000", |node| {
        node.bytes("compatible", b"xlnx,zynqmp-uart\0cdns,uart-r1p12\0")
    });
    let console = read(&tree).unwrap().console.unwrap();
    assert_eq!(console.kind, ConsoleKind::Cadence);
    assert_eq!(console.interrupt, level(153));
}

#[test]
fn an_address_outside_every_range_is_nobodys() {
    let tree = raspberry_pi_4().with("soc/serial@7e201000", |node| {
        node.cells("reg", &[0x7f80_0000, 0x200])
    });
    assert_eq!(
        read(&tree).unwrap().console.unwrap().kind,
        ConsoleKind::Bcm2835Aux
    );
    let straddling = raspberry_pi_4().with("soc/serial@7e201000", |node| {
        node.cells("reg", &[0x7f7f_ff00, 0x200])
    });
    assert_eq!(
        read(&straddling).unwrap().console.unwrap().kind,
        ConsoleKind::Bcm2835Aux
    );
}

#[test]
fn nested_buses_are_translated_one_by_one() {
    let inner = node("inner")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .cells("ranges", &[0, 0x7e30_0000, 0x1000])
        .child(
            node("uart@40")
                .text("compatible", "arm,pl011")
                .cells("reg", &[0x40, 0x80]),
        );
    let tree = raspberry_pi_4()
        .with("soc", |soc| soc.child(inner))
        .with("chosen", |node| node.text("stdout-path", "/soc/inner/uart"));
    assert_eq!(
        read(&tree).unwrap().console.unwrap().registers,
        range(0xfe30_0040, 0x80)
    );
}

#[test]
fn the_console_is_what_chosen_says() {
    let console = |path: &str| {
        let tree = raspberry_pi_4().with("chosen", |node| node.text("stdout-path", path));
        board::console(&tree.blob()).unwrap().kind
    };
    assert_eq!(console("serial1"), ConsoleKind::Bcm2835Aux);
    assert_eq!(
        console("/soc/serial@7e215040:115200"),
        ConsoleKind::Bcm2835Aux
    );
    assert_eq!(
        console("/soc/serial"),
        ConsoleKind::Pl011,
        "the first of that name"
    );
    assert_eq!(
        console("/soc/nothing"),
        ConsoleKind::Pl011,
        "the first UART instead"
    );
    assert_eq!(console("serial7"), ConsoleKind::Pl011);
    assert_eq!(console(""), ConsoleKind::Pl011);
}

#[test]
fn a_disabled_uart_is_no_console() {
    let secure_first =
        qemu_virt().with("chosen", |node| node.text("stdout-path", "/pl011@9040000"));
    let console = read(&secure_first).unwrap().console.unwrap();
    assert_eq!(console.registers, range(0x0900_0000, 0x1000));
    let disabled_bus = raspberry_pi_4().with("soc", |node| node.text("status", "disabled"));
    assert_eq!(board::console(&disabled_bus.blob()), None);
}

#[test]
fn the_console_is_found_in_a_tree_that_is_bad_elsewhere() {
    let tree = qemu_virt()
        .drop("/cpus")
        .drop("/timer")
        .drop("/intc@8000000");
    assert!(read(&tree).is_err());
    let console = board::console(&tree.blob()).unwrap();
    assert_eq!(
        (console.kind, console.interrupt),
        (ConsoleKind::Pl011, None)
    );
}

#[test]
fn an_interrupt_of_another_controller_is_not_taken_for_the_gics() {
    let interrupt = |change: fn(Node) -> Node| {
        let tree = qemu_virt().with("pl011@9000000", change);
        read(&tree).unwrap().console.unwrap().interrupt
    };
    assert_eq!(interrupt(|node| node), level(33));
    assert_eq!(interrupt(|node| node.cells("interrupt-parent", &[7])), None);
    let extended = |node: Node| node.cells("interrupts-extended", &[0x8005, 0, 5, 4]);
    assert_eq!(interrupt(extended), level(37));
    assert_eq!(
        interrupt(|node| node.cells("interrupts-extended", &[7, 0, 5, 4])),
        None
    );
    assert_eq!(
        interrupt(|node| node.cells("interrupts", &[0, 988, 4])),
        None
    );
    assert_eq!(interrupt(|node| node.cells("interrupts", &[2, 0, 4])), None);
    assert_eq!(interrupt(|node| node.cells("interrupts", &[0, 1])), None);
}

#[test]
fn specifiers_of_four_cells_are_read() {
    let four = [1, 13, 4, 0, 1, 14, 4, 0, 1, 11, 4, 0, 1, 10, 4, 0];
    let tree = qemu_virt()
        .with("intc@8000000", |node| {
            node.cells("#interrupt-cells", &[4])
                .cells("interrupts", &[1, 8, 4, 0])
        })
        .with("timer", |node| node.cells("interrupts", &four));
    let board = read(&tree).unwrap();
    assert_eq!((board.timer.virtual_, board.timer.hypervisor), (27, 26));
    let Gic::V3(gic) = board.gic else { panic!() };
    assert_eq!(gic.maintenance, 24);
}

#[test]
fn timers_may_go_by_name() {
    let tree = qemu_virt().with("timer", |node| {
        node.bytes("interrupt-names", b"hyp-phys\0virt\0phys\0")
            .cells("interrupts", &[1, 10, 4, 1, 11, 4, 1, 14, 4])
            .cells("clock-frequency", &[62_500_000])
    });
    let timer = read(&tree).unwrap().timer;
    let frequency = Some(62_500_000);
    assert_eq!(
        timer,
        Timer {
            physical: 30,
            virtual_: 27,
            hypervisor: 26,
            frequency
        }
    );
}

#[test]
fn redistributors_may_be_in_several_regions() {
    let reg = [
        0,
        0x0800_0000,
        0,
        0x1_0000,
        0,
        0x080a_0000,
        0,
        0x4_0000,
        0,
        0x4000_0000,
        0,
        0x4_0000,
    ];
    let split = |node: Node| {
        node.cells("#redistributor-regions", &[2])
            .cells("redistributor-stride", &[0, 0x4_0000])
    };
    let tree = qemu_virt().with("intc@8000000", |node| split(node).cells("reg", &reg));
    let Gic::V3(gic) = read(&tree).unwrap().gic else {
        panic!()
    };
    assert_eq!(
        gic.gicr[..],
        [range(0x080a_0000, 0x4_0000), range(0x4000_0000, 0x4_0000)]
    );
    assert_eq!(gic.stride(false), 0x4_0000);
    let cut = qemu_virt().with("intc@8000000", split);
    assert_eq!(
        fails(&cut),
        "node intc: property reg is missing or malformed: correct the device tree"
    );
}

#[test]
fn a_cpu_that_waits_counts_and_one_that_failed_does_not() {
    let tree = qemu_virt().with("cpus", |cpus| {
        cpus.child(cpu(2).text("status", "disabled"))
            .child(cpu(3).text("status", "fail"))
            .child(cpu(0x100).text("enable-method", "acme,magic"))
    });
    let cpus = read(&tree).unwrap().cpus;
    assert_eq!(
        cpus.iter().map(|cpu| cpu.mpidr).collect::<Vec<_>>(),
        [0, 1, 2, 0x100]
    );
    assert_eq!(cpus[3].enable, EnableMethod::Unknown);
}

#[test]
fn affinity_may_take_two_cells() {
    let tree = qemu_virt().with("cpus", |cpus| {
        let first = cpu(0).cells("reg", &[1, 0x203]);
        Node {
            children: vec![first],
            ..cpus.cells("#address-cells", &[2])
        }
    });
    assert_eq!(read(&tree).unwrap().cpus[0].mpidr, 0x1_0000_0203);
}

#[test]
fn the_oldest_psci_is_told_from_the_newer() {
    let version = |compatible: &[u8]| {
        let tree = qemu_virt().with("psci", |node| node.bytes("compatible", compatible));
        read(&tree).unwrap().psci.unwrap().version
    };
    assert_eq!(version(b"arm,psci-0.2\0arm,psci\0"), PsciVersion::V0_2);
    assert_eq!(version(b"arm,psci\0"), PsciVersion::V0_1);
}

#[test]
fn only_the_oldest_psci_numbers_its_functions() {
    let cpu_on = |compatible: &[u8]| {
        let tree = qemu_virt().with("psci", |node| {
            let node = node.bytes("compatible", compatible);
            node.cells("cpu_on", &[0x95c1_ba60])
        });
        read(&tree).unwrap().psci.unwrap().cpu_on
    };
    assert_eq!(cpu_on(b"arm,psci\0"), Some(0x95c1_ba60));
    assert_eq!(cpu_on(b"arm,psci-0.2\0arm,psci\0"), None);
}

#[test]
fn linuxs_word_about_mpam_counts_here_too() {
    let keeps = |arguments| {
        let tree = qemu_virt().with("chosen", |node| node.text("bootargs", arguments));
        read(&tree).unwrap().keeps_mpam
    };
    assert!(keeps("quiet arm64.nompam"));
    assert!(!keeps("arm64.nompamx xarm64.nompam"));
    assert!(!read(&qemu_virt()).unwrap().keeps_mpam);
}

#[test]
fn a_disabled_optee_is_none() {
    let tree = qemu_virt().with("firmware/optee", |node| node.text("status", "disabled"));
    assert_eq!(read(&tree).unwrap().optee, None);
    let silent = qemu_virt().with("firmware/optee", |node| node.without("interrupts"));
    assert_eq!(read(&silent).unwrap().optee.unwrap().interrupt, None);
}

fn fails(tree: &Node) -> String {
    read(tree).unwrap_err().to_string()
}

#[test]
fn errors_name_the_node_and_the_remedy() {
    let no_memory = qemu_virt().with("memory@40000000", |node| node.cells("reg", &[0, 0, 0, 0]));
    assert_eq!(
        fails(&no_memory),
        "no memory node has a size: the firmware must fill in /memory reg"
    );
    assert_eq!(
        fails(&qemu_virt().drop("/cpus")),
        "/cpus names no CPU: correct the device tree"
    );
    assert_eq!(
        fails(&qemu_virt().drop("/intc@8000000")),
        "no GICv2 or GICv3 node is enabled, but no other interrupt controller either: this board is not supported"
    );
    assert_eq!(
        fails(&qemu_virt().drop("/timer")),
        "no arm,armv8-timer node is enabled: correct the device tree"
    );
    let property = |path: &str, change: fn(Node) -> Node, node: &str, name: &str| {
        let message = format!(
            "node {node}: property {name} is missing or malformed: correct the device tree"
        );
        assert_eq!(fails(&qemu_virt().with(path, change)), message);
    };
    property(
        "intc@8000000",
        |node| node.cells("reg", &[0, 0, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000]),
        "intc",
        "reg",
    );
    property(
        "memory@40000000",
        |node| node.cells("reg", &[0, 1, 0]),
        "memory",
        "reg",
    );
    property("cpus/cpu@1", |node| node.without("reg"), "cpu", "reg");
    property(
        "cpus/cpu@1",
        |node| node.text("enable-method", "spin-table"),
        "cpu",
        "cpu-release-addr",
    );
    property(
        "cpus/cpu@1",
        |node| {
            node.text("enable-method", "spin-table")
                .cells("cpu-release-addr", &[0, 0xdc])
        },
        "cpu",
        "cpu-release-addr",
    );
    property("psci", |node| node.without("method"), "psci", "method");
    property(
        "firmware/optee",
        |node| node.text("method", "svc"),
        "optee",
        "method",
    );
    property(
        "timer",
        |node| node.cells("interrupts", &[1, 13, 4]),
        "timer",
        "interrupts",
    );
    property(
        "chosen",
        |node| node.cells("linux,initrd-end", &[0x6000_0000]),
        "chosen",
        "linux,initrd-end",
    );
    property(
        "chosen",
        |node| node.bytes("linux,initrd-start", b"abc"),
        "chosen",
        "linux,initrd-start",
    );
    property(
        "reserved-memory/optee_shm@42000000",
        |node| node.cells("reg", &[1]),
        "optee_shm",
        "reg",
    );
}

#[test]
fn surplus_cpus_are_left_off() {
    let tree = qemu_virt().with("cpus", |cpus| {
        (2..64).fold(cpus, |cpus, n| cpus.child(cpu(n)))
    });
    let found = read(&tree).unwrap().cpus;
    let numbers = found.iter().map(|cpu| cpu.mpidr);
    assert!(numbers.eq(0..MAX_CPUS as u64));
}

#[test]
fn release_address_0_is_none() {
    let tree = raspberry_pi_4().with("cpus/cpu@2", |node| node.cells("cpu-release-addr", &[0, 0]));
    let board = read(&tree).unwrap();
    assert_eq!(board.cpus[2].enable, EnableMethod::Unknown);
    assert_eq!(board.cpus[2].release_page(), None);
    assert_eq!(board.cpus[1].enable, EnableMethod::SpinTable(Pa(0xe0)));
}

#[test]
fn too_much_memory_is_an_error_not_a_loss() {
    let bank = |n: u32| [0, 0x0100_0000 * n, 0, 0x1000];
    let banks: Vec<u32> = (1..=17).flat_map(bank).collect();
    let memory = qemu_virt().with("memory@40000000", |node| node.cells("reg", &banks));
    assert_eq!(
        read(&memory).unwrap_err(),
        BoardError::TooMany("memory ranges", MAX_MEMORY)
    );
    let block: Vec<_> = (1..=MAX_RESERVED as u64)
        .map(|n| (n * 0x2000, 0x1000))
        .collect();
    let error = Board::from_tree(&qemu_virt().blob_with(&block), AT).unwrap_err();
    assert_eq!(error, BoardError::TooMany("reservations", MAX_RESERVED));
}
