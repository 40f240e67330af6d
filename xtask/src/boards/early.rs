// SPDX-License-Identifier: MIT OR Apache-2.0

//! The UART that an image speaks by before it has read the device tree: its place is compiled in.

use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};

/// The end of what the image's early tables span.
const END: u64 = 1 << 39;

/// How a byte is sent: once `status & mask == ready`, it is written to `data`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EarlyConsole {
    data: u64,
    status: u64,
    mask: u64,
    ready: u64,
    is_byte_wide: bool,
}

impl EarlyConsole {
    /// The console of QEMU's virt machine.
    pub const VIRT: Self = Self::pl011(0x0900_0000);

    /// UARTDR and UARTFR.TXFF (DDI 0183G).
    const fn pl011(at: u64) -> Self {
        Self::words([at, at + 0x18], 1 << 5, 0)
    }

    /// The FIFO, and TXFULL of the channel's status (UG1087, module "UART").
    const fn cadence(at: u64) -> Self {
        Self::words([at + 0x30, at + 0x2c], 1 << 4, 0)
    }

    /// THR, and THRE of LSR, the register with the number 5.
    const fn ns16550(at: u64, shift: u32, is_byte_wide: bool) -> Self {
        Self {
            is_byte_wide,
            ..Self::words([at, at + (5 << shift)], 1 << 5, 1 << 5)
        }
    }

    /// The others that want no more than a look at a flag: who sends where, and which flag says what
    /// (`crates/uart/src/KIND.rs`).
    fn by_flag(kind: &str, at: u64) -> Option<Self> {
        Some(match kind {
            "imx" => Self::words([at + 0x40, at + 0xb4], 1 << 4, 0),
            "lpuart" => Self::words([at + 0x1c, at + 0x14], 1 << 23, 1 << 23),
            "meson" => Self::words([at, at + 0x0c], 1 << 21, 0),
            "samsung" => Self::words([at + 0x20, at + 0x18], 1 << 24, 0),
            "stm32" => Self::words([at + 0x28, at + 0x1c], 1 << 7, 1 << 7),
            "armada3700" => Self::words([at + 0x04, at + 0x0c], 1 << 11, 0),
            _ => return None,
        })
    }

    const fn words([data, status]: [u64; 2], mask: u64, ready: u64) -> Self {
        Self {
            data,
            status,
            mask,
            ready,
            is_byte_wide: false,
        }
    }

    /// Returns what the build finds in its environment.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("TEEVISOR_EARLY_DATA", self.data),
            ("TEEVISOR_EARLY_STATUS", self.status),
            ("TEEVISOR_EARLY_MASK", self.mask),
            ("TEEVISOR_EARLY_READY", self.ready),
            ("TEEVISOR_EARLY_IS_BYTE_WIDE", self.is_byte_wide.into()),
        ]
        .map(|(name, value)| (name, value.to_string()))
    }
}

impl FromStr for EarlyConsole {
    type Err = Error;

    /// Reads `KIND@ADDRESS`, of a 16550 with `,REG-SHIFT,REG-IO-WIDTH` as the device tree has them.
    fn from_str(text: &str) -> Result<Self> {
        const FORM: &str = "KIND@ADDRESS with KIND pl011, mini-uart, cadence, imx, lpuart, meson, \
                            samsung, stm32 or armada3700, or 8250@ADDRESS,REG-SHIFT,REG-IO-WIDTH, \
                            such as pl011@0x9000000";
        let (kind, rest) = text.split_once('@').context(FORM)?;
        let mut fields = rest.split(',');
        let at = number(fields.next().unwrap_or_default()).context(FORM)?;
        let rest = fields
            .map(number)
            .collect::<Option<Vec<_>>>()
            .context(FORM)?;
        ensure!(
            at.is_multiple_of(4) && at < END,
            "{at:#x} is not where a UART can be"
        );
        Ok(match (kind, rest.as_slice()) {
            ("pl011", []) => Self::pl011(at),
            ("cadence", []) => Self::cadence(at),
            ("mini-uart", []) => Self::ns16550(at, 2, false),
            ("8250", []) => Self::ns16550(at, 0, true),
            ("8250", &[shift @ 0..=4, width @ (1 | 4)]) => {
                ensure!(width == 1 || shift >= 2, "words are 4 bytes apart");
                Self::ns16550(at, shift as u32, width == 1)
            }
            (kind, []) => Self::by_flag(kind, at).context(FORM)?,
            _ => bail!(FORM),
        })
    }
}

/// Reads a decimal number, or a hexadecimal one behind 0x.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> (u64, u64, u64, u64, bool) {
        let uart: EarlyConsole = text.parse().unwrap();
        (
            uart.data,
            uart.status,
            uart.mask,
            uart.ready,
            uart.is_byte_wide,
        )
    }

    #[test]
    fn each_kind_has_its_registers() {
        assert_eq!(
            fields("pl011@0x9000000"),
            (0x0900_0000, 0x0900_0018, 0x20, 0, false)
        );
        assert_eq!(
            fields("cadence@0xff000000"),
            (0xff00_0030, 0xff00_002c, 0x10, 0, false)
        );
        // AUX_MU_IO_REG and AUX_MU_LSR_REG of the BCM2711.
        assert_eq!(
            fields("mini-uart@0xfe215040"),
            (0xfe21_5040, 0xfe21_5054, 0x20, 0x20, false)
        );
        assert_eq!(fields("8250@0x3f8"), (0x3f8, 0x3fd, 0x20, 0x20, true));
        assert_eq!(
            fields("8250@0xff1a0000,2,4"),
            (0xff1a_0000, 0xff1a_0014, 0x20, 0x20, false)
        );
        assert_eq!(fields("8250@4096,2,1"), (4096, 4116, 0x20, 0x20, true));
        assert_eq!(
            fields("imx@0x30890000"),
            (0x3089_0040, 0x3089_00b4, 0x10, 0, false)
        );
        // i.MX has four registers before the ones that all LPUARTs have.
        assert_eq!(
            fields("lpuart@0x44380000"),
            (0x4438_001c, 0x4438_0014, 1 << 23, 1 << 23, false)
        );
    }

    #[test]
    fn what_is_no_uart_is_refused() {
        for text in [
            "",
            "pl011",
            "pl011@",
            "pl011@0x9000001",
            "pl011@0x8000000000",
            "pl011@0x9000000,2,4",
            "8250@0x9000000,2",
            "8250@0x9000000,1,4",
            "8250@0x9000000,2,8",
            "8250@0x9000000,9,1",
            "uart@0x9000000",
        ] {
            assert!(text.parse::<EarlyConsole>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_build_gets_decimal_numbers() {
        let values = EarlyConsole::VIRT.environment().map(|(_, value)| value);
        assert_eq!(values, ["150994944", "150994968", "32", "0", "0"]);
    }
}
