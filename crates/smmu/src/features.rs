// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an SMMU says that it can do, and what it must be able to do (6.3.1 to 6.3.6, 6.3.8).

use core::fmt;

use crate::Hardware;
use crate::registers::{AIDR, IDR0, IDR1, IDR5};

/// A field of an identification register.
struct Field {
    register: u64,
    shift: u32,
    bits: u32,
}

impl Field {
    fn read(&self, hardware: &mut impl Hardware) -> u32 {
        hardware.read32(self.register) >> self.shift & ((1 << self.bits) - 1)
    }
}

/// Names a field of a register as the specification has it, [high:low].
const fn field(register: u64, high: u32, low: u32) -> Field {
    Field {
        register,
        shift: low,
        bits: high - low + 1,
    }
}

const VMID16: Field = field(IDR0, 18, 18);
const MSI: Field = field(IDR0, 13, 13);
const ATS: Field = field(IDR0, 10, 10);
const HYP: Field = field(IDR0, 9, 9);
const CMDQS: Field = field(IDR1, 25, 21);
const EVENTQS: Field = field(IDR1, 20, 16);
const SIDSIZE: Field = field(IDR1, 5, 0);
const OAS: Field = field(IDR5, 2, 0);

/// Log2 of the least and most entries of a queue: more than a page of commands would never be waiting.
const LEAST_QUEUE: u32 = 2;
const MOST_COMMANDS: u32 = 8;
const MOST_EVENTS: u32 = 7;

/// A field, its name, the feature that it stands for, and what has to be in it.
struct Need(Field, &'static str, &'static str, fn(u32) -> bool);

/// TERM_MODEL is not among them, since stage-2 faults abort with either, nor HTTU, which entries leave off.
#[rustfmt::skip]
const NEEDS: [Need; 11] = [
    Need(field(AIDR, 7, 4), "AIDR.ArchMajorRev", "an SMMUv3", |major| major == 0),
    Need(field(IDR0, 0, 0), "IDR0.S2P", "stage 2", |has| has == 1),
    Need(field(IDR0, 3, 2), "IDR0.TTF", "AArch64 tables", |formats| formats & 0b10 != 0),
    Need(field(IDR0, 4, 4), "IDR0.COHACC", "coherent walks", |has| has == 1),
    Need(field(IDR0, 22, 21), "IDR0.TTENDIAN", "little-endian tables", |endian| endian & 1 == 0),
    Need(field(IDR0, 25, 24), "IDR0.STALL_MODEL", "faults without a stall", |model| model < 2),
    Need(field(IDR1, 30, 30), "IDR1.TABLES_PRESET", "a table at any address", |preset| preset == 0),
    Need(field(IDR1, 29, 29), "IDR1.QUEUES_PRESET", "queues at any address", |preset| preset == 0),
    Need(CMDQS, "IDR1.CMDQS", "four commands in a queue", |bits| bits >= LEAST_QUEUE),
    Need(EVENTQS, "IDR1.EVENTQS", "four events in a queue", |bits| bits >= LEAST_QUEUE),
    Need(field(IDR5, 4, 4), "IDR5.GRAN4K", "pages of 4 KiB", |has| has == 1),
];

/// Something that an SMMU lacks, without which it protects nothing here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lack {
    /// What it lacks.
    pub feature: &'static str,
    /// The field that says so: register and name.
    pub field: &'static str,
    /// What is in the field.
    pub value: u32,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (feature, field) = (self.feature, self.field);
        write!(f, "lacks {feature}: SMMU_{field} is {:#x}", self.value)
    }
}

/// What an SMMU that has all that is needed can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// Bits of a stream id.
    pub stream_bits: u32,
    /// IDR5.OAS, at most 48 bits: encoded as ID_AA64MMFR0_EL1.PARange.
    pub output_size: u32,
    /// Whether a VMID has 16 bits, rather than 8.
    pub wide_vmids: bool,
    /// Log2 of the entries of the command queue.
    pub command_bits: u32,
    /// Log2 of the entries of the event queue.
    pub event_bits: u32,
    pub(crate) ats: bool,
    pub(crate) hyp: bool,
    pub(crate) msi: bool,
}

impl Features {
    /// Reads the identification registers, or says what is lacking.
    pub fn read(hardware: &mut impl Hardware) -> Result<Self, Lack> {
        for Need(of, field, feature, has) in &NEEDS {
            let value = of.read(hardware);
            if !has(value) {
                return Err(Lack::new(feature, field, value));
            }
        }
        Ok(Self {
            stream_bits: SIDSIZE.read(hardware).min(32),
            output_size: OAS.read(hardware).min(5),
            wide_vmids: VMID16.read(hardware) == 1,
            command_bits: CMDQS.read(hardware).min(MOST_COMMANDS),
            event_bits: EVENTQS.read(hardware).min(MOST_EVENTS),
            ats: ATS.read(hardware) == 1,
            hyp: HYP.read(hardware) == 1,
            msi: MSI.read(hardware) == 1,
        })
    }

    /// Returns the bits of an address that the SMMU can make.
    pub const fn output_bits(&self) -> u32 {
        addr::pa_bits(self.output_size as u64)
    }

    /// Checks that stream ids of `bits` bits exist here, and that all RAM is below what the SMMU can reach.
    pub(crate) const fn suffice(&self, bits: u32, ram_end: u64) -> Result<(), Lack> {
        if bits > self.stream_bits {
            let feature = "the stream ids that devices have";
            return Err(Lack::new(feature, "IDR1.SIDSIZE", self.stream_bits));
        }
        if ram_end > 1 << self.output_bits() {
            let feature = "addresses as large as the board's RAM";
            return Err(Lack::new(feature, "IDR5.OAS", self.output_size));
        }
        Ok(())
    }
}

impl Lack {
    const fn new(feature: &'static str, field: &'static str, value: u32) -> Self {
        Self {
            feature,
            field,
            value,
        }
    }
}
