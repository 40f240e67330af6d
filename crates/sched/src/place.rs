// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which core serves which vCPU.

/// Most positions in a board's /cpus that are looked at.
pub const MAX_CORES: usize = 32;

/// What one core has to serve.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    vcpus: usize,
    /// All of them are one guest's, which wants it so.
    exclusive: bool,
    /// What their budgets take of its time, in billionths.
    promised: u32,
}

/// All of a core's time, in billionths.
const WHOLE: u32 = 1_000_000_000;

/// The board's cores, by their positions in /cpus, and what each has to serve.
#[derive(Clone, Debug)]
pub struct Cores {
    /// `None`: the core does not run.
    loads: [Option<Load>; MAX_CORES],
    /// The housekeeping core, if it was chosen.
    kept: Option<usize>,
}

/// Why a vCPU can't be placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlaceError {
    /// The core at this position does not run.
    Absent(usize),
    /// The core at this position has a vCPU already, and one of the two guests wants to be alone.
    Taken(usize),
    /// The core at this position is the housekeeping core, which no guest may have alone.
    Kept(usize),
    /// The budgets on the core at this position would be more than its time.
    Full(usize),
    /// No core is left that may serve it.
    NoneLeft,
}

impl Cores {
    /// Takes the cores for which `runs` holds, all of them free.
    pub fn new(runs: impl Fn(usize) -> bool) -> Self {
        Self {
            loads: core::array::from_fn(|position| runs(position).then(Load::default)),
            kept: None,
        }
    }

    /// Keeps the core at `position` from guests that want to be alone: it is the housekeeping core.
    ///
    /// # Errors
    /// [`PlaceError::Absent`] if it does not run.
    pub fn keep(&mut self, position: usize) -> Result<(), PlaceError> {
        if self.load(position).is_none() {
            return Err(PlaceError::Absent(position));
        }
        self.kept = Some(position);
        Ok(())
    }

    /// Returns the housekeeping core's position, once all vCPUs have their cores: the one that was
    /// [kept](Self::keep), else the last that no guest has alone. If there is none it is the last of
    /// all, and the second value is true.
    pub fn housekeeping(&self) -> (usize, bool) {
        let last = |fits: fn(&Load) -> bool| {
            (0..MAX_CORES).rfind(|&position| self.load(position).is_some_and(fits))
        };
        match self.kept.or_else(|| last(|load| !load.exclusive)) {
            Some(position) => (position, false),
            None => (last(|_| true).unwrap_or(0), true),
        }
    }

    /// Tells how many vCPUs the core at `position` has.
    pub fn vcpus(&self, position: usize) -> usize {
        self.load(position).map_or(0, |load| load.vcpus)
    }

    fn load(&self, position: usize) -> Option<&Load> {
        self.loads.get(position)?.as_ref()
    }

    /// Finds the core of one more vCPU: the one `named`, else the first of those that have the
    /// fewest. With `exclusive` it must be free, and stays closed to all that come later. Its budget takes `share`
    /// billionths of the core's time, which the core must have.
    pub fn place(
        &mut self,
        named: Option<usize>,
        exclusive: bool,
        share: u32,
    ) -> Result<usize, PlaceError> {
        let open = |load: &Load| !load.exclusive && (!exclusive || load.vcpus == 0);
        let fits = |load: &Load| share <= WHOLE - load.promised;
        let kept = |position| exclusive && self.kept == Some(position);
        let position = match named {
            Some(position) => match self.load(position) {
                None => return Err(PlaceError::Absent(position)),
                Some(_) if kept(position) => return Err(PlaceError::Kept(position)),
                Some(load) if !open(load) => return Err(PlaceError::Taken(position)),
                Some(load) if !fits(load) => return Err(PlaceError::Full(position)),
                Some(_) => position,
            },
            None => (0..MAX_CORES)
                .filter(|&position| self.load(position).is_some_and(|it| open(it) && fits(it)))
                .filter(|&position| !kept(position))
                .min_by_key(|&position| self.vcpus(position))
                .ok_or(PlaceError::NoneLeft)?,
        };
        if let Some(Some(load)) = self.loads.get_mut(position) {
            load.vcpus += 1;
            load.exclusive = exclusive;
            load.promised += share;
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn cores(count: usize) -> Cores {
        Cores::new(|position| position < count)
    }

    #[test]
    fn free_cores_come_first_then_the_least_loaded() {
        let mut cores = cores(3);
        let placed: Vec<_> = (0..7).map(|_| cores.place(None, false, 0)).collect();
        let wanted = [0, 1, 2, 0, 1, 2, 0].map(Ok);
        assert_eq!(placed, wanted);
    }

    #[test]
    fn a_named_core_may_be_shared() {
        let mut cores = cores(2);
        assert_eq!(cores.place(Some(1), false, 0), Ok(1));
        assert_eq!(cores.place(Some(1), false, 0), Ok(1));
        assert_eq!(cores.place(None, false, 0), Ok(0));
        assert_eq!(cores.vcpus(1), 2);
    }

    #[test]
    fn an_exclusive_core_is_nobody_elses() {
        let mut cores = cores(2);
        assert_eq!(cores.place(Some(0), true, 0), Ok(0));
        assert_eq!(cores.place(Some(0), false, 0), Err(PlaceError::Taken(0)));
        assert_eq!(cores.place(Some(0), true, 0), Err(PlaceError::Taken(0)));
        assert_eq!(cores.place(None, false, 0), Ok(1));
        assert_eq!(cores.place(Some(1), true, 0), Err(PlaceError::Taken(1)));
        assert_eq!(cores.place(None, true, 0), Err(PlaceError::NoneLeft));
        assert_eq!(cores.place(None, false, 0), Ok(1));
    }

    #[test]
    fn a_core_that_does_not_run_serves_nobody() {
        let mut cores = Cores::new(|position| position == 1);
        assert_eq!(cores.place(Some(0), false, 0), Err(PlaceError::Absent(0)));
        assert_eq!(cores.place(Some(99), false, 0), Err(PlaceError::Absent(99)));
        assert_eq!(cores.place(None, false, 0), Ok(1));
    }

    #[test]
    fn the_housekeeping_core_is_the_last_that_is_nobodys_alone() {
        let mut cores = cores(3);
        assert_eq!(cores.housekeeping(), (2, false));
        assert_eq!(cores.place(Some(2), true, 0), Ok(2));
        assert_eq!(cores.housekeeping(), (1, false));
        assert_eq!(cores.place(Some(1), false, 0), Ok(1));
        assert_eq!(cores.housekeeping(), (1, false));
        assert_eq!(cores.place(Some(0), true, 0), Ok(0));
        assert_eq!(cores.housekeeping(), (1, false));
    }

    #[test]
    fn without_a_core_to_share_the_last_one_keeps_house() {
        let mut cores = cores(2);
        assert_eq!(cores.place(None, true, 0), Ok(0));
        assert_eq!(cores.place(None, true, 0), Ok(1));
        assert_eq!(cores.housekeeping(), (1, true));
    }

    #[test]
    fn a_chosen_housekeeping_core_is_nobodys_alone() {
        let mut cores = cores(2);
        assert_eq!(cores.keep(2), Err(PlaceError::Absent(2)));
        assert_eq!(cores.keep(0), Ok(()));
        assert_eq!(cores.place(Some(0), true, 0), Err(PlaceError::Kept(0)));
        assert_eq!(cores.place(None, true, 0), Ok(1));
        assert_eq!(cores.place(None, true, 0), Err(PlaceError::NoneLeft));
        assert_eq!(cores.place(None, false, 0), Ok(0));
        assert_eq!(cores.housekeeping(), (0, false));
    }

    #[test]
    fn budgets_are_at_most_a_cores_time() {
        let mut cores = cores(2);
        assert_eq!(cores.place(Some(0), false, 600_000_000), Ok(0));
        assert_eq!(
            cores.place(Some(0), false, 400_000_001),
            Err(PlaceError::Full(0))
        );
        assert_eq!(cores.place(Some(0), false, 400_000_000), Ok(0));
        assert_eq!(cores.place(Some(0), false, 0), Ok(0), "none asked for");
        assert_eq!(cores.place(None, false, 1_000_000_000), Ok(1));
        assert_eq!(cores.place(None, false, 1), Err(PlaceError::NoneLeft));
        assert_eq!(
            cores.place(None, false, u32::MAX),
            Err(PlaceError::NoneLeft)
        );
        assert_eq!(cores.place(None, false, 0), Ok(1));
    }

    proptest! {
        #[test]
        fn exclusive_vcpus_are_alone(
            asked in prop::collection::vec((prop::option::of(0_usize..6), any::<bool>()), 0..24),
        ) {
            let mut cores = cores(4);
            let mut placed = Vec::new();
            for (named, exclusive) in asked {
                if let Ok(position) = cores.place(named, exclusive, 0) {
                    prop_assert!(position < 4 && named.is_none_or(|named| named == position));
                    placed.push((position, exclusive));
                }
            }
            for &(position, exclusive) in &placed {
                let here = placed.iter().filter(|(other, _)| *other == position).count();
                prop_assert_eq!(here, cores.vcpus(position));
                prop_assert!(!exclusive || here == 1);
            }
        }
    }
}
