// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cache maintenance by set and way. It reaches lines of all guests that have them in the cache, so it must
//! clean where the guest says invalidate (HCR_EL2.SWIO).

use crate::outcome::Outcome;
use crate::rt::sysreg::Sysreg;
use crate::rt::tee::Page;
use crate::{ensure_eq, mrs, msr};

const PATTERN: u32 = 0x6361_6368;

/// Executes DC ISW, CSW and CISW on all lines of all data caches that CLIDR_EL1 names, with freshly
/// written memory.
pub fn set_way() -> Outcome {
    let operations = [6, 10, 14].map(|crm| Sysreg(1, 0, 7, crm, 2));
    for (n, operation) in (1..).zip(operations) {
        Page::all().for_each(|page| page.fill(PATTERN + n));
        for level in 0..7 {
            // CLIDR_EL1.Ctype: 2, 3 and 4 have a data cache.
            if matches!(mrs!("clidr_el1") >> (3 * level) & 7, 2..=4) {
                whole_level(operation, level);
            }
        }
        for page in Page::all() {
            let right = (0..4096).step_by(4).all(|at| page.word(at) == PATTERN + n);
            ensure_eq!(right, true, "memory after maintenance by set and way");
        }
    }
    Ok(())
}

fn whole_level(operation: Sysreg, level: u64) {
    msr!("csselr_el1", level << 1);
    let ccsidr = mrs!("ccsidr_el1");
    // FEAT_CCIDX moves and widens the fields.
    let wide = mrs!("id_aa64mmfr2_el1") >> 20 & 0xf != 0;
    let (ways, sets) = if wide {
        (ccsidr >> 3 & 0x1f_ffff, ccsidr >> 32 & 0xff_ffff)
    } else {
        (ccsidr >> 3 & 0x3ff, ccsidr >> 13 & 0x7fff)
    };
    let line = (ccsidr & 7) + 4;
    let way_shift = (ways as u32).leading_zeros().min(31);
    for way in 0..=ways {
        for set in 0..=sets {
            // It is the guest's: registers_at_el1 has seen that it executes.
            let _ = operation.write(way << way_shift | set << line | level << 1);
        }
    }
}
