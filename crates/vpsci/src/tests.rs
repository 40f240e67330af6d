// SPDX-License-Identifier: MIT OR Apache-2.0

//! The state machine, each error, and the two widths of a result.

extern crate std;

use crate::smccc::{self, Function, Owner};
use crate::{Outcome, Power, Vpsci};
use addr::Ipa;
use platform::VcpuId;
use platform::Workarounds;
use proptest::prelude::*;
use std::vec::Vec;

const RAM: u64 = 0x4000_0000;
const BOOT: VcpuId = VcpuId(0);

const VERSION: u64 = 0x8400_0000;
const CPU_SUSPEND: u64 = 0x8400_0001;
const CPU_SUSPEND_64: u64 = 0xc400_0001;
const CPU_OFF: u64 = 0x8400_0002;
const CPU_ON: u64 = 0x8400_0003;
const CPU_ON_64: u64 = 0xc400_0003;
const AFFINITY_INFO: u64 = 0x8400_0004;
const AFFINITY_INFO_64: u64 = 0xc400_0004;
const FEATURES: u64 = 0x8400_000a;

fn is_ram(ipa: Ipa) -> bool {
    (RAM..RAM + 0x1000_0000).contains(&ipa.0)
}

fn guest(vcpus: u8) -> Vpsci {
    Vpsci::new(vcpus)
}

fn call(guest: &mut Vpsci, x: [u64; 4]) -> Outcome {
    guest.call(BOOT, x, is_ram)
}

/// Makes an architecture call with its first argument.
fn architecture(firmware: &Workarounds, x0: u64, x1: u64) -> Outcome {
    let function = Function::new(x0);
    assert!(smccc::owns(function));
    smccc::call(function, x1, firmware)
}

fn smc32(code: i32) -> Outcome {
    Outcome::Return(u64::from(code as u32))
}

fn smc64(code: i64) -> Outcome {
    Outcome::Return(code as u64)
}

#[test]
fn version_is_1_1() {
    assert_eq!(
        call(&mut guest(1), [VERSION, 0, 0, 0]),
        Outcome::Return(0x1_0001)
    );
}

#[test]
fn what_the_power_does_not_change_is_answered_without_it() {
    const MIGRATE_INFO_TYPE: u64 = 0x8400_0006;
    let junk = 0xdead_beef << 32;
    assert_eq!(Vpsci::constant(junk | VERSION, 0), Some(0x1_0001));
    assert_eq!(Vpsci::constant(MIGRATE_INFO_TYPE, 0), Some(2));
    assert_eq!(Vpsci::constant(FEATURES, junk | CPU_ON), Some(0));
    let not_supported = u64::from(-1_i32 as u32);
    assert_eq!(
        Vpsci::constant(FEATURES, VERSION << 32),
        Some(not_supported)
    );
    for function in [CPU_SUSPEND, CPU_OFF, CPU_ON_64, AFFINITY_INFO, 0x8400_001f] {
        assert_eq!(Vpsci::constant(function, 1), None, "{function:#x}");
    }
}

#[test]
fn a_vcpu_goes_on_and_off_and_on() {
    let mut guest = guest(2);
    let on = [CPU_ON_64, 1, RAM + 0x80000, u64::MAX];
    let started = Outcome::CpuOn {
        target: VcpuId(1),
        entry: Ipa(RAM + 0x80000),
        context_id: u64::MAX,
    };
    for _ in 0..2 {
        assert_eq!(
            call(&mut guest, [AFFINITY_INFO_64, 1, 0, 0]),
            Outcome::Return(1)
        );
        assert_eq!(call(&mut guest, on), started);
        assert_eq!(
            call(&mut guest, [AFFINITY_INFO_64, 1, 0, 0]),
            Outcome::Return(2)
        );
        assert_eq!(call(&mut guest, on), smc64(-5));
        guest.on_started(VcpuId(1));
        assert_eq!(
            call(&mut guest, [AFFINITY_INFO_64, 1, 0, 0]),
            Outcome::Return(0)
        );
        assert_eq!(call(&mut guest, on), smc64(-4));
        assert_eq!(guest.powered(), 2);
        assert_eq!(
            guest.call(VcpuId(1), [CPU_OFF, 0, 0, 0], is_ram),
            Outcome::CpuOff
        );
        assert_eq!(guest.powered(), 1);
    }
}

#[test]
fn the_caller_is_already_on() {
    assert_eq!(call(&mut guest(2), [CPU_ON, 0, RAM, 0]), smc32(-4));
}

#[test]
fn cpu_on_of_a_vcpu_that_is_not_there() {
    let mut guest = guest(2);
    let reserved_bit_31 = 0x8000_0001;
    for target in [2, 0x100, 0x1_0001, 1 << 32 | 1, reserved_bit_31, u64::MAX] {
        assert_eq!(
            call(&mut guest, [CPU_ON_64, target, RAM, 0]),
            smc64(-2),
            "{target:#x}"
        );
    }
    assert_eq!(call(&mut guest, [CPU_ON, 0x101, RAM, 0]), smc32(-2));
    assert_eq!(guest.powered(), 1);
}

#[test]
fn cpu_on_outside_ram() {
    let mut guest = guest(2);
    for entry in [0, RAM - 4, RAM + 0x1000_0000, RAM + 1, RAM + 2, u64::MAX] {
        assert_eq!(
            call(&mut guest, [CPU_ON_64, 1, entry, 0]),
            smc64(-9),
            "{entry:#x}"
        );
    }
    assert_eq!(guest.power(VcpuId(1)), Some(Power::Off));
}

#[test]
fn smc32_takes_the_low_halves_of_its_arguments() {
    let mut guest = guest(2);
    let junk = 0xdead_beef << 32;
    let outcome = call(&mut guest, [CPU_ON, junk | 1, junk | RAM, junk | 7]);
    assert_eq!(
        outcome,
        Outcome::CpuOn {
            target: VcpuId(1),
            entry: Ipa(RAM),
            context_id: 7
        }
    );
}

#[test]
fn affinity_info_knows_level_0_alone() {
    let mut guest = guest(1);
    assert_eq!(
        call(&mut guest, [AFFINITY_INFO, 0, 0, 0]),
        Outcome::Return(0)
    );
    for level in [1, 2, 3, 4, u64::from(u32::MAX)] {
        assert_eq!(call(&mut guest, [AFFINITY_INFO, 0, level, 0]), smc32(-2));
    }
    assert_eq!(call(&mut guest, [AFFINITY_INFO_64, 1, 0, 0]), smc64(-2));
}

#[test]
fn suspend_to_standby_ignores_the_entry_point() {
    assert_eq!(
        call(&mut guest(1), [CPU_SUSPEND, 0, 0, 0]),
        Outcome::Standby
    );
    assert_eq!(
        call(&mut guest(1), [CPU_SUSPEND_64, 0xffff, u64::MAX, 0]),
        Outcome::Standby
    );
}

#[test]
fn suspend_to_power_down_enters_at_the_entry_point() {
    let entered = Outcome::PowerDownSuspend {
        entry: Ipa(RAM),
        context_id: 3,
    };
    assert_eq!(
        call(&mut guest(1), [CPU_SUSPEND_64, 1 << 16, RAM, 3]),
        entered
    );
    assert_eq!(
        call(&mut guest(1), [CPU_SUSPEND_64, 1 << 16, 0, 3]),
        smc64(-9)
    );
}

#[test]
fn suspend_refuses_reserved_bits_and_deeper_levels() {
    for bit in 17..32 {
        assert_eq!(
            call(&mut guest(1), [CPU_SUSPEND_64, 1 << bit, RAM, 0]),
            smc64(-2),
            "{bit}"
        );
    }
}

#[test]
fn a_suspended_vcpu_is_on() {
    let mut guest = guest(1);
    call(&mut guest, [CPU_SUSPEND, 0, 0, 0]);
    assert_eq!(guest.power(BOOT), Some(Power::On));
}

#[test]
fn the_system_calls() {
    let mut guest = guest(1);
    assert_eq!(call(&mut guest, [0x8400_0008, 0, 0, 0]), Outcome::SystemOff);
    assert_eq!(
        call(&mut guest, [0x8400_0009, 0, 0, 0]),
        Outcome::SystemReset
    );
    assert_eq!(call(&mut guest, [0x8400_0006, 0, 0, 0]), Outcome::Return(2));
}

#[test]
fn features_are_what_the_calls_say() {
    for function in (0x8400_0000..0x8400_0020).chain(0xc400_0000..0xc400_0020) {
        let mut guest = guest(2);
        let feature = call(&mut guest, [FEATURES, function, 0, 0]);
        let unknown = Outcome::Return(Function::new(function).not_supported());
        // Arguments that no function takes for unsupported.
        let works = call(&mut guest, [function, 0x8400_0000, 0, 0]) != unknown;
        assert_eq!(feature, smc32(if works { 0 } else { -1 }), "{function:#x}");
    }
    assert_eq!(call(&mut guest(1), [FEATURES, 0x8000_0000, 0, 0]), smc32(0));
    assert_eq!(
        call(&mut guest(1), [FEATURES, 0x8000_0001, 0, 0]),
        smc32(-1)
    );
}

#[test]
fn unsupported_functions_are_refused_in_their_own_width() {
    for function in [
        0x8400_000b,
        0x8400_000e,
        0x8400_0012,
        0x8400_0050,
        0x8600_0000,
        0x8200_0000,
    ] {
        assert_eq!(
            call(&mut guest(1), [function, 0, 0, 0]),
            smc32(-1),
            "{function:#x}"
        );
        let function = function | 1 << 30;
        assert_eq!(
            call(&mut guest(1), [function, 0, 0, 0]),
            smc64(-1),
            "{function:#x}"
        );
    }
}

#[test]
fn h26_the_high_half_of_x0_is_no_part_of_the_function_id() {
    let junk = 0xffff_ffff << 32;
    assert_eq!(
        call(&mut guest(1), [junk | VERSION, 0, 0, 0]),
        Outcome::Return(0x1_0001)
    );
    // Only the low half of this one would be known, so it is not known at all.
    assert_eq!(call(&mut guest(1), [VERSION << 32, 0, 0, 0]), smc32(-1));
}

#[test]
fn architecture_calls_without_firmware() {
    let none = Workarounds::NONE;
    assert_eq!(
        architecture(&none, 0x8000_0000, 0),
        Outcome::Return(0x1_0002)
    );
    for (function, answer) in [
        (0x8000_0000, 0),
        (0x8000_0001, 0),
        (0x8000_0002, -1),
        (0x8000_8000, -1),
        (0x8000_7fff, -1),
        (0x8000_3fff, -1),
        (0xc000_0000, -1),
    ] {
        let feature = architecture(&none, 0x8000_0001, function);
        assert_eq!(feature, smc32(answer), "{function:#x}");
    }
    for function in [0x8000_0002, 0x8000_8000, 0x8000_7fff, 0x8000_3fff] {
        let answer = architecture(&none, function, 0);
        assert_eq!(answer, smc32(-1), "{function:#x}");
    }
}

#[test]
fn workarounds_of_the_firmware_reach_it() {
    let firmware = Workarounds {
        one: 0,
        two: 0,
        three: 1,
    };
    let feature = |function| architecture(&firmware, 0x8000_0001, function);
    assert_eq!(feature(0x8000_8000), smc32(0));
    assert_eq!(feature(0x8000_3fff), smc32(1));
    for function in [0x8000_8000, 0x8000_3fff] {
        let outcome = architecture(&firmware, function, 0);
        assert_eq!(outcome, Outcome::Firmware(Function::new(function)));
    }
}

#[test]
fn a_guest_cannot_switch_off_the_store_bypass_mitigation() {
    let firmware = Workarounds {
        two: 0,
        ..Workarounds::NONE
    };
    let feature = architecture(&firmware, 0x8000_0001, 0x8000_7fff);
    assert_eq!(feature, smc32(1));
    let call = architecture(&firmware, 0x8000_7fff, 0);
    assert_eq!(call, Outcome::Return(0));
}

#[test]
fn each_service_says_which_calls_it_owns() {
    let services: [fn(Function) -> bool; 2] = [smccc::owns, Vpsci::owns];
    for (function, owners) in [
        (0x8000_0000, [true, false]),
        (0xc000_ffff, [true, false]),
        (0x8400_0000, [false, true]),
        (0xc400_001f, [false, true]),
        // The standard secure services that are not PSCI: TRNG, FF-A.
        (0x8400_0020, [false, false]),
        (0x8400_0050, [false, false]),
        (0xc400_0066, [false, false]),
        (0x8600_0003, [false, false]),
        (0xb200_0004, [false, false]),
    ] {
        let function = Function::new(function);
        assert_eq!(services.map(|owns| owns(function)), owners, "{function:?}");
    }
}

#[test]
fn owners() {
    for (function, owner) in [
        (0x8000_0000, Owner::Architecture),
        (0xc400_0003, Owner::StandardSecure),
        (0x8200_0000, Owner::Other),
        (0x8600_ff01, Owner::Other),
        (0xb000_0000, Owner::Other),
        (0xb100_0000, Owner::Other),
        (0xb200_000d, Owner::TrustedOs),
        (0x3200_0004, Owner::TrustedOs),
        (0xbf00_ff01, Owner::TrustedOs),
    ] {
        assert_eq!(Function::new(function).owner(), owner, "{function:#x}");
    }
}

#[test]
fn a_count_beyond_the_platform_is_cut() {
    let guest = guest(255);
    assert_eq!(guest.power(VcpuId(7)), Some(Power::Off));
    assert_eq!(guest.power(VcpuId(8)), None);
    assert_eq!(Vpsci::new(0).powered(), 0);
}

/// What a hostile guest and its kernel do next.
#[derive(Clone, Copy, Debug)]
enum Event {
    Call(u8, [u64; 4]),
    Started(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let known = prop::sample::select(
        (0x8400_0000..0x8400_0016)
            .chain(0xc400_0000..0xc400_0016)
            .collect::<Vec<u64>>(),
    );
    let function = prop_oneof![8 => known, 1 => any::<u64>()];
    let target = prop_oneof![8 => 0..10u64, 1 => any::<u64>()];
    let entry = prop_oneof![4 => Just(RAM), 1 => any::<u64>()];
    prop_oneof![
        4 => (0..10u8, function, target, entry, any::<u64>())
            .prop_map(|(caller, function, target, entry, id)| {
                Event::Call(caller, [function, target, entry, id])
            }),
        1 => (0..10u8).prop_map(Event::Started),
    ]
}

proptest! {
    #[test]
    fn states_change_only_as_the_outcome_says(
        vcpus in 1..9u8,
        events in prop::collection::vec(event(), 1..200),
    ) {
        let mut guest = guest(vcpus);
        let mut model: Vec<Power> = (0..vcpus).map(|n| if n == 0 { Power::On } else { Power::Off }).collect();
        for event in events {
            match event {
                Event::Started(vcpu) => {
                    guest.on_started(VcpuId(vcpu));
                    if let Some(state @ Power::OnPending) = model.get_mut(usize::from(vcpu)) {
                        *state = Power::On;
                    }
                }
                // Only a running vCPU can call.
                Event::Call(caller, x) if model.get(usize::from(caller)) == Some(&Power::On) => {
                    match guest.call(VcpuId(caller), x, is_ram) {
                        Outcome::CpuOn { target, entry, .. } => {
                            prop_assert!(is_ram(entry));
                            prop_assert_eq!(model[usize::from(target.0)], Power::Off);
                            model[usize::from(target.0)] = Power::OnPending;
                        }
                        Outcome::CpuOff => model[usize::from(caller)] = Power::Off,
                        Outcome::PowerDownSuspend { entry, .. } => prop_assert!(is_ram(entry)),
                        _ => {}
                    }
                }
                Event::Call(..) => {}
            }
            for (number, state) in model.iter().enumerate() {
                prop_assert_eq!(guest.power(VcpuId(number as u8)), Some(*state));
            }
            prop_assert_eq!(guest.powered(), model.iter().filter(|s| **s != Power::Off).count());
        }
    }

    #[test]
    fn h26_no_unknown_function_succeeds(x: [u64; 4]) {
        let owner = Function::new(x[0]).owner();
        let low = x[0] as u32;
        let known = low & 0xbfff_ffe0 == 0x8400_0000
            || [0x8000_0000, 0x8000_0001].contains(&low);
        prop_assume!(!known || owner == Owner::TrustedOs);
        let unknown = Outcome::Return(Function::new(x[0]).not_supported());
        prop_assert_eq!(call(&mut guest(2), x), unknown);
        let function = Function::new(x[0]);
        prop_assert_eq!(smccc::call(function, x[1], &Workarounds::NONE), unknown);
    }
}
