// SPDX-License-Identifier: MIT OR Apache-2.0

//! A64 loads and stores of which a stage-2 abort has no syndrome (ESR_EL2.ISS.ISV = 0): those
//! with writeback, and pairs. Nothing else is decoded.

/// The base register of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// A general register.
    General(usize),
    /// The current stack pointer.
    StackPointer,
}

/// What an access moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A store of the registers' low bytes.
    Store,
    /// A load, extended with zeros.
    Load,
    /// A load, extended with the sign to this many bytes.
    LoadSigned(u8),
}

/// One decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The register that holds the address.
    pub base: Base,
    /// Bytes between the base and the first element.
    pub offset: i64,
    /// Bytes that the base grows by, if it is written back.
    pub writeback: Option<i64>,
    /// Bytes of each element: 1, 2, 4 or 8.
    pub size: u8,
    /// What it does.
    pub direction: Direction,
    /// The register of the first element; 31 is the zero register.
    pub first: usize,
    /// That of the second, which follows in memory.
    pub second: Option<usize>,
}

/// How the address is formed: bits that both encodings of immediates have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    Post,
    Offset,
    Pre,
}

impl Access {
    /// Decodes `code`. `None` if it is of another class, unallocated, or what it does is
    /// CONSTRAINED UNPREDICTABLE.
    pub fn decode(code: u32) -> Option<Self> {
        let access = if code & 0x3e00_0000 == 0x2800_0000 {
            pair(code)
        } else if code & 0x3f20_0400 == 0x3800_0400 {
            single(code)
        } else {
            None
        };
        access.filter(|access| !access.is_unpredictable())
    }

    /// Tells whether it writes memory.
    pub fn is_store(&self) -> bool {
        self.direction == Direction::Store
    }

    /// Returns how many elements there are.
    pub fn elements(&self) -> u64 {
        1 + u64::from(self.second.is_some())
    }

    /// Returns the address of the first element if the access explains a fault: it is made from
    /// `base`, each element is aligned, all lie in one page, one begins at `far`, and it writes
    /// if `write`. Tags in the top byte count for nothing.
    pub fn explains(&self, base: u64, far: u64, write: bool) -> Option<u64> {
        const ADDRESS: u64 = (1 << 56) - 1;
        const PAGE: u64 = 4096;
        let address = base.wrapping_add_signed(self.offset);
        let size = u64::from(self.size);
        let into = far.wrapping_sub(address) & ADDRESS;
        let right = write == self.is_store()
            && address.is_multiple_of(size)
            && address % PAGE + size * self.elements() <= PAGE
            && into.is_multiple_of(size)
            && into < size * self.elements();
        right.then_some(address)
    }

    /// Returns what a load puts into a register, of `value` as it was read.
    pub fn extend(&self, value: u64) -> u64 {
        let bits = |bytes: u8| 64 - 8 * u32::from(bytes.clamp(1, 8));
        let unused = bits(self.size);
        let value = value << unused;
        match self.direction {
            Direction::LoadSigned(wide) => {
                ((value as i64 >> unused) as u64) & (u64::MAX >> bits(wide))
            }
            _ => value >> unused,
        }
    }

    /// Tells whether a base that is written back is moved too, or a pair loaded into one register.
    fn is_unpredictable(&self) -> bool {
        let moved = |register| self.first == register || self.second == Some(register);
        let overlaps = match self.base {
            Base::General(base) => self.writeback.is_some() && moved(base),
            Base::StackPointer => false,
        };
        overlaps || !self.is_store() && self.second == Some(self.first)
    }
}

/// Decodes "Load/store register (immediate post-indexed)" and "(immediate pre-indexed)", C4.1.
fn single(code: u32) -> Option<Access> {
    let size = 1u8 << field(code, 30, 2);
    let direction = match (field(code, 22, 2), size) {
        (0, _) => Direction::Store,
        (1, _) => Direction::Load,
        (2, 1..=4) => Direction::LoadSigned(8),
        (3, 1..=2) => Direction::LoadSigned(4),
        _ => return None,
    };
    let index = match field(code, 11, 1) {
        0 => Index::Post,
        _ => Index::Pre,
    };
    let immediate = signed(field(code, 12, 9), 9);
    Some(access(code, index, immediate, (size, direction), None))
}

/// Decodes "Load/store register pair", all four kinds, C4.1.
fn pair(code: u32) -> Option<Access> {
    let load = field(code, 22, 1) != 0;
    // 0 is the non-temporal kind: LDNP and STNP, which have no LDPSW beside them.
    let kind = field(code, 23, 2);
    let (size, direction) = match (field(code, 30, 2), load) {
        (0, false) => (4, Direction::Store),
        (0, true) => (4, Direction::Load),
        (1, true) if kind != 0 => (4, Direction::LoadSigned(8)),
        (2, false) => (8, Direction::Store),
        (2, true) => (8, Direction::Load),
        _ => return None,
    };
    let index = match kind {
        1 => Index::Post,
        3 => Index::Pre,
        _ => Index::Offset,
    };
    let immediate = signed(field(code, 15, 7), 7) * i64::from(size);
    let second = Some(field(code, 10, 5) as usize);
    Some(access(code, index, immediate, (size, direction), second))
}

fn access(
    code: u32,
    index: Index,
    immediate: i64,
    (size, direction): (u8, Direction),
    second: Option<usize>,
) -> Access {
    Access {
        base: match field(code, 5, 5) as usize {
            31 => Base::StackPointer,
            register => Base::General(register),
        },
        offset: if index == Index::Post { 0 } else { immediate },
        writeback: (index != Index::Offset).then_some(immediate),
        size,
        direction,
        first: field(code, 0, 5) as usize,
        second,
    }
}

fn field(code: u32, shift: u32, bits: u32) -> u32 {
    code >> shift & ((1 << bits) - 1)
}

fn signed(value: u32, bits: u32) -> i64 {
    let unused = 32 - bits;
    i64::from((value << unused) as i32 >> unused)
}
