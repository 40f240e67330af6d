// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exceptions that lead nowhere.

/// The exceptions that EL2 raises at one vCPU, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lockup {
    /// Where the vCPU went on after the last one.
    vector: Option<u64>,
    /// How many in a row were taken by the vector's own first instruction.
    repeats: u32,
}

impl Lockup {
    /// As many exceptions of a vector at its own first instruction are a lockup.
    ///
    /// One already loses the state of the exception before it. The others make sure that nobody
    /// else was about to mend it: another vCPU that maps the vector, say.
    pub const LIMIT: u32 = 16;

    /// Notes that the instruction at `pc` takes an exception, by which the vCPU goes on at
    /// `vector`. True if it is lost: it has come nowhere since [`Self::LIMIT`] exceptions.
    pub fn raised(&mut self, pc: u64, vector: u64) -> bool {
        let again = self.vector == Some(pc);
        self.repeats = if again {
            self.repeats.saturating_add(1)
        } else {
            0
        };
        self.vector = Some(vector);
        self.repeats >= Self::LIMIT
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const VBAR: u64 = 0xdead_0000;
    const FROM_EL1: u64 = VBAR + 0x200;
    const FROM_EL0: u64 = VBAR + 0x400;

    #[test]
    fn a_vector_that_faults_itself_is_a_lockup() {
        let mut lockup = Lockup::default();
        assert!(!lockup.raised(0x4000_0000, FROM_EL0));
        assert!(!lockup.raised(FROM_EL0, FROM_EL1));
        for _ in 2..Lockup::LIMIT {
            assert!(!lockup.raised(FROM_EL1, FROM_EL1));
        }
        assert!(lockup.raised(FROM_EL1, FROM_EL1));
        assert!(lockup.raised(FROM_EL1, FROM_EL1));
    }

    #[test]
    fn a_handler_that_runs_is_progress() {
        let mut lockup = Lockup::default();
        // The same instruction faults for ever, as a guest's that polls what is not there; or
        // the handler's second instruction does.
        for _ in 0..10_000 {
            assert!(!lockup.raised(0x4000_0000, FROM_EL1));
            assert!(!lockup.raised(FROM_EL1 + 4, FROM_EL1));
        }
    }

    #[test]
    fn one_step_forward_starts_the_count_anew() {
        let mut lockup = Lockup::default();
        for _ in 0..100 {
            assert!(!lockup.raised(0x4000_0000, FROM_EL1));
            for _ in 1..Lockup::LIMIT {
                assert!(!lockup.raised(FROM_EL1, FROM_EL1));
            }
        }
    }

    proptest! {
        /// Against the definition, on the whole history.
        #[test]
        fn only_a_long_run_of_such_faults_is_one(
            history in prop::collection::vec((prop::bool::weighted(0.95), 0u64..4), 0..300),
        ) {
            let mut lockup = Lockup::default();
            let mut own: Vec<bool> = Vec::new();
            let mut last = 8;
            for (stays, vector) in history {
                own.push(stays && !own.is_empty());
                let run = own.iter().rev().take_while(|own| **own).count();
                let pc = if stays { last } else { last + 4 };
                prop_assert_eq!(lockup.raised(pc, vector), run >= Lockup::LIMIT as usize);
                last = vector;
            }
        }
    }
}
