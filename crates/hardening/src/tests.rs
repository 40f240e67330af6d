// SPDX-License-Identifier: MIT OR Apache-2.0

extern crate std;

use std::string::ToString;

use super::*;

const WA1: Option<u32> = Some(SMCCC_ARCH_WORKAROUND_1);
const WA3: Option<u32> = Some(SMCCC_ARCH_WORKAROUND_3);
const CSV2: u64 = 1 << 56;
const ECBHB: u64 = 1 << 60;
const CLRBHB: u64 = 1 << 28;

const A53: u64 = 0x410f_d034;
const A510: u64 = 0x411f_d461;
const A55: u64 = 0x412f_d050;
const A57: u64 = 0x411f_d070;
const A72: u64 = 0x410f_d083;
const A73: u64 = 0x410f_d092;
const A75: u64 = 0x410f_d0a0;
const A76: u64 = 0x414f_d0b1;
const A78: u64 = 0x411f_d410;
const N1: u64 = 0x414f_d0c1;
const X3: u64 = 0x411f_d4e0;
const V3: u64 = 0x410f_d830;

fn firmware(one: i32, three: i32) -> Workarounds {
    Workarounds {
        one,
        three,
        ..Workarounds::NONE
    }
}

fn core(midr: u64, csv2: u64) -> Core {
    Core {
        midr,
        pfr0: csv2 * CSV2,
        ..Core::default()
    }
}

fn choose(core: Core, firmware: Workarounds) -> (Option<u32>, u8, bool, bool) {
    let entry = Entry::choose(&core, &firmware);
    (entry.call, entry.branches, entry.clear, entry.exposed)
}

#[test]
fn in_order_cores_need_nothing_and_are_not_called_exposed() {
    for midr in [A53, A55] {
        let entry = Entry::choose(&core(midr, 0), &Workarounds::NONE);
        assert_eq!(entry, Entry::PLAIN);
        assert!(entry.is_plain());
    }
}

#[test]
fn a_core_that_shares_branch_targets_needs_its_firmware() {
    for midr in [A57, A72] {
        assert_eq!(
            choose(core(midr, 0), firmware(0, 0)),
            (WA3, 0, false, false)
        );
        // The older call forgets the targets; the history is this side's work.
        assert_eq!(
            choose(core(midr, 0), firmware(0, -1)),
            (WA1, 8, false, false)
        );
        assert_eq!(
            choose(core(midr, 0), firmware(-1, -1)),
            (None, 8, false, true)
        );
    }
    assert_eq!(choose(core(A73, 0), firmware(0, 0)), (WA3, 0, false, false));
    assert_eq!(choose(core(A73, 0), firmware(0, -1)), (WA1, 0, false, true));
}

#[test]
fn a_firmware_that_knows_better_than_csv2_is_believed() {
    // Cortex-A72 r1p0 has CSV2, which firmware may tell by this answer alone.
    assert_eq!(
        choose(core(A72, 0), firmware(1, -1)),
        (None, 8, false, false)
    );
    assert_eq!(
        choose(core(A72, 1), firmware(1, -1)),
        (None, 8, false, false)
    );
    // Of an unknown core, too, that it needs the call for its history.
    assert_eq!(choose(core(V3, 1), firmware(1, 0)), (WA3, 0, false, false));
}

#[test]
fn a_core_that_keeps_targets_apart_still_shares_its_history() {
    assert_eq!(
        choose(core(A76, 1), firmware(1, -1)),
        (None, 24, false, false)
    );
    assert_eq!(
        choose(core(N1, 1), firmware(-1, -1)),
        (None, 24, false, false)
    );
    assert_eq!(
        choose(core(A78, 2), firmware(1, 1)),
        (None, 32, false, false)
    );
    assert_eq!(
        choose(core(X3, 2), firmware(1, 1)),
        (None, 132, false, false)
    );
    assert_eq!(choose(core(A75, 1), firmware(1, 0)), (WA3, 0, false, false));
    assert_eq!(
        choose(core(A75, 1), firmware(1, -1)),
        (None, 0, false, true)
    );
}

#[test]
fn what_is_known_of_no_core_is_not_taken_for_safe() {
    assert_eq!(choose(core(V3, 1), firmware(1, -1)), (None, 0, false, true));
    assert_eq!(choose(core(V3, 1), firmware(1, 1)), (None, 0, false, false));
    assert_eq!(
        Entry::choose(&core(A510, 1), &Workarounds::NONE),
        Entry::PLAIN
    );
}

#[test]
fn the_instruction_comes_before_the_loop_and_the_call() {
    let with = |midr| Core {
        isar2: CLRBHB,
        ..core(midr, 1)
    };
    assert_eq!(choose(with(A78), firmware(1, 0)), (None, 0, true, false));
    assert_eq!(choose(with(A75), firmware(1, 0)), (None, 0, true, false));
}

#[test]
fn newer_cores_pay_nothing() {
    for midr in [A76, A78, V3] {
        assert_eq!(
            Entry::choose(&core(midr, 3), &Workarounds::NONE),
            Entry::PLAIN
        );
        let forgets = Core {
            mmfr1: ECBHB,
            isar2: CLRBHB,
            ..core(midr, 1)
        };
        assert_eq!(Entry::choose(&forgets, &Workarounds::NONE), Entry::PLAIN);
    }
    assert_eq!(Entry::choose(&core(V3, 1), &firmware(1, 1)), Entry::PLAIN);
}

#[test]
fn the_two_clusters_of_a_board_are_told_apart() {
    // RK3399 and its like: in-order cores beside Cortex-A72, one firmware.
    let little = Entry::choose(&core(A53, 0), &firmware(1, 1));
    let big = Entry::choose(&core(A72, 0), &firmware(0, 0));
    assert!(little.is_plain() && !big.is_plain());
}

#[test]
fn every_part_number_is_told_by_all_its_revisions() {
    for revision in [0, 3, 0xf] {
        for variant in [0, 1, 0xf] {
            let midr = A76 & !0xf0_000f | variant << 20 | revision;
            assert_eq!(cores::branches(midr), 24);
        }
    }
    // Ampere-1; Cortex-A720.
    assert_eq!(cores::branches(0xc00f_ac30), 11);
    assert_eq!(cores::branches(0x410f_d811), 38);
    // Another maker's part of the same number is another core.
    assert_eq!(cores::branches(A76 & !(0xff << 24) | 0x43 << 24), 0);
}

#[test]
fn an_entry_reads_as_what_it_does() {
    let text = |core, firmware| Entry::choose(&core, &firmware).to_string();
    assert_eq!(text(core(A53, 0), Workarounds::NONE), "nothing");
    assert_eq!(text(core(A76, 1), firmware(1, -1)), "24 branches");
    assert_eq!(
        text(core(A72, 0), firmware(0, -1)),
        "SMCCC_ARCH_WORKAROUND_1 and 8 branches"
    );
    assert_eq!(
        text(core(A72, 0), firmware(0, 0)),
        "SMCCC_ARCH_WORKAROUND_3"
    );
}
