// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which events are told: each cause once, since a device can make as many as it likes.

use crate::{Event, Kind, Streams};

/// A stream and what it did, and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cause {
    /// The stream.
    pub stream: u32,
    /// What its events are about.
    pub kind: Kind,
    /// How many there were.
    pub count: u64,
}

/// What to do with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Tell it: it is the first of its cause.
    Now,
    /// Tell it, and that further causes are only counted: there is no room for more.
    Last,
    /// Don't.
    Before,
}

/// The causes of events so far, `N` of them at most.
#[derive(Clone, Debug)]
pub struct Causes<const N: usize> {
    known: [Option<Cause>; N],
    others: u64,
}

impl<const N: usize> Default for Causes<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Causes<N> {
    /// Makes a table without any.
    pub const fn new() -> Self {
        Self {
            known: [None; N],
            others: 0,
        }
    }

    /// Counts an event, and says whether to tell it.
    pub fn note(&mut self, event: &Event) -> Told {
        let same = |cause: &&mut Cause| cause.stream == event.stream && cause.kind == event.kind;
        if let Some(cause) = self.known.iter_mut().flatten().find(same) {
            cause.count = cause.count.saturating_add(1);
            return Told::Before;
        }
        let Some(room) = self.known.iter_mut().find(|cause| cause.is_none()) else {
            self.others = self.others.saturating_add(1);
            return if self.others == 1 {
                Told::Last
            } else {
                Told::Before
            };
        };
        *room = Some(Cause {
            stream: event.stream,
            kind: event.kind,
            count: 1,
        });
        Told::Now
    }

    /// Forgets what these streams did: they are another guest's, or their guest starts anew.
    pub fn forget(&mut self, streams: Streams) {
        for room in &mut self.known {
            if room.is_some_and(|cause| streams.contains(cause.stream)) {
                *room = None;
                self.others = 0;
            }
        }
    }

    /// Returns the causes that were told.
    pub fn iter(&self) -> impl Iterator<Item = &Cause> {
        self.known.iter().flatten()
    }

    /// Returns how many events of other causes there were since there was no room.
    pub const fn others(&self) -> u64 {
        self.others
    }
}
