// SPDX-License-Identifier: MIT OR Apache-2.0

//! `struct virtio_vsock_hdr` (5.10.6).

/// EL2's own address, that of the host.
pub const EL2: u64 = 2;

/// Bytes of a header.
pub(crate) const HEADER: usize = 44;
/// The one type of sockets: a stream.
const STREAM: u16 = 1;
/// Flags of SHUTDOWN: nothing more is received, nothing more is sent.
pub(crate) const NO_RECEIVE: u32 = 1;
pub(crate) const NO_SEND: u32 = 2;

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Request,
    Response,
    Reset,
    Shutdown,
    Data,
    CreditUpdate,
    CreditRequest,
}

impl Op {
    const ALL: [Self; 7] = [
        Self::Request,
        Self::Response,
        Self::Reset,
        Self::Shutdown,
        Self::Data,
        Self::CreditUpdate,
        Self::CreditRequest,
    ];

    fn of(number: u16) -> Option<Self> {
        let place = usize::from(number).checked_sub(1)?;
        Self::ALL.get(place).copied()
    }
}

/// A packet's header: what of it is not the same for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub from: u64,
    pub to: u64,
    pub from_port: u32,
    pub to_port: u32,
    /// Bytes of data behind it, in packets of [`Op::Data`] alone.
    pub len: u32,
    pub op: Op,
    /// Of [`Op::Shutdown`].
    pub flags: u32,
    /// Room for data that the sender of this packet has in all.
    pub room: u32,
    /// Data that the sender of this packet has taken in all.
    pub taken: u32,
}

impl Header {
    /// Reads one, if it is a stream's and means something.
    pub fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
        let double = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let header = Self {
            from: double(0),
            to: double(8),
            from_port: word(16),
            to_port: word(20),
            len: word(24),
            op: Op::of(half(30))?,
            flags: word(32),
            room: word(36),
            taken: word(40),
        };
        let is_sound = half(28) == STREAM && (header.len == 0 || header.op == Op::Data);
        is_sound.then_some(header)
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let flags = match self.op {
            Op::Shutdown => self.flags & (NO_RECEIVE | NO_SEND),
            _ => 0,
        };
        put(0, &self.from.to_le_bytes());
        put(8, &self.to.to_le_bytes());
        put(16, &self.from_port.to_le_bytes());
        put(20, &self.to_port.to_le_bytes());
        put(24, &self.len.to_le_bytes());
        put(28, &STREAM.to_le_bytes());
        put(30, &(self.op as u16 + 1).to_le_bytes());
        put(32, &flags.to_le_bytes());
        put(36, &self.room.to_le_bytes());
        put(40, &self.taken.to_le_bytes());
        bytes
    }

    /// Returns a packet without data the other way.
    pub fn answer(&self, op: Op) -> Self {
        Self {
            from: self.to,
            to: self.from,
            from_port: self.to_port,
            to_port: self.from_port,
            len: 0,
            op,
            flags: 0,
            room: 0,
            taken: 0,
        }
    }
}
