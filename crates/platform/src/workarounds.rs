// SPDX-License-Identifier: MIT OR Apache-2.0

//! The answers about CPU workarounds.

use core::cmp;

/// What the firmware answers to SMCCC_ARCH_FEATURES for each of the CPU workarounds: 0 if the core needs the call, 1 if
/// not, negative if the firmware does not have it (DEN0028 7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workarounds {
    /// SMCCC_ARCH_WORKAROUND_1: branch predictor invalidation, CVE-2017-5715.
    pub one: i32,
    /// SMCCC_ARCH_WORKAROUND_2: speculative store bypass, CVE-2018-3639.
    pub two: i32,
    /// SMCCC_ARCH_WORKAROUND_3: branch history, CVE-2017-5715 and CVE-2022-23960.
    pub three: i32,
}

impl Workarounds {
    const NOT_SUPPORTED: i32 = -1;

    /// Of a firmware that has none, such as one without SMCCC 1.1.
    pub const NONE: Self = Self {
        one: Self::NOT_SUPPORTED,
        two: Self::NOT_SUPPORTED,
        three: Self::NOT_SUPPORTED,
    };

    /// Returns the answers for a guest whose vCPUs run on these cores and on `others`: a call that any of them needs is
    /// needed; where none does, a core about which nothing is known counts.
    pub fn or_worse(&self, others: &Self) -> Self {
        let rank = |answer: &i32| match *answer {
            0 => 0,
            Self::NOT_SUPPORTED => 1,
            _ => 2,
        };
        let worse = |a: i32, b: i32| cmp::min_by_key(a, b, rank);
        Self {
            one: worse(self.one, others.one),
            two: worse(self.two, others.two),
            three: worse(self.three, others.three),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_told_of_the_worst_core() {
        let all = |answer| Workarounds {
            one: answer,
            two: answer,
            three: answer,
        };
        // Needed, unknown, not needed (as SMCCC_ARCH_WORKAROUND_2 may also say by -2).
        for (a, b, worst) in [
            (0, 0, 0),
            (0, 1, 0),
            (0, -1, 0),
            (-1, 1, -1),
            (-1, -2, -1),
            (1, 1, 1),
            (-2, -2, -2),
        ] {
            assert_eq!(all(a).or_worse(&all(b)), all(worst), "{a} and {b}");
            assert_eq!(all(b).or_worse(&all(a)), all(worst), "{b} and {a}");
        }
        let mixed = Workarounds {
            one: 1,
            two: -1,
            three: 0,
        };
        let other = Workarounds {
            one: 0,
            two: 1,
            three: -1,
        };
        let worst = Workarounds {
            one: 0,
            two: -1,
            three: 0,
        };
        assert_eq!(mixed.or_worse(&other), worst);
    }
}
