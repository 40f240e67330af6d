// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's self-hosted debug registers (DDI 0487 D19.3). All accesses trap: what is a vCPU's
//! own is switched with it, and the rest, which leads to an external debugger or to other
//! guests, reads as zero.

use super::super::registers::*;

/// Most breakpoints and most watchpoints of a core.
const MAX: usize = 16;
/// What a guest may set in MDSCR_EL1.
const MDSCR: u64 = MDSCR_EL1::SS.val(1).value
    | MDSCR_EL1::TDCC::SET.value
    | MDSCR_EL1::KDE.val(1).value
    | MDSCR_EL1::MDE::SET.value;

macro_rules! indexed {
    ($read:ident, $write:ident: $($n:literal => $register:ident,)*) => {
        fn $read(n: usize) -> u64 {
            match n {
                $( $n => $register.get(), )*
                _ => 0,
            }
        }

        // It affects the vCPU of this core alone: EL2 takes no debug exceptions.
        fn $write(n: usize, value: u64) {
            match n {
                $( $n => $register.set(value), )*
                _ => {}
            }
        }
    };
}

indexed!(read_bvr, write_bvr: 0 => DBGBVR0_EL1, 1 => DBGBVR1_EL1, 2 => DBGBVR2_EL1, 3 => DBGBVR3_EL1, 4 => DBGBVR4_EL1, 5 => DBGBVR5_EL1, 6 => DBGBVR6_EL1, 7 => DBGBVR7_EL1, 8 => DBGBVR8_EL1, 9 => DBGBVR9_EL1, 10 => DBGBVR10_EL1, 11 => DBGBVR11_EL1, 12 => DBGBVR12_EL1, 13 => DBGBVR13_EL1, 14 => DBGBVR14_EL1, 15 => DBGBVR15_EL1,);
indexed!(read_bcr, write_bcr: 0 => DBGBCR0_EL1, 1 => DBGBCR1_EL1, 2 => DBGBCR2_EL1, 3 => DBGBCR3_EL1, 4 => DBGBCR4_EL1, 5 => DBGBCR5_EL1, 6 => DBGBCR6_EL1, 7 => DBGBCR7_EL1, 8 => DBGBCR8_EL1, 9 => DBGBCR9_EL1, 10 => DBGBCR10_EL1, 11 => DBGBCR11_EL1, 12 => DBGBCR12_EL1, 13 => DBGBCR13_EL1, 14 => DBGBCR14_EL1, 15 => DBGBCR15_EL1,);
indexed!(read_wvr, write_wvr: 0 => DBGWVR0_EL1, 1 => DBGWVR1_EL1, 2 => DBGWVR2_EL1, 3 => DBGWVR3_EL1, 4 => DBGWVR4_EL1, 5 => DBGWVR5_EL1, 6 => DBGWVR6_EL1, 7 => DBGWVR7_EL1, 8 => DBGWVR8_EL1, 9 => DBGWVR9_EL1, 10 => DBGWVR10_EL1, 11 => DBGWVR11_EL1, 12 => DBGWVR12_EL1, 13 => DBGWVR13_EL1, 14 => DBGWVR14_EL1, 15 => DBGWVR15_EL1,);
indexed!(read_wcr, write_wcr: 0 => DBGWCR0_EL1, 1 => DBGWCR1_EL1, 2 => DBGWCR2_EL1, 3 => DBGWCR3_EL1, 4 => DBGWCR4_EL1, 5 => DBGWCR5_EL1, 6 => DBGWCR6_EL1, 7 => DBGWCR7_EL1, 8 => DBGWCR8_EL1, 9 => DBGWCR9_EL1, 10 => DBGWCR10_EL1, 11 => DBGWCR11_EL1, 12 => DBGWCR12_EL1, 13 => DBGWCR13_EL1, 14 => DBGWCR14_EL1, 15 => DBGWCR15_EL1,);

/// Returns how many breakpoints and watchpoints this core has (ID_AA64DFR0_EL1.BRPs, WRPs).
fn counts() -> (usize, usize) {
    let breakpoints = ID_AA64DFR0_EL1.read(ID_AA64DFR0_EL1::BRPs) as usize + 1;
    let watchpoints = ID_AA64DFR0_EL1.read(ID_AA64DFR0_EL1::WRPs) as usize + 1;
    (breakpoints, watchpoints)
}

/// A vCPU's debug registers. No core holds breakpoints or watchpoints but those of a vCPU that has set any: all
/// others find them as [`init_core`] left them.
#[derive(Clone)]
pub struct Debug {
    /// Value and control of each breakpoint.
    breakpoints: [(u64, u64); MAX],
    /// Value and control of each watchpoint.
    watchpoints: [(u64, u64); MAX],
    /// Whether any of them was written since reset.
    is_used: bool,
    mdscr: u64,
    locked: bool,
}

/// Clears the debug registers of this core, which are UNKNOWN after reset.
pub fn init_core() {
    Debug::reset().load_points();
}

impl Debug {
    /// Returns the state after reset: all off, the OS lock set.
    pub fn reset() -> Self {
        Self {
            breakpoints: [(0, 0); MAX],
            watchpoints: [(0, 0); MAX],
            is_used: false,
            mdscr: 0,
            locked: true,
        }
    }

    /// Takes it off the core. What it has set is known: each write traps.
    pub fn leave(&self) {
        if self.is_used {
            init_core();
        }
    }

    /// Gives the core what the vCPU had.
    pub fn load(&self) {
        if self.is_used {
            self.load_points();
        }
        write_mdscr(self.mdscr);
        self.write_lock(u64::from(self.locked));
    }

    #[cold]
    fn load_points(&self) {
        let (breakpoints, watchpoints) = counts();
        for (n, &(value, control)) in self.breakpoints[..breakpoints].iter().enumerate() {
            write_bvr(n, value);
            write_bcr(n, control);
        }
        for (n, &(value, control)) in self.watchpoints[..watchpoints].iter().enumerate() {
            write_wvr(n, value);
            write_wcr(n, control);
        }
    }

    fn write_lock(&self, value: u64) {
        OSLAR_EL1.set(value);
    }

    /// Answers a trapped read of the register at op0 = 2 and these, by the vCPU on this core. `None` if
    /// there is none to read.
    pub fn read(&self, op1: u8, crn: u8, crm: u8, op2: u8) -> Option<u64> {
        let n = usize::from(crm);
        let (breakpoints, watchpoints) = counts();
        match (op1, crn, crm, op2) {
            (0, 0, 2, 2) => Some(MDSCR_EL1.get() & MDSCR),
            (0, 1, 1, 4) => Some(self.lock_status()),
            (0, 0, _, 4) if n < breakpoints => Some(read_bvr(n)),
            (0, 0, _, 5) if n < breakpoints => Some(read_bcr(n)),
            (0, 0, _, 6) if n < watchpoints => Some(read_wvr(n)),
            (0, 0, _, 7) if n < watchpoints => Some(read_wcr(n)),
            // MDRAR_EL1, DBGAUTHSTATUS_EL1, MDCCSR_EL0: read-only.
            (0, 1, 0, 0) | (0, 7, 14, 6) | (3, 0, 1, 0) => Some(0),
            _ => is_external(op1, crn, crm, op2).then_some(0),
        }
    }

    /// Returns OSLSR_EL1: the OS lock is there.
    fn lock_status(&self) -> u64 {
        (Oslsr::OSLM1::SET + Oslsr::OSLK.val(self.locked.into())).value
    }

    /// Handles a trapped write, as [`read`](Self::read) a read. False if there is no such register to write.
    pub fn write(&mut self, op1: u8, crn: u8, crm: u8, op2: u8, value: u64) -> bool {
        match (op1, crn, crm, op2) {
            (0, 0, 2, 2) => {
                self.mdscr = value & MDSCR;
                write_mdscr(self.mdscr);
            }
            (0, 1, 0, 4) => {
                self.locked = OSLAR_EL1::OSLK.is_set(value);
                self.write_lock(OSLAR_EL1::OSLK.read(value));
            }
            (0, 0, n, 4..=7) => return self.write_point(n.into(), op2, value),
            _ => return is_external(op1, crn, crm, op2),
        }
        true
    }

    fn write_point(&mut self, n: usize, op2: u8, value: u64) -> bool {
        let (breakpoints, watchpoints) = counts();
        let (kept, write): (_, fn(usize, u64)) = match op2 {
            4 if n < breakpoints => (&mut self.breakpoints[n].0, write_bvr),
            5 if n < breakpoints => (&mut self.breakpoints[n].1, write_bcr),
            6 if n < watchpoints => (&mut self.watchpoints[n].0, write_wvr),
            7 if n < watchpoints => (&mut self.watchpoints[n].1, write_wcr),
            _ => return false,
        };
        *kept = value;
        self.is_used = true;
        write(n, value);
        true
    }
}

fn write_mdscr(value: u64) {
    MDSCR_EL1.set(value);
}

/// Tells whether it is a register for the sake of an external debugger: MDCCINT_EL1, OSDTRRX_EL1, OSDTRTX_EL1,
/// OSECCR_EL1, OSDLR_EL1, DBGPRCR_EL1, DBGCLAIMSET_EL1, DBGCLAIMCLR_EL1, DBGDTR_EL0 and
/// DBGDTRTX_EL0.
fn is_external(op1: u8, crn: u8, crm: u8, op2: u8) -> bool {
    matches!(
        (op1, crn, crm, op2),
        (0, 0, 2, 0)
            | (0, 0, 0 | 3 | 6, 2)
            | (0, 1, 3 | 4, 4)
            | (0, 7, 8 | 9, 6)
            | (3, 0, 4 | 5, 0)
    )
}
