// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the monitor tells, a line at a time: the operator's commands have no bound on their lines, and the
//! housekeeping core's interrupts wait no longer than for one.

use boot::Layout;
use log::info;
use mediator::{Asked, Denial, Denials, Usage};
use monitor::{DeniedLine, GuestLine, TeeCounters, TeeUsage, VcpuLine};

use super::{state, tee_of};
use crate::arch::timer;
use crate::trace::Steps;
use crate::vm::{self, Vm, vcpu};
use crate::{console, heap, tee::Tee};

/// What is told, and how far.
pub struct Answer {
    what: What,
    next: usize,
    /// As they were when they were asked for.
    steps: Steps,
}

enum What {
    Nothing,
    /// These lines.
    Lines(&'static [&'static str]),
    /// The guests and their vCPUs.
    Guests,
    /// EL2's own memory.
    Memory,
    /// OP-TEE as these guests use it.
    Tees(usize, usize),
    /// The steps of this guest's calls.
    Trace(usize),
}

/// Lines of a guest's OP-TEE: three of numbers, the denials that are kept, and one for the others.
const TEE_LINES: usize = 3 + Denials::KEPT + 1;

impl Answer {
    /// Nothing to tell.
    pub const NOTHING: Self = Self::new(What::Nothing);

    const fn new(what: What) -> Self {
        Self {
            what,
            next: 0,
            steps: Steps::NONE,
        }
    }

    /// Tells these lines.
    pub fn lines(lines: &'static [&'static str]) -> Self {
        Self::new(What::Lines(lines))
    }

    /// Tells of each guest and its vCPUs.
    pub fn guests() -> Self {
        Self::new(What::Guests)
    }

    /// Tells of EL2's own memory.
    pub fn memory() -> Self {
        Self::new(What::Memory)
    }

    /// Tells of OP-TEE as guests number `first` to `end` - 1 use it.
    pub fn tees(first: usize, end: usize) -> Self {
        Self::new(What::Tees(first, end))
    }

    /// Tells the newest steps of a guest's calls to OP-TEE.
    pub fn trace(guest: usize) -> Self {
        let vm = &vm::all()[guest];
        let Some(tee) = tee_of(vm) else {
            return Self::NOTHING;
        };
        let steps = tee.trace();
        if steps.lines(&vm.name).next().is_none() {
            info!("{}: it has not called OP-TEE", vm.name);
        }
        Self {
            steps,
            ..Self::new(What::Trace(guest))
        }
    }

    /// Tells whether all is told.
    pub fn is_over(&self) -> bool {
        matches!(self.what, What::Nothing)
    }

    /// Tells the next line, if there is room for it; keys go to guest number `focus`. True if it was told, or if that
    /// was the end.
    pub fn tell(&mut self, focus: usize) -> bool {
        if self.is_over() || !console::has_room() {
            return false;
        }
        let n = self.next;
        self.next += 1;
        let told = match &self.what {
            What::Nothing => false,
            What::Lines(lines) => lines.get(n).map(|line| info!("{line}")).is_some(),
            What::Guests => guest_line(n, focus),
            What::Memory => memory_line(n),
            What::Tees(first, end) => {
                let guest = first + n / TEE_LINES;
                let more = guest < *end;
                if more {
                    tee_line(&vm::all()[guest], n % TEE_LINES);
                }
                more
            }
            What::Trace(guest) => {
                let line = self.steps.lines(&vm::all()[*guest].name).nth(n);
                line.map(|line| info!("{line}")).is_some()
            }
        };
        if !told {
            *self = Self::NOTHING;
        }
        true
    }
}

/// Tells line `n` of the table of guests and vCPUs. False if there is none.
fn guest_line(n: usize, focus: usize) -> bool {
    let mut left = n;
    for (index, vm) in vm::all().iter().enumerate() {
        match left.checked_sub(1) {
            None => {
                show_guest(index, vm, focus);
                return true;
            }
            Some(number) if number < vm.vcpus.len() => {
                show_vcpu(vm, number);
                return true;
            }
            Some(number) => left = number - vm.vcpus.len(),
        }
    }
    false
}

fn show_guest(index: usize, vm: &Vm, focus: usize) {
    let line = GuestLine {
        number: index + 1,
        name: &vm.name,
        state: state(vm),
        ram: vm.ram.size(),
        restarts: vm.life.restarts(),
        priority: vm.share.priority,
        budget: vm
            .share
            .budget
            .map(|it| (microseconds(it.budget), microseconds(it.period))),
        has_keys: index == focus,
        dropped: console::dropped(index),
        device_interrupts: vm.devices.counts(),
    };
    info!("{line}");
}

fn show_vcpu(vm: &Vm, number: usize) {
    let vcpu = &vm.vcpus[number];
    let costs = vcpu.costs.shown();
    let line = VcpuLine {
        number,
        core: vcpu.core,
        state: match vcpu.state() {
            vcpu::State::Off => "off",
            vcpu::State::Ready => "ready",
            vcpu::State::Running => "running",
            vcpu::State::Waiting => "waiting",
        },
        milliseconds: vcpu.time(timer::now()) / (timer::frequency() / 1000).max(1),
        serrors: vcpu.serrors(),
        traps: costs.traps,
        kicks: costs.kicks,
        waits: costs.waits,
    };
    info!("{line}");
}

/// Returns so many ticks, of the second at most, in microseconds.
fn microseconds(ticks: u64) -> u32 {
    (ticks * 1_000_000 / timer::frequency().max(1)) as u32
}

/// Tells line `n` of EL2's own memory; the heap's first block lies in the image. False if there is none.
fn memory_line(n: usize) -> bool {
    let layout = Layout::get();
    let image = layout.end - layout.start;
    let (used, total) = heap::usage();
    let pages: u64 = vm::all()
        .iter()
        .filter_map(|vm| Some(vm.tee.as_ref().ok()?.shadow_bytes()))
        .sum();
    let all = image + (total - heap::BOOT_HEAP) as u64 + pages;
    let guests: u64 = vm::all().iter().map(|vm| vm.ram.size()).sum();
    match n {
        0 => info!(
            "image {} KiB, heap {} of {} KiB in use ({} KiB of it in the image), shadow pages {} KiB",
            image >> 10,
            used >> 10,
            total >> 10,
            heap::BOOT_HEAP >> 10,
            pages >> 10,
        ),
        1 => info!(
            "{} KiB in all; guests have {} MiB; {} allocations since all cores serve guests",
            all >> 10,
            guests >> 20,
            heap::late_allocations()
        ),
        _ => return false,
    }
    true
}

/// Tells line `n` of a guest's OP-TEE; some say nothing.
fn tee_line(vm: &Vm, n: usize) {
    let tee = match n {
        0 => tee_of(vm),
        _ => vm.tee.as_ref().ok(),
    };
    let Some(tee) = tee else {
        return;
    };
    let report = tee.report();
    let counters = report.counters;
    match (n, report.admission) {
        (0, Err(error)) => info!("{}: no OP-TEE: {error}", vm.name),
        (_, Err(_)) => {}
        (0, Ok(())) => show_usage(&vm.name, tee, report.usage),
        (1, Ok(())) => show_counters(&[
            ("messages", counters.calls),
            ("fast calls", counters.fast),
            ("RPCs to the guest", counters.rpcs),
            ("answered here", counters.rpcs_answered),
        ]),
        (2, Ok(())) => show_counters(&[
            ("interrupted", counters.interrupts),
            ("long lists", counters.chunks),
            ("refused", counters.refusals),
            ("turned away", counters.turned_away),
        ]),
        (n, Ok(())) => show_denial(&report.denials, n - 3),
    }
}

fn show_usage(name: &str, tee: &Tee, usage: Usage) {
    let limits = &tee.limits;
    let shown = TeeUsage {
        calls: (usage.calls, limits.calls.into()),
        inside: usage.inside,
        buffers: (usage.buffers, limits.buffers.into()),
        pages: (usage.pages, limits.pages),
        lists: (usage.list_frames, limits.list_frames.into()),
    };
    info!("{name}: {shown}");
}

fn show_counters(counters: &[(&str, u64)]) {
    info!("{}", TeeCounters(counters));
}

/// Tells application number `n` that was refused, or behind the last one how often others were.
fn show_denial(denials: &Denials, n: usize) {
    match denials.iter().nth(n) {
        Some(Denial { uuid, asked, times }) => {
            let line = DeniedLine {
                uuid: uuid.0,
                load: asked == Asked::Load,
                times,
            };
            info!("{line}");
        }
        None if n == Denials::KEPT && denials.others > 0 => {
            info!("  denied: other applications, times: {}", denials.others);
        }
        None => {}
    }
}
