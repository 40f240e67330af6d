//! Shadow pages: frame number n is the message of call slot n; the frames behind those hold
//! the page lists that OP-TEE reads, handed out as chains.

use alloc::boxed::Box;
use alloc::vec;

use crate::config::Limits;

const END: u16 = u16::MAX;

/// A chain of list frames, owned by one call.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Chain {
    head: u16,
    len: u16,
}

impl Chain {
    /// The frame at its head.
    pub fn head(&self) -> usize {
        usize::from(self.head)
    }
}

/// The list frames that are not in use, and the links of those that are.
pub(crate) struct ListFrames {
    /// Indexed by frame number less `base`.
    next: Box<[u16]>,
    base: u16,
    free: u16,
    left: u16,
}

impl ListFrames {
    pub fn new(limits: &Limits) -> Self {
        let mut frames = Self {
            next: vec![END; usize::from(limits.list_frames)].into(),
            base: limits.calls,
            free: END,
            left: 0,
        };
        frames.clear();
        frames
    }

    /// Takes every frame back.
    pub fn clear(&mut self) {
        self.free = END;
        self.left = self.next.len() as u16;
        for (n, next) in self.next.iter_mut().enumerate().rev() {
            *next = core::mem::replace(&mut self.free, self.base + n as u16);
        }
    }

    /// Frames there are.
    pub fn total(&self) -> u32 {
        self.next.len() as u32
    }

    /// Frames in use.
    pub fn used(&self) -> u16 {
        self.next.len() as u16 - self.left
    }

    /// The frame behind `frame` in its chain.
    pub fn next(&self, frame: usize) -> usize {
        let n = frame.wrapping_sub(usize::from(self.base));
        usize::from(self.next.get(n).copied().unwrap_or(END))
    }

    /// A chain of `count` frames, if that many are free.
    pub fn take(&mut self, count: u32) -> Option<Chain> {
        let fits = |len: &u16| *len > 0 && *len <= self.left;
        let len = u16::try_from(count).ok().filter(fits)?;
        let head = self.free;
        let last = (1..len).fold(head, |at, _| self.next(usize::from(at)) as u16);
        self.free = self.next(usize::from(last)) as u16;
        self.link(last, END);
        self.left -= len;
        Some(Chain { head, len })
    }

    /// Frees a chain and leaves an empty one.
    pub fn give_back(&mut self, chain: &mut Chain) {
        if chain.len > 0 {
            let last = (1..chain.len).fold(chain.head, |at, _| self.next(usize::from(at)) as u16);
            self.link(last, self.free);
            self.free = chain.head;
            self.left += chain.len;
            *chain = Chain::default();
        }
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

    #[test]
    fn chains_come_and_go() {
        let limits = Limits {
            calls: 3,
            list_frames: 4,
            ..Limits::default()
        };
        let mut frames = ListFrames::new(&limits);
        for _ in 0..5 {
            let mut a = frames.take(1).unwrap();
            let mut b = frames.take(3).unwrap();
            assert!(frames.take(1).is_none());
            assert_eq!(frames.used(), 4);
            let (first, second) = (b.head(), frames.next(b.head()));
            let third = frames.next(second);
            assert_eq!(frames.next(third), usize::from(END));
            let mut all = [a.head(), first, second, third];
            all.sort_unstable();
            assert_eq!(all, [3, 4, 5, 6]);
            frames.give_back(&mut a);
            frames.give_back(&mut b);
            assert_eq!(frames.used(), 0);
        }
    }
}
