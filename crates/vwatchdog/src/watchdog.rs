// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Generic Watchdog, revision 1 (DEN0094, appendix "Generic watchdog").
//!
//! A count of the system counter up to a compare value raises WS0, which is an interrupt for the
//! guest; a second one raises WS1, upon which the maker of the watchdog acts. Writing a register of
//! the guest's choice refreshes it: both signals go and the count begins anew.
//!
//! Time is in ticks of the counter that the guest reads (CNTVCT_EL0), as drivers compare WCV with
//! it. Nothing happens by itself: the caller comes with [`Watchdog::advance`] at
//! [`Watchdog::deadline`], and before each access.

/// Watchdog Refresh Register.
const WRR: u64 = 0x000;
/// Watchdog Control and Status Register.
const WCS: u64 = 0x000;
/// Watchdog Offset Register, 48 bits in two words.
const WOR: u64 = 0x008;
const WOR_HIGH: u64 = 0x00c;
/// Watchdog Compare Value, 64 bits in two words.
const WCV: u64 = 0x010;
const WCV_HIGH: u64 = 0x014;
/// Watchdog Interface Identification Register, in both frames.
const W_IIDR: u64 = 0xfcc;

const WCS_EN: u32 = 1 << 0;
const WCS_WS0: u32 = 1 << 1;
const WCS_WS1: u32 = 1 << 2;
/// Architecture revision 1, which has WOR of 48 bits; Arm as the implementer, as in our GICD_IIDR.
const IIDR: u32 = 1 << 16 | 0x43b;
const MAX_OFFSET: u64 = (1 << 48) - 1;

/// One of the two pages of registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// What a guest's watchdog daemon may have: WRR.
    Refresh,
    /// WCS, WOR and WCV.
    Control,
}

/// How many timeouts there were since the last refresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// None.
    Counting,
    /// One: WS0.
    Warned,
    /// Two: WS1.
    Expired,
}

/// A guest's watchdog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watchdog {
    /// Ticks that a guest has from its start on.
    first_timeout: Option<u64>,
    enabled: bool,
    stage: Stage,
    /// The watchdog has ended the guest's last run. WS1 says so until the first refresh, as on
    /// hardware whose watchdog outlives the reset that it causes.
    has_restarted: bool,
    offset: u64,
    compare: u64,
    /// Since when the guest is held.
    held: Option<u64>,
}

impl Watchdog {
    /// Makes the watchdog of a guest that does not run.
    ///
    /// With `first_timeout`, in ticks, it is enabled at each start as if firmware had done it:
    /// the guest has as long to refresh it for the first time.
    pub const fn new(first_timeout: Option<u64>) -> Self {
        Self {
            first_timeout,
            enabled: false,
            stage: Stage::Counting,
            has_restarted: false,
            offset: 0,
            compare: 0,
            held: None,
        }
    }

    /// Begins with the guest's start; if it `has_restarted` because of its watchdog, it can see
    /// that.
    pub fn start(&mut self, now: u64, has_restarted: bool) {
        *self = Self::new(self.first_timeout);
        self.has_restarted = has_restarted;
        if let Some(ticks) = self.first_timeout {
            self.enabled = true;
            // Half of it until WS0, the other half until WS1.
            self.offset = (ticks / 2).min(MAX_OFFSET);
            self.count_from(now);
        }
    }

    /// Ends as the guest has stopped.
    pub fn stop(&mut self) {
        *self = Self::new(self.first_timeout);
    }

    /// Holds from now on, with the guest: its time does not count.
    pub fn hold(&mut self, now: u64) {
        self.held.get_or_insert(now);
    }

    /// Goes on with the guest.
    pub fn resume(&mut self, now: u64) {
        let held = self
            .held
            .take()
            .map_or(0, |since| now.saturating_sub(since));
        self.compare = self.compare.saturating_add(held);
    }

    /// Returns when [`Self::advance`] is due, if ever.
    pub fn deadline(&self) -> Option<u64> {
        self.counts().then(|| self.compare.saturating_add(1))
    }

    /// Does what is due. True if the watchdog has expired by that, which is said once.
    ///
    /// A caller that comes late for the first timeout leaves the guest the whole time until the second.
    pub fn advance(&mut self, now: u64) -> bool {
        if !self.counts() || now <= self.compare {
            return false;
        }
        let expired = self.stage == Stage::Warned;
        if expired {
            self.stage = Stage::Expired;
        } else {
            self.stage = Stage::Warned;
            self.count_from(now);
        }
        expired
    }

    /// Returns WS0, the level of the guest's interrupt.
    pub fn level(&self) -> bool {
        self.stage != Stage::Counting
    }

    /// Reads `size` bytes at `offset` in a frame. What is not there reads zero, and so do accesses
    /// other than of aligned words and double words.
    pub fn read(&self, frame: Frame, offset: u64, size: u8) -> u64 {
        let word = |offset| u64::from(self.word(frame, offset));
        match (size, offset % 8) {
            (4, 0 | 4) => word(offset),
            (8, 0) => word(offset) | word(offset + 4) << 32,
            _ => 0,
        }
    }

    /// Writes `size` bytes at `offset` in a frame at the time `now`. What is not there ignores
    /// writes, and so does everything for accesses other than of aligned words and double words.
    pub fn write(&mut self, frame: Frame, offset: u64, size: u8, value: u64, now: u64) {
        match (size, offset % 8) {
            (4, 0 | 4) => self.set_word(frame, offset, value as u32, now),
            (8, 0) => {
                self.set_word(frame, offset, value as u32, now);
                self.set_word(frame, offset + 4, (value >> 32) as u32, now);
            }
            _ => {}
        }
    }

    fn word(&self, frame: Frame, offset: u64) -> u32 {
        match (frame, offset) {
            (_, W_IIDR) => IIDR,
            (Frame::Control, WCS) => self.status(),
            (Frame::Control, WOR) => self.offset as u32,
            (Frame::Control, WOR_HIGH) => (self.offset >> 32) as u32,
            (Frame::Control, WCV) => self.compare as u32,
            (Frame::Control, WCV_HIGH) => (self.compare >> 32) as u32,
            _ => 0,
        }
    }

    fn set_word(&mut self, frame: Frame, offset: u64, value: u32, now: u64) {
        match (frame, offset) {
            (Frame::Refresh, WRR) => {}
            (Frame::Control, WCS) => self.enabled = value & WCS_EN != 0,
            (Frame::Control, WOR) => set_low(&mut self.offset, value),
            (Frame::Control, WOR_HIGH) => set_high(&mut self.offset, value & 0xffff),
            // The only writes that change something and refresh nothing.
            (Frame::Control, WCV) => return set_low(&mut self.compare, value),
            (Frame::Control, WCV_HIGH) => return set_high(&mut self.compare, value),
            _ => return,
        }
        self.refresh(now);
    }

    fn refresh(&mut self, now: u64) {
        self.stage = Stage::Counting;
        self.has_restarted = false;
        self.count_from(now);
    }

    fn count_from(&mut self, now: u64) {
        self.compare = now.saturating_add(self.offset);
    }

    /// Tells whether time can still do something.
    fn counts(&self) -> bool {
        self.enabled && self.held.is_none() && self.stage != Stage::Expired
    }

    fn status(&self) -> u32 {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        bit(self.enabled, WCS_EN)
            | bit(self.level(), WCS_WS0)
            | bit(self.stage == Stage::Expired || self.has_restarted, WCS_WS1)
    }
}

fn set_low(register: &mut u64, value: u32) {
    *register = *register & !0xffff_ffff | u64::from(value);
}

fn set_high(register: &mut u64, value: u32) {
    *register = *register & 0xffff_ffff | u64::from(value) << 32;
}
