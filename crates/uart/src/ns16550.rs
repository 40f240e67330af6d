// SPDX-License-Identifier: MIT OR Apache-2.0

//! National's 16550 (PC16550D data sheet, section 8) and the many that are like it: Synopsys' DesignWare APB UART (databook,
//! chapter 5), TI's UARTs since OMAP, MediaTek's, NVIDIA Tegra's, Socionext's. TI's stays in the mode that the firmware
//! chose in MDR1; MediaTek's keeps its speed's registers.

use core::sync::atomic::{AtomicU8, Ordering};

use platform::ConsoleKind;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_bitfields;

use crate::Driver;
use crate::frame::{Block, Register};

register_bitfields! {u32,
    /// RBR and THR.
    Data [
        DATA OFFSET(0) NUMBITS(8) [],
    ],
    /// IER. DesignWare's has PTIME in bit 7, which would turn the meaning of THRE around.
    InterruptEnable [
        /// Tegra: bytes wait, fewer than the trigger level, and none comes.
        TIMEOUT OFFSET(4) NUMBITS(1) [],
        TRANSMIT OFFSET(1) NUMBITS(1) [],
        RECEIVE OFFSET(0) NUMBITS(1) [],
    ],
    /// IIR.
    InterruptIdentification [
        FIFOS OFFSET(6) NUMBITS(2) [
            On = 0b11
        ],
        SOURCE OFFSET(0) NUMBITS(4) [
            /// DesignWare: LCR was written while the UART was busy.
            BusyDetect = 0x7,
            ReceiveTimeout = 0xc
        ],
    ],
    /// LSR.
    LineStatus [
        /// THRE: nothing waits to be sent.
        EMPTY OFFSET(5) NUMBITS(1) [],
        DATA_READY OFFSET(0) NUMBITS(1) [],
    ],
}

const DATA: Register<Data::Register> = Register::new(0);
const INTERRUPT_ENABLE: Register<InterruptEnable::Register> = Register::new(1);
const INTERRUPT_IDENTIFICATION: Register<InterruptIdentification::Register> = Register::new(2);
const LINE_STATUS: Register<LineStatus::Register> = Register::new(5);
/// DesignWare's UART status register.
const UART_STATUS: Register<()> = Register::new(0x1f);

/// Bytes that an empty transmit FIFO holds at least, if it is on.
const DEPTH: u8 = 16;

/// A 16550 or the like.
pub struct Ns16550<'f> {
    block: Block<'f>,
    kind: ConsoleKind,
    /// Bytes that an empty transmitter takes.
    depth: u8,
    /// Bytes that it still takes since it was last seen empty.
    room: AtomicU8,
}

impl<'f> Ns16550<'f> {
    /// Turns the interrupts off, and what else the firmware may have in their register.
    pub fn new(block: Block<'f>, kind: ConsoleKind) -> Self {
        use InterruptIdentification::FIFOS;
        block.at(INTERRUPT_ENABLE).set(0);
        let is_on = block.at(INTERRUPT_IDENTIFICATION).matches_all(FIFOS::On);
        Self {
            block,
            kind,
            depth: if is_on { DEPTH } else { 1 },
            room: AtomicU8::new(0),
        }
    }

    fn has_byte(&self) -> bool {
        self.block.at(LINE_STATUS).is_set(LineStatus::DATA_READY)
    }

    /// Ends interrupts that no byte comes with, but that would last.
    fn end_idle_interrupt(&self) {
        use InterruptIdentification::SOURCE::Value::{BusyDetect, ReceiveTimeout};
        let source = self
            .block
            .at(INTERRUPT_IDENTIFICATION)
            .read_as_enum(InterruptIdentification::SOURCE);
        match source {
            Some(BusyDetect) if self.kind == ConsoleKind::DwApb => {
                self.block.at(UART_STATUS).get();
            }
            Some(ReceiveTimeout) if !self.has_byte() => {
                self.block.at(DATA).get();
            }
            _ => {}
        }
    }
}

impl Driver for Ns16550<'_> {
    fn send(&self, byte: u8) -> bool {
        let is_empty = self.block.at(LINE_STATUS).is_set(LineStatus::EMPTY);
        let room = match is_empty {
            true => self.depth,
            false => self.room.load(Ordering::Relaxed),
        };
        let Some(left) = room.checked_sub(1) else {
            return false;
        };
        self.room.store(left, Ordering::Relaxed);
        self.block.at(DATA).write(Data::DATA.val(byte.into()));
        true
    }

    fn receive(&self) -> Option<u8> {
        if !self.has_byte() {
            self.end_idle_interrupt();
            return None;
        }
        Some(self.block.at(DATA).read(Data::DATA) as u8)
    }

    fn set_interrupts(&self, receive: bool, transmit: bool) {
        let timeout = receive && self.kind == ConsoleKind::Tegra;
        self.block.at(INTERRUPT_ENABLE).write(
            InterruptEnable::RECEIVE.val(receive.into())
                + InterruptEnable::TRANSMIT.val(transmit.into())
                + InterruptEnable::TIMEOUT.val(timeout.into()),
        );
    }
}
