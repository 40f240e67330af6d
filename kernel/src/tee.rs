// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's side of the OP-TEE mediator: real SMCs, guest memory and shadow pages.

use core::fmt;
use core::num::NonZeroU16;
use core::sync::atomic::{AtomicBool, Ordering};

use addr::{Ipa, PAGE_SIZE, Pa, PaRange};
use alloc::boxed::Box;
use board::Board;
use log::{debug, info};
use manifest::Guest as GuestManifest;
use mediator::{
    Config, Counters, CreateError, Denials, Dialect, Ending, Guest, Limits, Memory, NotRam, Regs,
    Results, Run, ShadowPages, SmcResults, Step, Stopped, TaPolicy, Usage, Uuid,
};
use platform::{Conduit, VcpuId, VmId};
use spin::Mutex;
use stage2::GuestRam;

pub use mediator::Optee;

use crate::arch::firmware;
use crate::memory;
use crate::trace::{Recorder, Steps};

/// One guest's OP-TEE.
pub struct Tee {
    state: Mutex<State>,
    /// Its quotas.
    pub limits: Limits,
    /// Whether OP-TEE is built for virtualization.
    shared: bool,
    /// Whether each step is shown as it comes.
    ///
    /// Protocol: a core may see it some steps late. The steps are under the lock.
    follow: AtomicBool,
}

struct State {
    guest: Guest<Recorder>,
    pool: Pool,
    /// What OP-TEE answered when it was asked last.
    admission: Result<(), CreateError>,
}

/// Why a guest has no OP-TEE, not even one to ask for admission.
#[derive(Clone, Copy, Debug)]
pub enum NoTee {
    /// The manifest does not give it one.
    Unwanted,
    /// There is none to share on this board.
    NoOptee,
    /// The board's can be had by one guest alone, which is not this one.
    NotOwner,
    /// There is no memory for its shadow pages.
    NoMemory,
}

impl fmt::Display for NoTee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unwanted => "its manifest gives it none",
            Self::NoOptee => "the board has none to share",
            Self::NotOwner => {
                "OP-TEE is not built for virtualization, so that one guest alone can have it: the one \
                 whose [guest.tee] says `owner = true`"
            }
            Self::NoMemory => "no free memory for its shadow pages",
        })
    }
}

/// What a guest has of OP-TEE, for the monitor.
pub struct Report {
    /// Whether OP-TEE has taken the guest.
    pub admission: Result<(), CreateError>,
    /// What it holds.
    pub usage: Usage,
    /// What it has done since it was made.
    pub counters: Counters,
    /// What its policy has refused.
    pub denials: Denials,
}

/// Shadow pages: RAM of EL2's own.
struct Pool {
    start: Pa,
    frames: u16,
}

impl Pool {
    /// Returns where `count` words of a frame begin.
    #[inline(always)]
    fn word(&self, frame: usize, word: usize, count: usize) -> u64 {
        const WORDS: usize = PAGE_SIZE as usize / 8;
        assert!(
            frame < usize::from(self.frames) && word < WORDS && count <= WORDS - word,
            "outside the shadow pages"
        );
        // In RAM, so that nothing wraps.
        self.start
            .0
            .wrapping_add(frame as u64 * PAGE_SIZE + 8 * word as u64)
    }
}

// Inlined, so that a few words stay in registers.
impl ShadowPages for Pool {
    #[inline(always)]
    fn pa(&self, frame: usize) -> Pa {
        Pa(self.word(frame, 0, 0))
    }

    #[inline(always)]
    fn read(&self, frame: usize, word: usize, words: &mut [u64]) {
        memory::read_physical(self.word(frame, word, words.len()), words);
    }

    #[inline(always)]
    fn write(&mut self, frame: usize, word: usize, words: &[u64]) {
        memory::write_physical(self.word(frame, word, words.len()), words);
    }
}

/// A guest's RAM as the mediator reaches it.
struct Ram<'a> {
    /// No RAM at all, if the guest has stopped.
    ram: &'a GuestRam,
    stopped: Option<Stopped>,
}

impl Ram<'_> {
    /// Reads what does not lie in the first region.
    #[cold]
    #[inline(never)]
    fn read_rest(&self, from: Ipa, words: &mut [u64]) -> Result<(), NotRam> {
        match &self.stopped {
            Some(stopped) => stopped.read(from, words),
            None if memory::read_pieces(self.ram, from, words) => Ok(()),
            None => Err(NotRam),
        }
    }

    /// Writes what does not lie in the first region.
    #[cold]
    #[inline(never)]
    fn write_rest(&self, to: Ipa, words: &[u64]) -> Result<(), NotRam> {
        match &self.stopped {
            Some(stopped) => stopped.write(to, words),
            None if memory::write_pieces(self.ram, to, words) => Ok(()),
            None => Err(NotRam),
        }
    }
}

// Inlined, so that a few words stay in registers.
impl Memory for Ram<'_> {
    #[inline(always)]
    fn read(&self, from: Ipa, words: &mut [u64]) -> Result<(), NotRam> {
        match memory::read_whole(self.ram, from, words) {
            true => Ok(()),
            false => self.read_rest(from, words),
        }
    }

    #[inline(always)]
    fn take<const N: usize>(&self, from: Ipa) -> Result<[u64; N], NotRam> {
        let mut words = [0; N];
        if memory::read_whole(self.ram, from, &mut words) {
            return Ok(words);
        }
        // In memory of its own, so that the others need none.
        let mut words = [0; N];
        self.read_rest(from, &mut words).map(|()| words)
    }

    #[inline(always)]
    fn write(&self, to: Ipa, words: &[u64]) -> Result<(), NotRam> {
        match memory::write_whole(self.ram, to, words) {
            true => Ok(()),
            false => self.write_rest(to, words),
        }
    }

    fn run(&self, at: Ipa) -> Option<Run> {
        self.ram.region(at).map(|region| Run {
            start: region.ipa,
            pa: region.pa,
            size: region.size,
        })
    }
}

#[inline]
fn smc(regs: [u64; 8]) -> Results {
    firmware::smc32(&regs.map(|x| x as u32)).map(u64::from)
}

/// The first digits of OP-TEE's commit, if it tells.
struct Commit(Option<u32>);

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |commit| write!(f, " ({commit:08x})"))
    }
}

/// Looks for OP-TEE where the device tree names it, and says what it found.
pub fn probe(board: &Board) -> Option<Optee> {
    let Some(node) = board.optee else {
        info!("the guests get no TEE: the device tree has no linaro,optee-tz node");
        return None;
    };
    if node.conduit != Conduit::Smc {
        info!("the guests get no TEE: OP-TEE's method is hvc, which names a hypervisor below us");
        return None;
    }
    match mediator::probe(smc) {
        Ok(optee) => {
            let [major, minor, commit] = optee.os_revision();
            let threads = optee.threads().unwrap_or(0);
            let whose = match optee.is_shared() {
                true => "for each guest",
                false => "for one guest alone: it is not built for virtualization",
            };
            // A release built from a tarball knows no commit.
            let commit = Commit((commit != 0).then_some(commit));
            info!("OP-TEE {major}.{minor}{commit}, {threads} threads {whose}");
            Some(optee)
        }
        Err(error) => {
            info!("the guests get no TEE: {error}");
            None
        }
    }
}

/// Returns the bytes of heap that [`Tee::new`] takes at most for this guest.
pub fn heap_needed(guest: &GuestManifest<'_>) -> u64 {
    guest.tee.as_ref().map_or(0, |tee| {
        let uuids = size_of_val(tee.allow) + size_of_val(tee.deny);
        (limits(tee).heap_bytes() + uuids.next_power_of_two()) as u64
    })
}

fn limits(tee: &manifest::Tee<'_>) -> Limits {
    let pages = (tee.max_shared / PAGE_SIZE) as u32;
    Limits {
        calls: tee.max_calls as u16,
        buffers: tee.max_buffers as u16,
        pages,
        sessions: tee.max_sessions as u16,
        // All of the quota in one buffer, and a page for each other list under way.
        list_frames: (pages.div_ceil(mediator::abi::LIST_ENTRIES as u32) + tee.max_calls) as u16,
    }
}

fn policy(tee: &manifest::Tee<'_>) -> TaPolicy {
    let list = |uuids: &[[u8; 16]]| -> Box<[Uuid]> { uuids.iter().copied().map(Uuid).collect() };
    if !tee.allow.is_empty() {
        TaPolicy::Only(list(tee.allow))
    } else if !tee.deny.is_empty() {
        TaPolicy::Except(list(tee.deny))
    } else {
        TaPolicy::Any
    }
}

impl Tee {
    /// Returns OP-TEE for guest `id`, as the manifest wants it, and announces the guest to it: where OP-TEE has no room for
    /// all, those that the manifest names first have it. `allocate` gives RAM for the shadow pages.
    pub fn new(
        id: VmId,
        guest: &GuestManifest<'_>,
        optee: Option<&Optee>,
        notifications: bool,
        allocate: impl FnOnce(u64) -> Option<PaRange>,
    ) -> Result<Self, NoTee> {
        let settings = guest.tee.as_ref().ok_or(NoTee::Unwanted)?;
        let optee = optee.ok_or(NoTee::NoOptee)?;
        if !optee.is_shared() && !settings.owner {
            info!("guest {} gets no TEE: {}", guest.name, NoTee::NotOwner);
            return Err(NoTee::NotOwner);
        }
        let config = Config {
            dialect: match settings.dialect {
                manifest::Dialect::Modern => Dialect::Modern,
                manifest::Dialect::Classic => Dialect::Classic,
            },
            limits: limits(settings),
            policy: policy(settings),
            rpmb: settings.rpmb,
            fresh: settings.fresh,
            max_vms: Some(settings.max_vms as u16),
            notifications: notifications && settings.notifications,
        };
        if config.policy == TaPolicy::Any {
            let name = guest.name;
            info!(
                "guest {name} may open every trusted application: see allow and deny in docs/manifest.md"
            );
        }
        let limits = config.limits;
        let client = NonZeroU16::MIN.saturating_add(id.0);
        let frames = limits.frames();
        let Some(room) = allocate(frames as u64 * PAGE_SIZE) else {
            info!("guest {} gets no TEE: {}", guest.name, NoTee::NoMemory);
            return Err(NoTee::NoMemory);
        };
        let pool = Pool {
            start: room.start,
            frames: frames as u16,
        };
        let tee = Self {
            state: Mutex::new(State {
                guest: Guest::new(optee, client, config, Recorder::new()),
                pool,
                admission: Ok(()),
            }),
            limits,
            shared: optee.is_shared(),
            follow: AtomicBool::new(false),
        };
        tee.create(guest.name);
        Ok(tee)
    }

    /// Announces the guest to OP-TEE. It may be refused: then it runs without OP-TEE, the reason is on the console, and
    /// its next start may ask again.
    pub fn create(&self, name: &str) {
        let mut state = self.state.lock();
        state.admission = state.guest.create(smc);
        debug!("guest {name}: OP-TEE takes it: {:?}", state.admission);
        if let Err(error) = state.admission {
            info!("guest {name} gets no TEE: {error}");
        }
    }

    /// Ends one of the things that the stopped guest has left in OP-TEE, as far as OP-TEE goes without
    /// an answer. `turn` counts the steps. Returns how many were left before that, 0 if none is left
    /// that can be ended.
    ///
    /// VM_DESTROYED alone would do for the guest, but not for others: the ASIDs of its user TAs,
    /// of which OP-TEE has 64 for all guests, would be lost (optee_os issue 6904).
    pub fn wind_down(&self, turn: u32) -> u32 {
        let (left, ending) = {
            let guest = &mut self.state.lock().guest;
            (guest.left(), guest.next_ending(turn as usize))
        };
        match ending {
            Ending::Call(regs, stopped) => {
                let ram = Ram {
                    ram: &GuestRam::new(),
                    stopped: Some(stopped),
                };
                self.drive(VcpuId(0), &regs, &ram);
            }
            Ending::Search => {}
            Ending::Nothing => return 0,
        }
        left
    }

    /// Does what the mediator says until it has an answer. OP-TEE is called without the lock, so
    /// that other vCPUs can call it at the same time.
    #[inline(never)]
    fn drive(&self, vcpu: VcpuId, regs: &Regs, memory: &Ram<'_>) -> SmcResults {
        let mut step = {
            let State { guest, pool, .. } = &mut *self.state.lock();
            guest.on_guest(vcpu, regs, memory, pool)
        };
        loop {
            match step {
                Step::Reply(results) => return results,
                Step::Secure(regs, token) => {
                    let results = firmware::smc32(&regs);
                    let State { guest, pool, .. } = &mut *self.state.lock();
                    step = guest.on_secure(token, results, memory, pool);
                }
            }
        }
    }

    /// Answers a call of the running guest called `name`, whose function id is a trusted OS's.
    pub fn call(&self, name: &str, vcpu: VcpuId, regs: &Regs, ram: &GuestRam) -> SmcResults {
        let ram = Ram { ram, stopped: None };
        let answer = self.drive(vcpu, regs, &ram);
        if self.follow.load(Ordering::Relaxed) {
            self.show_fresh(name);
        }
        answer
    }

    /// Tells whether OP-TEE's VM of the stopped guest can serve its next start: nothing is left in it, and
    /// the manifest does not ask for a fresh one.
    pub fn keep(&self) -> bool {
        self.state.lock().guest.keep()
    }

    /// Takes the guest called `name` out of OP-TEE. No vCPU of it is in the secure world.
    pub fn destroy(&self, name: &str) {
        let state = &mut *self.state.lock();
        let remains = state.guest.remains();
        let destroyed = state.guest.destroy(smc);
        assert!(
            destroyed.is_ok(),
            "a stopped guest is still in the secure world"
        );
        if !self.shared && remains.count() > 0 {
            info!("{name}: {}", CreateError::Remains(remains));
        }
    }

    /// Returns the newest steps of its calls.
    pub fn trace(&self) -> Steps {
        self.state.lock().guest.trace().kept()
    }

    /// Shows each step from now on, or no longer. True if it does.
    pub fn toggle_follow(&self) -> bool {
        let mut state = self.state.lock();
        state.guest.trace_mut().skip();
        !self.follow.fetch_xor(true, Ordering::Relaxed)
    }

    /// Shows the steps since the last time.
    #[cold]
    fn show_fresh(&self, name: &str) {
        let (steps, lost) = self.state.lock().guest.trace_mut().fresh();
        if lost > 0 {
            info!("{name}: {lost} steps are not shown");
        }
        steps.lines(name).for_each(|line| info!("{line}"));
    }

    /// Tells whether OP-TEE knows the guest.
    pub fn is_admitted(&self) -> bool {
        self.state.lock().guest.has_tee()
    }

    /// Returns what the guest has of OP-TEE.
    pub fn report(&self) -> Report {
        let state = self.state.lock();
        Report {
            admission: state.admission,
            usage: state.guest.usage(),
            counters: state.guest.counters(),
            denials: state.guest.denials(),
        }
    }

    /// Returns the bytes of RAM for shadow pages.
    pub fn shadow_bytes(&self) -> u64 {
        u64::from(self.state.lock().pool.frames) * PAGE_SIZE
    }

    /// Tells whether the guest is offered asynchronous notifications.
    pub fn offers_notifications(&self) -> bool {
        self.state.lock().guest.offers_notifications()
    }

    /// Tells whether the guest has asked for asynchronous notifications.
    pub fn wants_notifications(&self) -> bool {
        self.state.lock().guest.wants_notifications()
    }
}
