// SPDX-License-Identifier: MIT OR Apache-2.0

//! The operator at the board's console: which guest gets what is typed, whose output is shown,
//! and the monitor. Only bytes that the physical UART received come here.
//!
//! It all happens in interrupts of the housekeeping core, so each step is short: what takes time is asked of
//! the guest's own cores, and what has several lines is told a line at a time ([`answers`]).

mod answers;

use conmux::View;
use log::info;
use monitor::{Act, Command, Event, HELP, KEYS, Keyboard, PROMPT};
use spin::Mutex;
use vuart::Received;

use crate::console::{self, Typist};
use crate::vm::{
    self, Vm,
    lifecycle::{self, State, StopAction},
};
use crate::{arch::timer, tee::Tee};
use answers::Answer;

/// How long what is typed waits in the UART for a guest that reads none, in milliseconds.
const PATIENCE: u64 = 1000;

struct Operator {
    keyboard: Keyboard,
    /// The number of the guest that is typed to.
    focus: usize,
    view: View,
    /// Since when what is typed waits for its guest; 0: it does not.
    waits_since: u64,
    answer: Answer,
}

static OPERATOR: Mutex<Operator> = Mutex::new(Operator {
    keyboard: Keyboard::new(),
    focus: 0,
    view: View::All,
    waits_since: 0,
    answer: Answer::NOTHING,
});

/// Types to the first guest, once the guests exist. One that is alone needs no name.
pub fn start() {
    let mut operator = OPERATOR.lock();
    if let [_] = vm::all() {
        operator.set_view(View::One(0));
    }
    operator.focus(0);
}

/// Takes what is typed at the console.
pub const TYPIST: Typist = Typist {
    has_room,
    typed,
    tell,
};

/// Handles a byte that the UART received. It is cold, so that it is not inlined into the path of a
/// guest's interrupts.
#[cold]
fn typed(byte: u8) {
    let mut operator = OPERATOR.lock();
    match operator.keyboard.feed(byte) {
        Event::Nothing => return,
        Event::Send(byte) => return send(operator.focus, byte),
        Event::SendTo(guest, byte) => return send(guest, byte),
        Event::Typed(byte) => {
            return console::echo(byte, format_args!("{PROMPT}{}", operator.keyboard.line()));
        }
        Event::Focus(guest) => operator.focus(guest),
        Event::Next => operator.next(),
        Event::ToggleView => operator.toggle_view(),
        Event::Keys => operator.answer = Answer::lines(&KEYS),
        Event::UnknownKey => info!("no such key: Ctrl-] ? for help"),
        Event::Opened => info!("the monitor: `help` lists the commands, `quit` closes it"),
        Event::Changed => {}
        Event::Closed => console::end_prompt(),
        Event::Run(line) => {
            console::end_prompt();
            operator.run(&line);
        }
    }
    operator.show_prompt();
}

/// Tells the next line of what was asked for. True if there may be more.
fn tell() -> bool {
    let mut operator = OPERATOR.lock();
    let focus = operator.focus;
    let told = operator.answer.tell(focus);
    if told && operator.answer.is_over() {
        operator.show_prompt();
    }
    !operator.answer.is_over()
}

fn send(guest: usize, byte: u8) {
    let Some(vm) = vm::all().get(guest) else {
        return;
    };
    console::attend(guest);
    let name = &vm.name;
    match vm.uart_receive(byte) {
        Received::Kept | Received::LostToo => {}
        Received::Lost => info!("{name} does not read: what is typed is lost"),
        Received::KeptAfter(lost) => info!("{name} reads again: {lost} typed bytes were lost"),
    }
}

/// Tells whether a byte may be read from the UART. If the guest that is typed to has no room for it, it
/// waits there, but not for a guest that stands still, and not for ever: the operator's own keys
/// come the same way.
fn has_room() -> bool {
    let mut operator = OPERATOR.lock();
    if !operator.answer.is_over() {
        return false;
    }
    let full = match vm::all().get(operator.focus) {
        Some(vm) => vm.uart_is_full() && state(vm) == "running",
        None => false,
    };
    if !full || operator.keyboard.is_open() {
        operator.waits_since = 0;
        return true;
    }
    let now = timer::now();
    if operator.waits_since == 0 {
        operator.waits_since = now;
    }
    now - operator.waits_since > timer::frequency() * PATIENCE / 1000
}

impl Operator {
    fn focus(&mut self, guest: usize) {
        let Some(vm) = vm::all().get(guest) else {
            info!("there is no guest {}", guest + 1);
            return;
        };
        self.focus = guest;
        let off = if vm.life.is_off() {
            ", which is off"
        } else {
            ""
        };
        // Before the first of its lines without a name.
        info!("keys go to {}{off}; Ctrl-] ? for help", vm.name);
        if let View::One(_) = self.view {
            self.set_view(View::One(guest));
        }
        console::attend(guest);
    }

    fn next(&mut self) {
        let next = self.focus + 1;
        self.focus(if next < vm::all().len() { next } else { 0 });
    }

    fn toggle_view(&mut self) {
        match self.view {
            View::All => {
                // Before the first of its lines without a name.
                info!("only {}'s output is shown", vm::all()[self.focus].name);
                self.set_view(View::One(self.focus));
            }
            View::One(_) => {
                self.set_view(View::All);
                info!("all guests' output is shown");
            }
        }
    }

    fn set_view(&mut self, view: View) {
        self.view = view;
        console::show(view);
    }

    /// Shows the monitor's prompt, if it is open and there is nothing to tell first.
    fn show_prompt(&self) {
        if self.keyboard.is_open() && self.answer.is_over() {
            console::prompt(format_args!("{PROMPT}{}", self.keyboard.line()));
        }
    }

    fn run(&mut self, line: &str) {
        let vms = vm::all();
        let find = |name: &str| vms.iter().position(|vm| vm.name == name);
        match monitor::parse(line, vms.len(), find) {
            Err(error) => info!("{error}"),
            Ok(Command::Nothing) => {}
            Ok(Command::List) => self.answer = Answer::guests(),
            Ok(Command::Memory) => self.answer = Answer::memory(),
            Ok(Command::Tee(None)) => self.answer = Answer::tees(0, vms.len()),
            Ok(Command::Tee(Some(guest))) => self.answer = Answer::tees(guest, guest + 1),
            Ok(Command::Trace(guest)) => self.answer = Answer::trace(guest),
            Ok(Command::Follow(guest)) => follow(&vms[guest]),
            Ok(Command::Guest(Act::Focus, guest)) => self.focus(guest),
            Ok(Command::Guest(act, guest)) => change(act, &vms[guest]),
            Ok(Command::Help) => self.answer = Answer::lines(&HELP),
            Ok(Command::Quit) => self.keyboard.close(),
        }
    }
}

fn state(vm: &Vm) -> &'static str {
    match vm.life.state() {
        State::Off => "off",
        State::Delayed => "delayed",
        State::Preparing(_) | State::Opening(_) | State::Scrubbing(StopAction::Restart, _) => {
            "starting"
        }
        State::Running if vm.life.is_paused() => "paused",
        State::Running => "running",
        State::Stopping(..)
        | State::Leaving(..)
        | State::Parting(_)
        | State::Shutting(..)
        | State::Scrubbing(..) => "stopping",
    }
}

/// Returns the guest's OP-TEE, or a line that says why it has none.
fn tee_of(vm: &Vm) -> Option<&Tee> {
    let tee = vm.tee.as_ref();
    tee.inspect_err(|reason| info!("{}: no OP-TEE: {reason}", vm.name))
        .ok()
}

fn follow(vm: &Vm) {
    if let Some(tee) = tee_of(vm) {
        let shown = if tee.toggle_follow() {
            ""
        } else {
            "no longer "
        };
        info!("{}: its calls to OP-TEE are {shown}shown", vm.name);
    }
}

fn change(act: Act, vm: &Vm) {
    let before = state(vm);
    let done = match act {
        Act::Reset => lifecycle::reset(vm),
        Act::Stop => lifecycle::turn_off(vm),
        Act::Start => lifecycle::start(vm),
        Act::Pause => hold(vm, true),
        Act::Resume => hold(vm, false),
        // Of the operator, not of the guest.
        Act::Focus => true,
    };
    match (done, before) {
        (true, _) => {}
        (false, "off") => info!("{} is off: `start` turns it on", vm.name),
        (false, _) => info!("{} is {before} already", vm.name),
    }
}

fn hold(vm: &Vm, paused: bool) -> bool {
    let changes = lifecycle::pause(vm, paused);
    if changes {
        let said = if paused { "paused" } else { "resumed" };
        info!("{}: {said}", vm.name);
    }
    changes
}
