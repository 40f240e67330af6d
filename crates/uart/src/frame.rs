// SPDX-License-Identifier: MIT OR Apache-2.0

//! How drivers reach registers.

use core::marker::PhantomData;

use platform::{AccessWidth, RegisterLayout};
use tock_registers::RegisterLongName;
use tock_registers::interfaces::{Readable, Writeable};

/// A UART's registers: on a board its device memory. Any core may reach them.
pub trait Frame: Sync {
    /// Reads at `offset` bytes from the start.
    fn read(&self, offset: u64, width: AccessWidth) -> u32;
    /// Writes at `offset` bytes from the start.
    fn write(&self, offset: u64, width: AccessWidth, value: u32);
}

/// The registers of a UART, by their numbers.
pub struct Block<'f> {
    pub frame: &'f dyn Frame,
    pub layout: RegisterLayout,
}

impl Block<'_> {
    /// Returns access to a register.
    #[inline]
    pub fn at<R>(&self, register: Register<R>) -> Access<'_, R> {
        Access(self, register)
    }

    fn read(&self, number: u16, width: Option<AccessWidth>) -> u32 {
        let width = width.unwrap_or(self.layout.width);
        let value = self.frame.read(self.layout.at(number), width);
        self.in_order(value, width)
    }

    fn write(&self, number: u16, width: Option<AccessWidth>, value: u32) {
        let width = width.unwrap_or(self.layout.width);
        let value = self.in_order(value, width);
        self.frame.write(self.layout.at(number), width, value);
    }

    /// Returns a value that is in the core's order of bytes in the registers', or the other way round.
    fn in_order(&self, value: u32, width: AccessWidth) -> u32 {
        match width {
            AccessWidth::Word if self.layout.is_big_endian => value.swap_bytes(),
            AccessWidth::Half if self.layout.is_big_endian => (value as u16).swap_bytes().into(),
            _ => value,
        }
    }
}

/// A register's number, its width if that is not the layout's, and the names of its fields.
pub struct Register<R>(u16, Option<AccessWidth>, PhantomData<R>);

impl<R> Register<R> {
    /// Returns the register with this number.
    pub const fn new(number: u16) -> Self {
        Self(number, None, PhantomData)
    }

    /// Returns the register with this number, which is as wide on any bus.
    pub const fn of_width(number: u16, width: AccessWidth) -> Self {
        Self(number, Some(width), PhantomData)
    }
}

/// Access to a register, as tock-registers has it.
pub struct Access<'b, R>(&'b Block<'b>, Register<R>);

impl<R: RegisterLongName> Readable for Access<'_, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn get(&self) -> u32 {
        self.0.read(self.1.0, self.1.1)
    }
}

impl<R: RegisterLongName> Writeable for Access<'_, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn set(&self, value: u32) {
        self.0.write(self.1.0, self.1.1, value);
    }
}
