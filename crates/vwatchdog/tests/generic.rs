// SPDX-License-Identifier: MIT OR Apache-2.0

//! The watchdog as a driver sees it, and against the specification's own description.
use proptest::prelude::*;
use vwatchdog::{Frame, Watchdog};

const WCS: u64 = 0;
const WOR: u64 = 8;
const WCV: u64 = 16;
const IIDR: u64 = 0xfcc;
const EN: u64 = 1;
const WS0: u64 = 2;
const WS1: u64 = 4;

fn status(watchdog: &Watchdog) -> u64 {
    watchdog.read(Frame::Control, WCS, 4)
}

fn set(watchdog: &mut Watchdog, register: u64, value: u64, now: u64) {
    watchdog.write(Frame::Control, register, 4, value, now);
}

fn refresh(watchdog: &mut Watchdog, now: u64) {
    watchdog.write(Frame::Refresh, 0, 4, 0, now);
}

/// Makes a watchdog enabled at 1000 with an offset of 100.
fn enabled() -> Watchdog {
    let mut watchdog = Watchdog::new(None);
    watchdog.start(0, false);
    set(&mut watchdog, WOR, 100, 1000);
    set(&mut watchdog, WCS, EN, 1000);
    watchdog
}

#[test]
fn it_is_off_until_it_is_turned_on() {
    let mut watchdog = Watchdog::new(None);
    watchdog.start(0, false);
    assert_eq!((status(&watchdog), watchdog.deadline()), (0, None));
    assert!(!watchdog.advance(u64::MAX) && !watchdog.level());
    let iidr = watchdog.read(Frame::Control, IIDR, 4);
    assert_eq!(iidr >> 16 & 0xf, 1, "revision");
    assert_eq!(watchdog.read(Frame::Refresh, IIDR, 4), iidr);
}

#[test]
fn the_first_timeout_warns_and_the_second_expires() {
    let mut watchdog = enabled();
    assert_eq!(status(&watchdog), EN);
    assert_eq!(watchdog.read(Frame::Control, WCV, 8), 1100);
    assert_eq!(watchdog.deadline(), Some(1101));
    assert!(!watchdog.advance(1100) && !watchdog.level());
    assert!(!watchdog.advance(1101) && watchdog.level());
    assert_eq!(status(&watchdog), EN | WS0);
    assert_eq!(watchdog.deadline(), Some(1202));
    assert!(!watchdog.advance(1201));
    assert!(watchdog.advance(1202));
    assert_eq!(status(&watchdog), EN | WS0 | WS1);
    assert_eq!(watchdog.deadline(), None);
    assert!(!watchdog.advance(u64::MAX), "it expires once");
}

#[test]
fn each_refresh_takes_the_warning_back() {
    for register in [WCS, WOR] {
        let mut watchdog = enabled();
        watchdog.advance(1101);
        let value = if register == WCS { EN } else { 100 };
        set(&mut watchdog, register, value, 1150);
        assert_eq!((status(&watchdog), watchdog.deadline()), (EN, Some(1251)));
    }
    let mut watchdog = enabled();
    watchdog.advance(1101);
    refresh(&mut watchdog, 1150);
    assert_eq!((status(&watchdog), watchdog.deadline()), (EN, Some(1251)));
    assert!(!watchdog.level());
}

#[test]
fn a_late_look_leaves_the_whole_second_time() {
    let mut watchdog = enabled();
    assert!(!watchdog.advance(5000));
    assert_eq!(watchdog.deadline(), Some(5101));
}

#[test]
fn turned_off_it_forgets() {
    let mut watchdog = enabled();
    watchdog.advance(1101);
    set(&mut watchdog, WCS, 0, 1150);
    assert_eq!((status(&watchdog), watchdog.deadline()), (0, None));
}

#[test]
fn the_compare_value_can_be_set_without_a_refresh() {
    let mut watchdog = enabled();
    watchdog.advance(1101);
    watchdog.write(Frame::Control, WCV, 8, 1 << 40, 1150);
    assert_eq!(status(&watchdog), EN | WS0);
    assert_eq!(watchdog.deadline(), Some((1 << 40) + 1));
    set(&mut watchdog, WCV + 4, 1, 1150);
    assert_eq!(watchdog.read(Frame::Control, WCV, 8), 1 << 32);
}

#[test]
fn the_offset_has_48_bits() {
    let mut watchdog = enabled();
    watchdog.write(Frame::Control, WOR, 8, u64::MAX, 7);
    assert_eq!(watchdog.read(Frame::Control, WOR, 8), (1 << 48) - 1);
    assert_eq!(watchdog.read(Frame::Control, WOR + 4, 4), 0xffff);
    assert_eq!(watchdog.deadline(), Some((1 << 48) + 7));
    refresh(&mut watchdog, u64::MAX);
    assert!(!watchdog.advance(u64::MAX));
}

#[test]
fn it_can_run_from_the_start_on() {
    let mut watchdog = Watchdog::new(Some(1000));
    assert_eq!(watchdog.deadline(), None);
    watchdog.start(50, false);
    assert_eq!((status(&watchdog), watchdog.deadline()), (EN, Some(551)));
    assert!(!watchdog.advance(551) && watchdog.advance(1052));
    watchdog.stop();
    assert_eq!((watchdog.deadline(), watchdog.level()), (None, false));
}

#[test]
fn a_restarted_guest_sees_why_until_it_refreshes() {
    for first in [None, Some(1000)] {
        let mut watchdog = Watchdog::new(first);
        watchdog.start(0, true);
        assert_eq!(status(&watchdog) & (WS0 | WS1), WS1);
        assert!(!watchdog.level());
        refresh(&mut watchdog, 10);
        assert_eq!(status(&watchdog) & WS1, 0);
        watchdog.start(0, true);
        watchdog.start(0, false);
        assert_eq!(status(&watchdog) & WS1, 0);
    }
}

#[test]
fn held_time_does_not_count() {
    let mut watchdog = enabled();
    watchdog.hold(1050);
    watchdog.hold(1060);
    assert_eq!(watchdog.deadline(), None);
    assert!(!watchdog.advance(9000) && !watchdog.level());
    watchdog.resume(2050);
    assert_eq!(watchdog.deadline(), Some(2101));
    watchdog.resume(9000);
    assert_eq!(watchdog.deadline(), Some(2101));
}

/// The specification's pseudo code, run at each tick.
#[derive(Default)]
struct Hardware {
    enabled: bool,
    offset: u64,
    compare: u64,
    ws0: bool,
    ws1: bool,
}

impl Hardware {
    fn refresh(&mut self, now: u64) {
        (self.ws0, self.ws1) = (false, false);
        self.compare = now + self.offset;
    }

    /// Tells whether WS1 has risen.
    fn tick(&mut self, now: u64) -> bool {
        let before = self.ws1;
        if self.enabled && now > self.compare {
            if self.ws0 {
                self.ws1 = true;
            } else {
                self.ws0 = true;
                self.compare = now + self.offset;
            }
        }
        self.ws1 && !before
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Wait(u64),
    Refresh,
    Enable(bool),
    Offset(u64),
    Compare(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0u64..60).prop_map(Op::Wait),
        2 => Just(Op::Refresh),
        1 => any::<bool>().prop_map(Op::Enable),
        1 => (0u64..40).prop_map(Op::Offset),
        1 => (0u64..400).prop_map(Op::Compare),
    ];
    prop::collection::vec(op, 0..60)
}

proptest! {
    #[test]
    fn looked_at_by_deadline_it_is_as_if_looked_at_each_tick(ops in ops()) {
        let (mut hardware, mut watchdog) = (Hardware::default(), Watchdog::new(None));
        watchdog.start(0, false);
        let mut now = 0;
        for op in ops {
            match op {
                Op::Wait(ticks) => for _ in 0..ticks {
                    now += 1;
                    let expires = hardware.tick(now);
                    let due = watchdog.deadline().is_some_and(|deadline| deadline <= now);
                    prop_assert_eq!(due && watchdog.advance(now), expires);
                },
                Op::Refresh => {
                    hardware.refresh(now);
                    refresh(&mut watchdog, now);
                }
                Op::Enable(enabled) => {
                    hardware.enabled = enabled;
                    hardware.refresh(now);
                    set(&mut watchdog, WCS, enabled.into(), now);
                }
                Op::Offset(offset) => {
                    hardware.offset = offset;
                    hardware.refresh(now);
                    set(&mut watchdog, WOR, offset, now);
                }
                Op::Compare(compare) => {
                    hardware.compare = compare;
                    watchdog.write(Frame::Control, WCV, 8, compare, now);
                }
            }
            let shown = [(hardware.enabled, EN), (hardware.ws0, WS0), (hardware.ws1, WS1)];
            let expected = shown.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum::<u64>();
            prop_assert_eq!(status(&watchdog), expected);
            prop_assert_eq!(watchdog.level(), hardware.ws0);
            prop_assert_eq!(watchdog.read(Frame::Control, WCV, 8), hardware.compare);
        }
    }

    #[test]
    fn any_access_at_any_time_is_survived(
        accesses in prop::collection::vec((any::<bool>(), any::<bool>(), 0u64..0x30, any::<u8>(), any::<u64>(), any::<u64>()), 0..50)
    ) {
        let mut watchdog = Watchdog::new(Some(u64::MAX));
        watchdog.start(0, false);
        for (write, control, offset, size, value, now) in accesses {
            let frame = if control { Frame::Control } else { Frame::Refresh };
            watchdog.advance(now);
            let size = size % 9;
            if write {
                watchdog.write(frame, offset, size, value, now);
            } else {
                let read = watchdog.read(frame, offset, size);
                prop_assert!(size >= 8 || read >> (8 * u32::from(size)) == 0);
            }
            prop_assert!(watchdog.read(Frame::Control, WOR, 8) < 1 << 48);
        }
    }
}
