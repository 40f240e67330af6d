// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each value that decides what EL2 and its guests reach, bit for bit. A bit that is not named here is 0.
//!
//! An emulator models neither caches nor shareability, so a wrong bit is seen here and on hardware alone. The tables
//! are read as the hardware walks them. Sections are those of the Arm ARM (DDI 0487), if nothing else is said.

mod fields;

use aarch64_paging::{
    Mapping,
    descriptor::{El23Attributes, PhysicalAddress},
    idmap::IdTranslation,
    paging::{Constraints, El2, MemoryRegion},
};
use addr::{Ipa, Pa};
use controls::{Features, Vcpu, stage1};
use platform::VmId;
use stage2::{GuestRam, RamRegion, Tables};

use fields::{Field, expect};

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Reads the descriptor that maps `address`, and the level it is at, as a walk from `level` on finds it; all
/// above it must be table descriptors, which restrict nothing.
fn walk(root: u64, level: u32, address: u64) -> (u64, u32) {
    let index = address >> (12 + 9 * (3 - level)) & 0x1ff;
    // SAFETY: `root` is the address of a table of 512 descriptors, which lives as long as the test.
    let descriptor = unsafe { *((root + 8 * index) as *const u64) };
    if level == 3 || descriptor & 0b11 != 0b11 {
        return (descriptor, level);
    }
    // D8.3.1, "VMSAv8-64 Table descriptor format".
    expect(
        "table descriptor",
        descriptor & !ADDRESS,
        &[
            ("valid", 0, 1, 1),
            ("table", 1, 1, 1),
            ("PXNTable", 59, 1, 0),
            ("UXNTable or XNTable", 60, 1, 0),
            ("APTable", 61, 2, 0),
            ("NSTable", 63, 1, 0),
        ],
    );
    walk(descriptor & ADDRESS, level + 1, address)
}

/// Checks the page and the 2 MiB block that `attributes` give in EL2's own tables.
fn expect_stage1(name: &str, attributes: El23Attributes, fields: &[Field]) {
    let mut tables = Mapping::new(IdTranslation::<El23Attributes>::new(), 0, El2);
    let (page, block) = (0x4000_1000, 0x8000_0000);
    for (start, size) in [(page, PAGE), (block, BLOCK)] {
        let region = MemoryRegion::new(start as usize, (start + size) as usize);
        let to = PhysicalAddress(start as usize);
        tables
            .map_range(&region, to, attributes, Constraints::NO_CONTIGUOUS_HINT)
            .unwrap();
    }
    let root = tables.root_address().0 as u64;
    expect_leaf(name, walk(root, 0, page), page, 3, fields);
    expect_leaf(name, walk(root, 0, block), block, 2, fields);
}

fn expect_leaf(name: &str, found: (u64, u32), to: u64, level: u32, fields: &[Field]) {
    assert_eq!(found.1, level, "{name}: level");
    assert_eq!(found.0 & ADDRESS, to, "{name}: output address");
    let mut all = vec![("valid", 0, 1, 1), ("page", 1, 1, u64::from(level == 3))];
    all.extend(fields);
    expect(name, found.0 & !ADDRESS, &all);
}

// D8.3.1, "Stage 1 attribute fields"; D8.5.2, "Stage 1 memory type and cacheability attributes".

#[test]
fn code_is_shared_write_back_memory_read_only_and_executed() {
    expect_stage1(
        "code",
        stage1::CODE,
        &[
            ("AttrIndx: Normal write-back", 2, 3, 0),
            ("NS", 5, 1, 0),
            ("AP[1]: RES1", 6, 1, 1),
            ("AP[2]: read only", 7, 1, 1),
            ("SH: inner shareable", 8, 2, 0b11),
            ("AF", 10, 1, 1),
            ("Contiguous", 52, 1, 0),
            ("XN", 54, 1, 0),
        ],
    );
}

#[test]
fn constants_and_the_device_tree_are_read_only_and_not_executed() {
    expect_stage1(
        "constants, device tree, bundle",
        stage1::CONSTANTS,
        &[
            ("AttrIndx: Normal write-back", 2, 3, 0),
            ("NS", 5, 1, 0),
            ("AP[1]: RES1", 6, 1, 1),
            ("AP[2]: read only", 7, 1, 1),
            ("SH: inner shareable", 8, 2, 0b11),
            ("AF", 10, 1, 1),
            ("Contiguous", 52, 1, 0),
            ("XN", 54, 1, 1),
        ],
    );
}

#[test]
fn data_and_ram_are_written_and_not_executed() {
    expect_stage1(
        "data, stacks, RAM",
        stage1::DATA,
        &[
            ("AttrIndx: Normal write-back", 2, 3, 0),
            ("NS", 5, 1, 0),
            ("AP[1]: RES1", 6, 1, 1),
            ("AP[2]: read and write", 7, 1, 0),
            ("SH: inner shareable", 8, 2, 0b11),
            ("AF", 10, 1, 1),
            ("Contiguous", 52, 1, 0),
            ("XN", 54, 1, 1),
        ],
    );
}

#[test]
fn devices_are_device_memory_and_not_executed() {
    expect_stage1(
        "device",
        stage1::DEVICE,
        &[
            ("AttrIndx: Device-nGnRE", 2, 3, 1),
            ("NS", 5, 1, 0),
            ("AP[1]: RES1", 6, 1, 1),
            ("AP[2]: read and write", 7, 1, 0),
            ("SH: of no effect on Device memory", 8, 2, 0b00),
            ("AF", 10, 1, 1),
            ("Contiguous", 52, 1, 0),
            ("XN", 54, 1, 1),
        ],
    );
}

/// D8.3.1, "Stage 2 attribute fields"; D8.5.5, "Stage 2 memory type and cacheability attributes".
#[test]
fn guests_have_shared_write_back_ram_and_devices() {
    let (ram_page, ram_block, device) = (0x4000_1000, 0x4020_0000, 0x0801_0000);
    let mut ram = GuestRam::new();
    for (ipa, size) in [(ram_page, PAGE), (ram_block, BLOCK)] {
        let pa = Pa(ipa + 0x1_0000_0000);
        let ipa = Ipa(ipa);
        ram.push(RamRegion { ipa, pa, size }).unwrap();
    }
    let mut tables = Tables::new(5);
    tables.map_ram(&ram).unwrap();
    tables
        .map_device(Ipa(device), Pa(0x0804_0000), PAGE)
        .unwrap();

    let normal = [
        ("MemAttr[1:0]: inner write-back", 2, 2, 0b11),
        ("MemAttr[3:2]: outer write-back", 4, 2, 0b11),
        ("S2AP: read and write", 6, 2, 0b11),
        ("SH: inner shareable", 8, 2, 0b11),
        ("AF", 10, 1, 1),
        ("Contiguous", 52, 1, 0),
        ("XN: executed", 53, 2, 0b00),
    ];
    let root = tables.root().0;
    for (at, level) in [(ram_page, 3), (ram_block, 2)] {
        let to = at + 0x1_0000_0000;
        expect_leaf("guest's RAM", walk(root, 1, at), to, level, &normal);
    }
    let registers = [
        ("MemAttr[1:0]: nGnRE", 2, 2, 0b01),
        ("MemAttr[3:2]: Device", 4, 2, 0b00),
        ("S2AP: read and write", 6, 2, 0b11),
        ("SH: of no effect on Device memory", 8, 2, 0b00),
        ("AF", 10, 1, 1),
        ("Contiguous", 52, 1, 0),
        ("XN: not executed", 53, 2, 0b10),
    ];
    expect_leaf(
        "guest's device",
        walk(root, 1, device),
        0x0804_0000,
        3,
        &registers,
    );
}

/// D19.2, "VTCR_EL2".
#[test]
fn vtcr_el2() {
    for (pa_range, ps, t0sz) in [(0, 0, 32), (1, 1, 28), (2, 2, 25), (5, 5, 25), (6, 5, 25)] {
        expect(
            "VTCR_EL2",
            stage2::vtcr(pa_range),
            &[
                (
                    "T0SZ: 39 bits, or as many as a physical address",
                    0,
                    6,
                    t0sz,
                ),
                ("SL0: from level 1", 6, 2, 1),
                ("IRGN0: write-back, allocate", 8, 2, 0b01),
                ("ORGN0: write-back, allocate", 10, 2, 0b01),
                ("SH0: inner shareable", 12, 2, 0b11),
                ("TG0: 4 KiB", 14, 2, 0b00),
                ("PS", 16, 3, ps),
                ("VS: VMIDs of 8 bits", 19, 1, 0),
                ("HA, HD", 21, 2, 0),
                ("RES1", 31, 1, 1),
            ],
        );
    }
}

/// D19.2, "VTTBR_EL2".
#[test]
fn vttbr_el2() {
    for (vm, vmid) in [(0, 1), (7, 8)] {
        expect(
            "VTTBR_EL2",
            controls::vttbr(VmId(vm), Pa(0x8_1234_5000)),
            &[
                ("CnP", 0, 1, 0),
                ("BADDR", 1, 47, 0x8_1234_5000 >> 1),
                ("VMID: never 0", 48, 16, vmid),
            ],
        );
    }
}

/// D19.2.122, "SCTLR_EL2".
#[test]
fn sctlr_el2() {
    expect(
        "SCTLR_EL2",
        stage1::SCTLR,
        &[
            ("M: MMU", 0, 1, 1),
            ("A: alignment unchecked", 1, 1, 0),
            ("C: cacheable", 2, 1, 1),
            ("SA: stack alignment", 3, 1, 1),
            ("RES1, or SA0 and CP15BEN", 4, 2, 0b11),
            ("RES1, or EOS", 11, 1, 1),
            ("I: cacheable", 12, 1, 1),
            ("RES1, or nTWI", 16, 1, 1),
            ("RES1, or nTWE", 18, 1, 1),
            ("WXN", 19, 1, 1),
            ("RES1, or EIS", 22, 1, 1),
            ("RES1, or SPAN", 23, 1, 1),
            ("EE: little-endian", 25, 1, 0),
            ("RES1, or nTLSMD and LSMAOE", 28, 2, 0b11),
        ],
    );
}

/// D19.2, "MAIR_EL2".
#[test]
fn mair_el2() {
    expect(
        "MAIR_EL2",
        stage1::MAIR,
        &[
            ("Attr0: Normal, write-back, allocate", 0, 8, 0xff),
            ("Attr1: Device-nGnRE", 8, 8, 0x04),
        ],
    );
}

/// D19.2, "TCR_EL2", with HCR_EL2.E2H = 0.
#[test]
fn tcr_el2() {
    expect(
        "TCR_EL2",
        stage1::TCR,
        &[
            ("T0SZ: 48 bits", 0, 6, 16),
            ("IRGN0: write-back, allocate", 8, 2, 0b01),
            ("ORGN0: write-back, allocate", 10, 2, 0b01),
            ("SH0: inner shareable", 12, 2, 0b11),
            ("TG0: 4 KiB", 14, 2, 0b00),
            ("PS: added at run time", 16, 3, 0),
            ("TBI", 20, 1, 0),
            ("RES1", 23, 1, 1),
            ("RES1", 31, 1, 1),
        ],
    );
}

/// D19.2.48, "HCR_EL2": on a core without features, in each mode of a vCPU.
#[test]
fn hcr_el2_of_each_vcpu() {
    for (serror, shares_core) in [(false, false), (true, false), (false, true), (true, true)] {
        let vcpu = Vcpu {
            serror,
            shares_core,
        };
        let mut fields = HCR.to_vec();
        fields.push(("VSE", 8, 1, serror.into()));
        fields.push(("TWI", 13, 1, shares_core.into()));
        fields.push(("TWE", 14, 1, shares_core.into()));
        expect("HCR_EL2", controls::hcr(Features::default(), vcpu), &fields);
    }
}

/// D19.2.48, "HCR_EL2": before the first guest of a core.
#[test]
fn before_a_guest_interrupts_and_serrors_are_el2s() {
    expect(
        "HCR_EL2 without a guest",
        controls::HCR_NO_GUEST,
        &[
            ("VM", 0, 1, 0),
            ("FMO", 3, 1, 1),
            ("IMO", 4, 1, 1),
            ("AMO", 5, 1, 1),
            ("TGE", 27, 1, 0),
            ("RW", 31, 1, 1),
            ("E2H", 34, 1, 0),
        ],
    );
}

/// What each vCPU has in HCR_EL2.
const HCR: [Field; 33] = [
    ("VM: stage 2", 0, 1, 1),
    ("SWIO", 1, 1, 1),
    ("PTW", 2, 1, 1),
    ("FMO", 3, 1, 1),
    ("IMO", 4, 1, 1),
    ("AMO", 5, 1, 1),
    ("VF", 6, 1, 0),
    ("VI", 7, 1, 0),
    ("FB", 9, 1, 1),
    ("BSU: inner shareable", 10, 2, 0b01),
    ("DC", 12, 1, 0),
    ("TID0", 15, 1, 0),
    ("TID1", 16, 1, 1),
    ("TID2", 17, 1, 0),
    ("TID3", 18, 1, 1),
    ("TSC", 19, 1, 1),
    ("TIDCP", 20, 1, 1),
    ("TACR", 21, 1, 1),
    ("TSW", 22, 1, 0),
    ("TPCP", 23, 1, 0),
    ("TPU", 24, 1, 0),
    ("TTLB", 25, 1, 0),
    ("TVM", 26, 1, 0),
    ("TGE", 27, 1, 0),
    ("TDZ", 28, 1, 0),
    ("HCD", 29, 1, 0),
    ("TRVM", 30, 1, 0),
    ("RW: EL1 is AArch64", 31, 1, 1),
    ("CD", 32, 1, 0),
    ("ID", 33, 1, 0),
    ("E2H", 34, 1, 0),
    ("TEA", 37, 1, 0),
    ("NV, NV1, AT, NV2", 42, 4, 0),
];

/// D19.2.48, "HCR_EL2": each feature adds its own bits.
#[test]
fn hcr_el2_of_each_feature() {
    let none = Features::default();
    let (lor, ras, mte, pointer_authentication) = (true, true, true, true);
    let all = Features {
        lor,
        ras,
        mte,
        pointer_authentication,
    };
    let (tlor, terr, keys, tid5) = (
        ("TLOR", 35, 1, 1),
        ("TERR", 36, 1, 1),
        ("APK, API: the keys are the guest's", 40, 2, 0b11),
        ("TID5", 58, 1, 1),
    );
    let cases: [(Features, &[Field]); 5] = [
        (Features { lor, ..none }, &[tlor]),
        (Features { ras, ..none }, &[terr]),
        (Features { mte, ..none }, &[tid5]),
        (
            Features {
                pointer_authentication,
                ..none
            },
            &[keys],
        ),
        (all, &[tlor, terr, tid5, keys]),
    ];
    for (features, added) in cases {
        let fields = [&HCR, added].concat();
        expect("HCR_EL2", controls::hcr(features, Vcpu::default()), &fields);
    }
}

/// D19.2.34, "CPTR_EL2", with HCR_EL2.E2H = 0.
#[test]
fn cptr_el2() {
    expect(
        "CPTR_EL2",
        controls::CPTR,
        &[
            ("RES1", 0, 8, 0xff),
            ("RES1, or TZ: SVE", 8, 1, 1),
            ("RES1", 9, 1, 1),
            ("TFP", 10, 1, 0),
            ("RES1, or TSM: SME", 12, 1, 1),
            ("RES1", 13, 1, 1),
            ("TTA: trace", 20, 1, 1),
            ("TAM: activity monitors", 30, 1, 1),
            ("TCPAC", 31, 1, 0),
        ],
    );
}

/// D19.3, "MDCR_EL2".
#[test]
fn mdcr_el2() {
    for counters in [0, 6, 31] {
        expect(
            "MDCR_EL2",
            controls::mdcr(counters),
            &[
                ("HPMN", 0, 5, counters),
                ("TPMCR", 5, 1, 1),
                ("TPM", 6, 1, 1),
                ("HPME", 7, 1, 0),
                ("TDE", 8, 1, 0),
                ("TDA", 9, 1, 1),
                ("TDOSA", 10, 1, 1),
                ("TDRA", 11, 1, 1),
                ("E2PB", 12, 2, 0),
                ("TPMS", 14, 1, 1),
                ("TTRF", 19, 1, 1),
                ("E2TB", 24, 2, 0),
            ],
        );
    }
}

/// D19.12, "CNTHCTL_EL2", with HCR_EL2.E2H = 0.
#[test]
fn cnthctl_el2() {
    expect(
        "CNTHCTL_EL2",
        controls::CNTHCTL,
        &[
            ("EL1PCTEN: the physical counter", 0, 1, 1),
            ("EL1PCEN: the physical timer", 1, 1, 1),
            ("EVNTEN", 2, 1, 0),
        ],
    );
}

/// DDI 0598, "MPAM2_EL2".
#[test]
fn mpam2_el2() {
    expect(
        "MPAM2_EL2",
        controls::MPAM2,
        &[
            ("PARTID_I, PARTID_D, PMG_I, PMG_D", 0, 48, 0),
            ("TRAPMPAM0EL1, TRAPMPAM1EL1", 48, 2, 0b11),
        ],
    );
}

/// IHI 0069H 12.4, "ICH_HCR_EL2"; IHI 0048B 5.3, "GICH_HCR", whose bits 0 to 7 are the same.
#[test]
fn ich_hcr_el2() {
    use vgic::Lrs;
    expect("En", Lrs::HCR_EN.into(), &[("En", 0, 1, 1)]);
    expect("LRENPIE", Lrs::HCR_LRENPIE.into(), &[("LRENPIE", 2, 1, 1)]);
    expect("NPIE", Lrs::HCR_NPIE.into(), &[("NPIE", 3, 1, 1)]);
    expect("TDIR", Lrs::HCR_TDIR.into(), &[("TDIR", 14, 1, 1)]);
    let mut lrs = Lrs::new();
    let mut gic = vgic::Vgic::new(platform::GicVersion::V3, 1, platform::INTIDS, 4);
    gic.flush(platform::VcpuId(0), &mut lrs);
    expect("ICH_HCR_EL2", lrs.hcr().into(), &[("En", 0, 1, 1)]);
    lrs.vacate();
    expect("ICH_HCR_EL2 without a vCPU", lrs.hcr().into(), &[]);
}
