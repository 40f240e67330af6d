// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of virtio-mmio (4.2.2).

use addr::Ipa;

use crate::queue::{Layout, MAX_SIZE};
use crate::registers::*;

/// Feature: the device is not a legacy one (6). Without it a driver is refused.
pub const VERSION_1: u64 = 1 << 32;
/// Feature: used_event and avail_event (2.7.10).
pub const EVENT_IDX: u64 = 1 << 29;

/// Some of a device's queues, by a bit for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Queues(u32);

impl Queues {
    /// Tells whether it is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns their numbers.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..u32::BITS as usize).filter(move |queue| self.0 >> queue & 1 == 1)
    }
}

/// What a write is to do outside the registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Effect {
    /// Nothing.
    None,
    /// These queues start, stop or start anew: each gets what [`Transport::queue`] has for it, before the guest goes
    /// on.
    Queues(Queues),
    /// The driver has made buffers of this queue available.
    Notify(usize),
}

/// What the driver has written of a queue.
#[derive(Clone, Copy, Debug)]
struct Setup {
    size: u16,
    is_ready: bool,
    descriptors: u64,
    available: u64,
    used: u64,
}

impl Setup {
    const NEW: Self = Self {
        size: 0,
        is_ready: false,
        descriptors: 0,
        available: 0,
        used: 0,
    };

    /// The address that a register is a half of.
    fn address(&mut self, offset: u64) -> &mut u64 {
        match offset & !4 {
            QUEUE_DESC_LOW => &mut self.descriptors,
            QUEUE_DRIVER_LOW => &mut self.available,
            _ => &mut self.used,
        }
    }

    /// Whether it is what a driver may ask for (2.7).
    fn is_sound(&self) -> bool {
        self.size.is_power_of_two()
            && self.size <= MAX_SIZE
            && self.descriptors.is_multiple_of(16)
            && self.available.is_multiple_of(2)
            && self.used.is_multiple_of(4)
    }
}

/// The registers of a device with so many queues, 32 at most.
#[derive(Clone, Debug)]
pub struct Transport<const QUEUES: usize> {
    device: u32,
    /// What the device offers.
    offered: u64,
    /// What the driver has chosen of it.
    chosen: u64,
    device_sel: u32,
    driver_sel: u32,
    queue_sel: u32,
    queues: [Setup; QUEUES],
    status: u32,
    interrupts: u32,
    generation: u32,
}

impl<const QUEUES: usize> Transport<QUEUES> {
    /// Makes the registers of a device of this kind (5), which offers these features besides [`VERSION_1`] and
    /// [`EVENT_IDX`].
    pub const fn new(device: u32, features: u64) -> Self {
        Self {
            device,
            offered: features | VERSION_1 | EVENT_IDX,
            chosen: 0,
            device_sel: 0,
            driver_sel: 0,
            queue_sel: 0,
            queues: [Setup::NEW; QUEUES],
            status: 0,
            interrupts: 0,
            generation: 0,
        }
    }

    /// Goes back to the state that a guest starts with. All its queues are to be stopped too.
    pub fn reset(&mut self) {
        *self = Self {
            generation: self.generation,
            ..Self::new(self.device, self.offered)
        };
    }

    /// Returns the level of the interrupt.
    pub fn level(&self) -> bool {
        self.interrupts != 0
    }

    /// Tells whether driver and device have agreed on a feature.
    pub fn has(&self, feature: u64) -> bool {
        self.status & FEATURES_OK != 0 && self.chosen & feature != 0
    }

    /// Returns where a queue is, if the device may use it now.
    pub fn queue(&self, queue: usize) -> Option<Layout> {
        let setup = self.queues.get(queue)?;
        (self.is_live() && setup.is_ready).then_some(Layout {
            size: setup.size,
            descriptors: Ipa(setup.descriptors),
            available: Ipa(setup.available),
            used: Ipa(setup.used),
            event_idx: self.chosen & EVENT_IDX != 0,
        })
    }

    /// Notes that the device has used buffers that the driver wants to be interrupted for. True if the interrupt's
    /// level has risen by that. A device that was reset in the meantime does not interrupt.
    pub fn interrupt(&mut self) -> bool {
        self.raise(USED_BUFFER)
    }

    /// Notes that the device's configuration has changed. True if the interrupt's level has risen by that.
    pub fn config_changed(&mut self) -> bool {
        self.generation = self.generation.wrapping_add(1);
        self.raise(CONFIG_CHANGE)
    }

    /// Gives up until the driver resets the device, which is told of it if it is listening. All queues are to be
    /// stopped. True if the interrupt's level has risen.
    pub fn fail(&mut self) -> bool {
        let rises = self.raise(CONFIG_CHANGE);
        self.status |= NEEDS_RESET;
        rises
    }

    fn raise(&mut self, cause: u32) -> bool {
        let was = self.level();
        if self.is_live() {
            self.interrupts |= cause;
        }
        self.level() && !was
    }

    /// Whether the driver is there and nothing has gone wrong.
    fn is_live(&self) -> bool {
        self.status & (DRIVER_OK | NEEDS_RESET | FAILED) == DRIVER_OK
    }

    /// Reads `size` bytes at `offset` in the frame, where the device's own configuration is `config`.
    ///
    /// Registers are read as aligned words, the configuration in any way; all else is zero.
    pub fn read(&self, offset: u64, size: u8, config: &[u8]) -> u64 {
        match offset.checked_sub(CONFIG) {
            Some(at) => bytes(config, at, size),
            None if size == 4 => self.register(offset).into(),
            None => 0,
        }
    }

    /// Writes the low `size` bytes of `value` at `offset` in the frame. Writes that are not of an aligned word do
    /// nothing, and neither do writes of the configuration, which is the device's alone.
    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> Effect {
        let value = value as u32;
        match offset {
            _ if size != 4 => {}
            DEVICE_FEATURES_SEL => self.device_sel = value,
            DRIVER_FEATURES_SEL => self.driver_sel = value,
            DRIVER_FEATURES => self.choose(value),
            QUEUE_SEL => self.queue_sel = value,
            QUEUE_NUM | QUEUE_DESC_LOW..=QUEUE_DEVICE_HIGH => self.set_up(offset, value),
            QUEUE_READY => return self.set_ready(value & 1 != 0),
            QUEUE_NOTIFY => return self.notified(value),
            INTERRUPT_ACK => self.interrupts &= !value,
            STATUS => return self.set_status(value),
            _ => {}
        }
        Effect::None
    }

    fn register(&self, offset: u64) -> u32 {
        match offset {
            MAGIC_VALUE => MAGIC,
            VERSION => 2,
            DEVICE_ID => self.device,
            VENDOR_ID => VENDOR,
            DEVICE_FEATURES => half(self.offered, self.device_sel),
            QUEUE_NUM_MAX => self.selected().map_or(0, |_| MAX_SIZE.into()),
            QUEUE_READY => self.selected().map_or(0, |setup| setup.is_ready.into()),
            INTERRUPT_STATUS => self.interrupts,
            STATUS => self.status,
            SHM_LEN_LOW..=SHM_BASE_HIGH if offset.is_multiple_of(4) => u32::MAX,
            CONFIG_GENERATION => self.generation,
            _ => 0,
        }
    }

    fn selected(&self) -> Option<&Setup> {
        self.queues.get(self.queue_sel as usize)
    }

    /// Takes a half of what the driver chooses, which stands once FEATURES_OK is set (3.1.1).
    fn choose(&mut self, value: u32) {
        let shift = match self.driver_sel {
            0 => 0,
            1 => 32,
            _ => return,
        };
        if self.status & FEATURES_OK == 0 {
            self.chosen = self.chosen & !(0xffff_ffff << shift) | u64::from(value) << shift;
        }
    }

    /// Sets the size or a half of an address of the selected queue, as long as the device doesn't use it (4.2.3.2).
    fn set_up(&mut self, offset: u64, value: u32) {
        let Some(setup) = self.queues.get_mut(self.queue_sel as usize) else {
            return;
        };
        if setup.is_ready {
            return;
        }
        match offset {
            // What is no size at all is none of these.
            QUEUE_NUM => setup.size = u16::try_from(value).unwrap_or(0),
            QUEUE_DESC_LOW | QUEUE_DRIVER_LOW | QUEUE_DEVICE_LOW => {
                let address = setup.address(offset);
                *address = *address & !0xffff_ffff | u64::from(value);
            }
            QUEUE_DESC_HIGH | QUEUE_DRIVER_HIGH | QUEUE_DEVICE_HIGH => {
                let address = setup.address(offset);
                *address = *address & 0xffff_ffff | u64::from(value) << 32;
            }
            _ => {}
        }
    }

    fn set_ready(&mut self, is_ready: bool) -> Effect {
        let live = self.is_live();
        let number = self.queue_sel;
        let Some(setup) = self.queues.get_mut(number as usize) else {
            return Effect::None;
        };
        if setup.is_ready == is_ready {
            return Effect::None;
        }
        if is_ready && !setup.is_sound() {
            self.fail();
            return self.all();
        }
        setup.is_ready = is_ready;
        match live {
            true => Effect::Queues(Queues(1 << number)),
            false => Effect::None,
        }
    }

    fn notified(&self, queue: u32) -> Effect {
        match self.queue(queue as usize) {
            Some(_) => Effect::Notify(queue as usize),
            None => Effect::None,
        }
    }

    /// Takes the driver's progress (2.1, 3.1.1). A driver sets one bit after the other and clears none but by a
    /// reset: a bit whose predecessors are missing is ignored, and so is FEATURES_OK with features that can't be.
    fn set_status(&mut self, value: u32) -> Effect {
        if value == 0 {
            self.reset();
            return self.all();
        }
        let was_live = self.is_live();
        self.status |= value & (ACKNOWLEDGE | FAILED);
        self.advance(value, ACKNOWLEDGE, DRIVER);
        if self.chosen & !self.offered == 0 && self.chosen & VERSION_1 != 0 {
            self.advance(value, DRIVER, FEATURES_OK);
        }
        self.advance(value, FEATURES_OK, DRIVER_OK);
        match self.is_live() == was_live {
            true => Effect::None,
            false => self.all(),
        }
    }

    fn advance(&mut self, value: u32, from: u32, to: u32) {
        if self.status & from != 0 {
            self.status |= value & to;
        }
    }

    fn all(&self) -> Effect {
        Effect::Queues(Queues(((1_u64 << QUEUES) - 1) as u32))
    }
}

/// Returns the half of a set of features that a selector stands for.
fn half(features: u64, selector: u32) -> u32 {
    match selector {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

/// Reads a little-endian number at `at`, zeros behind the end.
fn bytes(config: &[u8], at: u64, size: u8) -> u64 {
    let byte = |n: u64| config.get(usize::try_from(n).ok()?).copied();
    let bytes = (0..u64::from(size.min(8))).map(|n| byte(at.saturating_add(n)).unwrap_or(0));
    bytes
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(byte))
}
