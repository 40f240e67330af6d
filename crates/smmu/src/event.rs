// SPDX-License-Identifier: MIT OR Apache-2.0

//! Records of the event queue (7.3).

use core::fmt;

/// Bytes of a record.
pub const SIZE: u64 = 32;
/// Words of a record.
pub const WORDS: usize = 4;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $says:literal;)*) => {
        /// What an event is about.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
            /// Another one, by its number.
            Other(u8),
        }

        impl From<u8> for Kind {
            fn from(number: u8) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Other(other),
                }
            }
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => f.write_str($says),)*
                    Self::Other(number) => write!(f, "event {number:#x}"),
                }
            }
        }
    };
}

kinds! {
    /// The access is of a kind that the SMMU can't handle.
    Unsupported = 0x01, "F_UUT";
    /// The stream is beyond the table.
    BadStreamId = 0x02, "C_BAD_STREAMID";
    /// The entry couldn't be read.
    SteFetch = 0x03, "F_STE_FETCH";
    /// Nobody has the stream.
    BadSte = 0x04, "C_BAD_STE";
    /// The device asked for a translation, which it may not.
    BadAtsRequest = 0x05, "F_BAD_ATS_TREQ";
    /// The stream is disabled.
    StreamDisabled = 0x06, "F_STREAM_DISABLED";
    /// The device said that it had translated the address itself, which it may not.
    Forbidden = 0x07, "F_TRANSL_FORBIDDEN";
    /// The device named a substream.
    BadSubstreamId = 0x08, "C_BAD_SUBSTREAMID";
    /// A table couldn't be read.
    WalkAbort = 0x0b, "F_WALK_EABT";
    /// Nothing is mapped there.
    Translation = 0x10, "F_TRANSLATION";
    /// The address, or one in a table, is too large.
    AddressSize = 0x11, "F_ADDR_SIZE";
    /// The access flag is clear.
    AccessFlag = 0x12, "F_ACCESS";
    /// What is there may be read or written, but not both.
    Permission = 0x13, "F_PERMISSION";
    /// Two cached translations contradict each other.
    TlbConflict = 0x20, "F_TLB_CONFLICT";
    /// Two cached entries contradict each other.
    ConfigConflict = 0x21, "F_CFG_CONFLICT";
}

impl Kind {
    /// Tells whether such a record has the address and says whether it was read or written (7.3.2, 7.3.8, 7.3.12 to
    /// 7.3.17).
    const fn is_of_an_address(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Unsupported
                | Forbidden
                | WalkAbort
                | Translation
                | AddressSize
                | AccessFlag
                | Permission
                | TlbConflict
        )
    }
}

/// An access of a device that the SMMU refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Why.
    pub kind: Kind,
    /// The stream that it came from.
    pub stream: u32,
    /// The address that the device used, and whether it wrote there, if the record has them.
    pub access: Option<(u64, bool)>,
}

/// RnW in word 1: the access was a read.
const READ: u64 = 1 << 35;

impl Event {
    /// Decodes a record.
    pub fn decode(record: [u64; WORDS]) -> Self {
        let kind = Kind::from(record[0] as u8);
        let access = (record[2], record[1] & READ == 0);
        Self {
            kind,
            stream: (record[0] >> 32) as u32,
            access: kind.is_of_an_address().then_some(access),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {:#x}: {}", self.stream, self.kind)?;
        match self.access {
            Some((address, true)) => write!(f, ", write to {address:#x}"),
            Some((address, false)) => write!(f, ", read of {address:#x}"),
            None => Ok(()),
        }
    }
}
