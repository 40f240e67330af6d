// SPDX-License-Identifier: MIT OR Apache-2.0

//! SErrors: what the syndrome of an asynchronous abort says about how far its damage goes (DDI 0487 D19.2.37, the
//! ISS of an SError exception; the RAS extension's severities).
#![no_std]
#![forbid(unsafe_code)]

/// ISS.IDS: the rest of the syndrome is the implementer's own.
const IDS: u64 = 1 << 24;
/// ISS: the field that is called IDS or ISV, and all below it.
const ISS: u64 = 0x1ff_ffff;
/// ISS.DFSC of an SError whose severity AET tells.
const ASYNCHRONOUS: u64 = 0b01_0001;

/// How far an SError's damage goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// None: it is corrected, or nothing has used what is broken.
    Harmless,
    /// To whom the processor was working for. Without the RAS extension all are like that: no core tells more.
    Contained,
    /// Nobody knows.
    Uncontainable,
}

/// An SError that a core has taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SError {
    /// ESR_EL2 as the exception leaves it; of one that an ESB instruction has deferred, DISR_EL1's ISS.
    pub syndrome: u64,
    /// The core has the RAS extension (ID_AA64PFR0_EL1.RAS).
    pub has_ras: bool,
}

impl SError {
    /// Returns how far it goes.
    pub fn severity(&self) -> Severity {
        let iss = self.syndrome & ISS;
        if !self.has_ras || iss & IDS != 0 {
            return Severity::Contained;
        }
        // AET: uncontainable, unrecoverable, restartable, recoverable; 6 is corrected.
        match (iss & 0x3f, iss >> 10 & 7) {
            (ASYNCHRONOUS, 2 | 6) => Severity::Harmless,
            (ASYNCHRONOUS, 1 | 3) => Severity::Contained,
            // Uncategorized (DFSC 0) says nothing of its severity either.
            _ => Severity::Uncontainable,
        }
    }

    /// Returns VSESR_EL2 for passing it on as a virtual SError: the ISS as it is.
    pub fn virtual_syndrome(&self) -> u64 {
        self.syndrome & ISS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn severity(iss: u64) -> Severity {
        SError {
            syndrome: 0x2f << 26 | 1 << 25 | iss,
            has_ras: true,
        }
        .severity()
    }

    #[test]
    fn severities_are_those_of_aet() {
        let by_aet = |aet: u64| severity(aet << 10 | ASYNCHRONOUS);
        assert_eq!(by_aet(0), Severity::Uncontainable);
        assert_eq!(by_aet(1), Severity::Contained);
        assert_eq!(by_aet(2), Severity::Harmless);
        assert_eq!(by_aet(3), Severity::Contained);
        assert_eq!(by_aet(6), Severity::Harmless);
        for reserved in [4, 5, 7] {
            assert_eq!(by_aet(reserved), Severity::Uncontainable);
        }
    }

    #[test]
    fn what_is_not_categorized_is_not_contained() {
        assert_eq!(severity(0), Severity::Uncontainable);
        assert_eq!(severity(6 << 10), Severity::Uncontainable);
    }

    #[test]
    fn an_implementers_own_syndrome_is_the_guests() {
        assert_eq!(severity(IDS), Severity::Contained);
        assert_eq!(severity(IDS | ASYNCHRONOUS), Severity::Contained);
    }

    #[test]
    fn without_the_ras_extension_all_are_the_guests() {
        for syndrome in [0, ASYNCHRONOUS, 6 << 10 | ASYNCHRONOUS, IDS] {
            let error = SError {
                syndrome,
                has_ras: false,
            };
            assert_eq!(error.severity(), Severity::Contained);
        }
    }

    #[test]
    fn a_guest_gets_the_iss_alone() {
        let error = SError {
            syndrome: 0xbe00_0000 | 3 << 10 | ASYNCHRONOUS,
            has_ras: true,
        };
        assert_eq!(error.virtual_syndrome(), 3 << 10 | ASYNCHRONOUS);
    }
}
