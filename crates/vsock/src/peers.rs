// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may speak to whom.

/// Most guests with a socket device.
pub const MAX_PEERS: usize = 32;

/// A guest's device, by its number in [`Peers`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(u8);

impl Peer {
    /// Returns its number, in the order in which devices were added.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why a device can't be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// There are [`MAX_PEERS`].
    Full,
    /// The address is one of those that are reserved (5.10.4), or more than 32 bits.
    Reserved,
    /// Another one has that address.
    Taken,
}

/// All devices and their connections: made at boot, and the same from then on.
#[derive(Clone, Debug)]
pub struct Peers {
    cids: [u64; MAX_PEERS],
    /// Whom each may speak to, by bits.
    links: [u32; MAX_PEERS],
    count: u8,
}

impl Default for Peers {
    fn default() -> Self {
        Self::new()
    }
}

impl Peers {
    /// Makes none.
    pub const fn new() -> Self {
        Self {
            cids: [0; MAX_PEERS],
            links: [0; MAX_PEERS],
            count: 0,
        }
    }

    /// Adds the device with this address, which may speak to nobody yet.
    ///
    /// # Errors
    /// Why it can't be.
    pub fn add(&mut self, cid: u64) -> Result<Peer, Refused> {
        let place = usize::from(self.count);
        if !(3..0xffff_ffff).contains(&cid) {
            return Err(Refused::Reserved);
        }
        if self.find(cid).is_some() {
            return Err(Refused::Taken);
        }
        *self.cids.get_mut(place).ok_or(Refused::Full)? = cid;
        self.count += 1;
        Ok(Peer(place as u8))
    }

    /// Lets two devices speak to each other.
    pub fn connect(&mut self, a: Peer, b: Peer) {
        self.links[a.index()] |= 1 << b.0;
        self.links[b.index()] |= 1 << a.0;
    }

    /// Returns a device's address.
    pub fn cid(&self, peer: Peer) -> u64 {
        self.cids[peer.index()]
    }

    /// Returns the device with an address that `from` may speak to.
    pub(crate) fn route(&self, from: Peer, to: u64) -> Option<Peer> {
        let peer = self.find(to)?;
        (self.links[from.index()] >> peer.0 & 1 == 1 && peer != from).then_some(peer)
    }

    fn find(&self, cid: u64) -> Option<Peer> {
        let known = &self.cids[..usize::from(self.count)];
        let place = known.iter().position(|&known| known == cid)?;
        Some(Peer(place as u8))
    }
}
