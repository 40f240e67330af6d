// SPDX-License-Identifier: MIT OR Apache-2.0

//! The state of one interrupt.

use crate::lr::{Lr, Origin, State};

/// The vCPU number that stands for none.
pub(crate) const NOBODY: u8 = 0xff;

/// One interrupt of one guest: one per SPI, and one per vCPU for each SGI and PPI.
///
/// Its pending and active states are *tokens*: `flush` moves them into a list register, where
/// the guest's acknowledge and deactivation work on them unseen, and `sync` moves back what is
/// left. While it is resident there, `latch`, `sources` and `active` hold only what came
/// since. So a token is always in exactly one place and can be neither lost nor doubled.
#[derive(Clone, Debug)]
pub(crate) struct Irq {
    pub(crate) enabled: bool,
    pub(crate) group1: bool,
    pub(crate) edge: bool,
    pub(crate) priority: u8,
    /// GICD_IROUTER's affinity (GICv3) or GICD_ITARGETSR's byte (GICv2) as the guest wrote it.
    pub(crate) route: u32,
    /// The vCPU it goes to when it is pending, or [`NOBODY`].
    pub(crate) target: u8,

    /// The input of a level-sensitive interrupt.
    pub(crate) line: bool,
    /// Pending on an edge, a write to GICD_ISPENDR, an SGI (GICv3) or a physical interrupt.
    pub(crate) latch: bool,
    /// GICv2 SGIs: pending from these vCPUs.
    pub(crate) sources: u8,
    pub(crate) active: bool,
    /// GICv2 SGIs: the vCPU whose SGI is active.
    pub(crate) active_source: u8,
    /// The physical interrupt is active and waits for the guest to be done with this one.
    pub(crate) owed: bool,
    pub(crate) pintid: u16,

    /// The vCPU where it is active or resident.
    pub(crate) owner: u8,
    /// The vCPU in whose work set it is, or [`NOBODY`].
    pub(crate) listed: u8,
    pub(crate) resident: Option<Resident>,
}

/// What is known of an interrupt that lies in a list register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    /// What was put there.
    pub(crate) state: State,
    /// Its pending state came from `latch`, not from the line alone.
    pub(crate) latched: bool,
    /// A maintenance interrupt tells when the guest is done with it.
    pub(crate) told: bool,
    /// The guest has cleared the pending state meanwhile.
    pub(crate) drop_pending: bool,
    /// The guest has cleared the active state meanwhile.
    pub(crate) drop_active: bool,
}

impl Irq {
    pub(crate) const fn new(edge: bool, group1: bool, enabled: bool, target: u8) -> Self {
        Self {
            enabled,
            group1,
            edge,
            priority: 0,
            route: 0,
            target,
            line: false,
            latch: false,
            sources: 0,
            active: false,
            active_source: 0,
            owed: false,
            pintid: 0,
            owner: NOBODY,
            listed: NOBODY,
            resident: None,
        }
    }

    /// Pending as far as known outside the list registers.
    pub(crate) const fn is_pending(&self) -> bool {
        self.latch || self.sources != 0 || (self.line && !self.edge)
    }

    /// Pending and enabled, in a group that is enabled.
    pub(crate) const fn is_deliverable(&self, groups: [bool; 2]) -> bool {
        self.is_pending() && self.enabled && groups[self.group1 as usize]
    }

    /// What GICD_ISPENDR shows: for one in a list register, the last that was known.
    pub(crate) fn shows_pending(&self) -> bool {
        let there = |r: &Resident| r.state.is_pending() && !r.drop_pending;
        self.is_pending() || self.resident.as_ref().is_some_and(there)
    }

    /// What GICD_ISACTIVER shows: for one in a list register, the last that was known.
    pub(crate) fn shows_active(&self) -> bool {
        let there = |r: &Resident| r.state.is_active() && !r.drop_active;
        self.active || self.resident.as_ref().is_some_and(there)
    }

    pub(crate) fn clear_pending(&mut self) {
        self.latch = false;
        if let Some(resident) = &mut self.resident {
            resident.drop_pending = true;
        }
    }

    pub(crate) fn clear_active(&mut self) {
        self.active = false;
        if let Some(resident) = &mut self.resident {
            resident.drop_active = true;
        }
    }

    /// The physical interrupt is owed a deactivation that no guest action will bring any more.
    pub(crate) const fn is_abandoned(&self) -> bool {
        self.owed && !self.active && !self.latch && self.resident.is_none()
    }

    /// Moves the tokens into a list register of `vcpu`. `sgi_by_source` says that this is a
    /// GICv2 SGI, whose every source is an interrupt of its own.
    #[inline(always)]
    pub(crate) fn load(
        &mut self,
        intid: u32,
        vcpu: u8,
        groups: [bool; 2],
        sgi_by_source: bool,
    ) -> Lr {
        if self.active {
            return self.load_active(intid, vcpu, groups, sgi_by_source);
        }
        let source = self.sources.trailing_zeros() as u8 & 0b111;
        let latched = core::mem::take(&mut self.latch);
        self.sources &= !(1 << source);
        self.enter(intid, vcpu, State::Pending, latched, source, sgi_by_source)
    }

    #[inline(never)]
    fn load_active(&mut self, intid: u32, vcpu: u8, groups: [bool; 2], sgi_by_source: bool) -> Lr {
        let deliverable = self.is_deliverable(groups) && self.target == vcpu;
        let state = match deliverable && self.can_pend_while_active(sgi_by_source) {
            true => State::PendingActive,
            false => State::Active,
        };
        let source = self.active_source;
        let latched = state.is_pending() && self.latch;
        if state.is_pending() {
            self.latch = false;
            self.sources &= !(1 << source);
        }
        self.active = false;
        self.enter(intid, vcpu, state, latched, source, sgi_by_source)
    }

    /// Makes it resident.
    #[inline(always)]
    fn enter(
        &mut self,
        intid: u32,
        vcpu: u8,
        state: State,
        latched: bool,
        source: u8,
        sgi_by_source: bool,
    ) -> Lr {
        // What stays pending here has to be looked at when the guest is done. A hardware
        // interrupt has no room for that wish in the register: then the physical one stays
        // ours to deactivate.
        let more = self.is_pending();
        let hardware = self.owed && !more;
        let told = !hardware && more;
        let source = if sgi_by_source { source } else { 0 };
        let origin = if hardware {
            self.owed = false;
            Origin::Hardware(self.pintid)
        } else {
            Origin::Software { eoi: told, source }
        };
        self.owner = vcpu;
        self.resident = Some(Resident {
            state,
            latched,
            told,
            drop_pending: false,
            drop_active: false,
        });
        Lr {
            intid: intid as u16,
            priority: self.priority,
            group1: self.group1,
            state,
            origin,
        }
    }

    /// Both states at once are for edges alone: a level is sampled again when the guest is
    /// done, the physical GIC keeps the pending state of a hardware interrupt (IHI 0069H,
    /// ICH_LR\<n\>_EL2.HW), and a register names a single source of a GICv2 SGI.
    const fn can_pend_while_active(&self, sgi_by_source: bool) -> bool {
        self.edge && !self.owed && !sgi_by_source
    }

    /// Takes the tokens back from the list register, as the guest left it.
    #[inline(always)]
    pub(crate) fn unload(&mut self, lr: Lr, sgi_by_source: bool) {
        let Some(resident) = self.resident.take() else {
            return;
        };
        let source = match lr.origin {
            // A register that went inactive has deactivated the physical interrupt.
            Origin::Hardware(_) => {
                self.owed |= lr.state != State::Inactive;
                0
            }
            Origin::Software { source, .. } => source & 0b111,
        };
        if lr.state.is_pending() && !resident.drop_pending {
            if sgi_by_source {
                self.sources |= 1 << source;
            } else {
                self.latch |= resident.latched;
            }
        }
        if lr.state.is_active() && !resident.drop_active {
            self.active = true;
            self.active_source = source;
        }
    }
}
