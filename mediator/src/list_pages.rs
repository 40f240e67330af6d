// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shadow pages: frame number n is the message of call slot n; the frames behind those hold
//! the page lists that OP-TEE reads, handed out as chains.

use alloc::boxed::Box;
use alloc::vec;

use crate::config::Limits;

const END: u16 = u16::MAX;

/// List frames of one call: as many as it may take, and those that it has taken.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Chain {
    head: u16,
    last: u16,
    taken: u16,
    reserved: u16,
}

/// The list frames that are not in use, and the links of those that are. Every step is short, however long the
/// chains are.
pub(crate) struct ListPages {
    /// Indexed by frame number less `base`.
    next: Box<[u16]>,
    base: u16,
    free: u16,
    /// Frames from here on were never in use.
    fresh: u16,
    /// Frames that nobody has reserved.
    left: u16,
}

impl ListPages {
    pub fn new(limits: &Limits) -> Self {
        Self {
            next: vec![END; usize::from(limits.list_frames)].into(),
            base: limits.calls,
            free: END,
            fresh: 0,
            left: limits.list_frames,
        }
    }

    /// Takes every frame back.
    pub fn clear(&mut self) {
        self.free = END;
        self.fresh = 0;
        self.left = self.total();
    }

    /// Frames there are.
    pub fn total(&self) -> u16 {
        self.next.len() as u16
    }

    /// Frames in use.
    pub fn used(&self) -> u16 {
        self.total() - self.left
    }

    /// Keeps `count` frames more for a chain, if that many are left.
    #[inline]
    pub fn reserve(&mut self, chain: &mut Chain, count: u32) -> bool {
        let is_left = count <= self.left.into();
        if is_left {
            self.left -= count as u16;
            chain.reserved += count as u16;
        }
        is_left
    }

    /// Tells whether a chain could have `count` frames more if no other had any.
    pub fn fits(&self, chain: &Chain, count: u32) -> bool {
        u32::from(self.total() - chain.reserved) >= count
    }

    /// Returns the next frame of a chain, if it has one reserved.
    #[inline(always)]
    pub fn extend(&mut self, chain: &mut Chain) -> Option<u16> {
        if chain.taken == chain.reserved {
            return None;
        }
        let frame = match self.free {
            END => {
                self.fresh += 1;
                self.base + (self.fresh - 1)
            }
            free => {
                self.free = self.next.get(usize::from(free - self.base)).copied()?;
                free
            }
        };
        match chain.taken {
            0 => chain.head = frame,
            _ => self.link(chain.last, frame),
        }
        chain.last = frame;
        chain.taken += 1;
        Some(frame)
    }

    /// Frees a chain and leaves an empty one. Most calls have none.
    #[inline]
    pub fn give_back(&mut self, chain: &mut Chain) {
        if chain.reserved > 0 {
            self.give_back_reserved(chain);
        }
    }

    fn give_back_reserved(&mut self, chain: &mut Chain) {
        if chain.taken > 0 {
            self.link(chain.last, self.free);
            self.free = chain.head;
        }
        self.left += chain.reserved;
        *chain = Chain::default();
    }

    fn link(&mut self, frame: u16, to: u16) {
        if let Some(next) = self.next.get_mut(usize::from(frame - self.base)) {
            *next = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a chain with so many frames reserved, if they are left.
    fn reserve(frames: &mut ListPages, count: u32) -> Option<Chain> {
        let mut chain = Chain::default();
        frames.reserve(&mut chain, count).then_some(chain)
    }

    #[test]
    fn chains_come_and_go() {
        let limits = Limits {
            calls: 3,
            list_frames: 4,
            ..Limits::default()
        };
        let mut frames = ListPages::new(&limits);
        for _ in 0..5 {
            let mut a = reserve(&mut frames, 1).unwrap();
            let mut b = reserve(&mut frames, 1).unwrap();
            assert!(frames.reserve(&mut b, 2));
            assert!(reserve(&mut frames, 1).is_none());
            assert!(frames.fits(&b, 1) && !frames.fits(&b, 2));
            assert_eq!(frames.used(), 4);
            let mut all = [0; 4];
            for (frame, of_b) in all.iter_mut().zip([true, false, true, true]) {
                *frame = frames.extend(if of_b { &mut b } else { &mut a }).unwrap();
            }
            assert_eq!((frames.extend(&mut a), frames.extend(&mut b)), (None, None));
            all.sort_unstable();
            assert_eq!(all, [3, 4, 5, 6]);
            frames.give_back(&mut b);
            assert_eq!(frames.used(), 1);
            frames.give_back(&mut a);
            assert_eq!(frames.used(), 0);
        }
    }

    #[test]
    fn frames_that_were_reserved_and_not_taken_come_back() {
        let limits = Limits {
            calls: 1,
            list_frames: 2,
            ..Limits::default()
        };
        let mut frames = ListPages::new(&limits);
        for _ in 0..3 {
            let mut chain = reserve(&mut frames, 2).unwrap();
            frames.extend(&mut chain).unwrap();
            frames.give_back(&mut chain);
            assert_eq!(frames.used(), 0);
        }
        let _ = reserve(&mut frames, 2).unwrap();
        frames.clear();
        let mut chain = reserve(&mut frames, 2).unwrap();
        assert_eq!(frames.extend(&mut chain), Some(1));
        assert_eq!(frames.extend(&mut chain), Some(2));
    }

    #[test]
    fn a_chain_without_a_frame_is_given_back_too() {
        let limits = Limits {
            calls: 3,
            list_frames: 2,
            ..Limits::default()
        };
        let mut frames = ListPages::new(&limits);
        let mut none = reserve(&mut frames, 2).unwrap();
        frames.give_back(&mut none);
        assert_eq!(frames.used(), 0);
        let mut both = reserve(&mut frames, 2).unwrap();
        let taken = [(); 2].map(|()| frames.extend(&mut both));
        assert_eq!(taken, [Some(3), Some(4)]);
    }
}
