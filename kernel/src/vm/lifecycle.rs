//! Starting, stopping and restarting a guest.
//!
//! A stop is asked for by raising the guest's epoch and kicking its cores. Each core leaves the
//! guest, and the last one to have left ends it: only then does nothing of the guest run, at EL1
//! or in the secure world, and its OP-TEE client and its memory can be given up.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use addr::VcpuId;
use log::{error, info};
use spin::Mutex;

use super::{Vm, images, vcpu::Start};
use crate::arch::firmware;

/// What becomes of a guest once it has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays off.
    Off,
    /// It starts again as at boot.
    Restart,
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "it stops",
            Self::Restart => "it restarts",
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Running,
    Stopping { after: After, cores_left: usize },
    Off,
}

/// A guest's state, and the numbers of stops asked for and of restarts so far.
pub struct Life {
    state: Mutex<State>,
    epoch: AtomicU32,
    restarts: AtomicU32,
}

impl Life {
    /// A guest that has not started.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State::Off),
            epoch: AtomicU32::new(0),
            restarts: AtomicU32::new(0),
        }
    }

    /// Changes each time the guest must be left.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// How often the guest was started anew.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Whether nothing of the guest runs.
    pub fn is_off(&self) -> bool {
        matches!(*self.state.lock(), State::Off)
    }

    /// Whether a stop was asked for and not every core has left the guest.
    pub fn is_stopping(&self) -> bool {
        matches!(*self.state.lock(), State::Stopping { .. })
    }
}

/// Starts the guest for the first time: its RAM holds what firmware, boot loader or an earlier run
/// of the board left there.
pub fn start_first(vm: &Vm) {
    images::scrub(vm);
    start(vm);
}

/// Lays out the guest's images and starts its first vCPU. The guest is stopped.
fn start(vm: &Vm) {
    if let Err(error) = images::lay_out(vm) {
        error!("{}: {error}", vm.name);
        *vm.life.state.lock() = State::Off;
        return;
    }
    *vm.life.state.lock() = State::Running;
    vm.devices.start();
    let context = vm.images.tree.0;
    vm.start_vcpu(
        VcpuId(0),
        Start {
            entry: vm.images.entry.0,
            context,
        },
    );
}

/// Asks for the guest to be stopped; a stop under way goes on as it was asked for.
pub fn stop(vm: &Vm, after: After) {
    leave(vm, after, |state| matches!(state, State::Running));
}

/// The same, as the guest is lost: `why` says how. The vCPU on this core has not left it yet, so
/// the line comes before those of its end.
pub fn lost(vm: &Vm, after: After, why: fmt::Arguments<'_>) {
    if leave(vm, after, |state| matches!(state, State::Running)) {
        info!("{}: {why}: {after}", vm.name);
    }
}

/// Asks for a guest that is off to be started by its own cores, as a restart is: they have the
/// time that it takes.
pub fn start_again(vm: &Vm) {
    leave(vm, After::Restart, |state| matches!(state, State::Off));
}

/// Whether the guest was in a state to leave.
fn leave(vm: &Vm, after: After, from: impl FnOnce(State) -> bool) -> bool {
    let mut state = vm.life.state.lock();
    let leaves = from(*state);
    if leaves {
        *state = State::Stopping {
            after,
            cores_left: vm.vcpus.len(),
        };
        vm.life.epoch.fetch_add(1, Ordering::Release);
        drop(state);
        vm.vcpus.iter().for_each(|vcpu| crate::irq::kick(vcpu.core));
    }
    leaves
}

/// A core has left the guest after a stop was asked for.
pub fn left(vm: &Vm) {
    let mut state = vm.life.state.lock();
    let State::Stopping { after, cores_left } = &mut *state else {
        return;
    };
    *cores_left -= 1;
    let after = *after;
    if *cores_left == 0 {
        drop(state);
        end(vm, after);
    }
}

/// Ends the guest, which no core runs any more.
fn end(vm: &Vm, after: After) {
    if let Ok(tee) = &vm.tee {
        tee.destroy();
    }
    vm.reset_devices();
    images::scrub(vm);
    match after {
        // Until it runs again it is still stopping: another guest's end must not take it for off.
        After::Restart => {
            vm.life.restarts.fetch_add(1, Ordering::Relaxed);
            info!("{}: restarted", vm.name);
            if let Ok(tee) = &vm.tee {
                tee.create(&vm.name);
            }
            start(vm);
        }
        After::Off => {
            *vm.life.state.lock() = State::Off;
            info!("{}: off", vm.name);
            power_off_if_last();
        }
    }
}

/// Powers the board off when no guest runs any more.
pub fn power_off_if_last() {
    if super::all().iter().all(|vm| vm.life.is_off()) {
        info!("all guests are off: powering the board off");
        firmware::system_off();
        error!("the firmware cannot power the board off");
    }
}
