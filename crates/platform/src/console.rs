// SPDX-License-Identifier: MIT OR Apache-2.0

/// How the board's console is driven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsoleKind {
    /// Arm PL011 (DDI 0183).
    Pl011,
    /// The PL011 subset of the Arm SBSA: always on, no line settings.
    Sbsa,
    /// The Raspberry Pi's mini UART (BCM2835 ARM Peripherals, chapter 2).
    Bcm2835Aux,
    /// Cadence's UART in Xilinx' SoCs (UG1087, module "UART").
    Cadence,
    /// National's 16550 and what is like it, as far as a console goes.
    Ns16550,
    /// Synopsys' DesignWare APB UART: a 16550 that also interrupts when it was written to while busy.
    DwApb,
    /// NVIDIA Tegra's 16550, whose timeout is an interrupt of its own.
    Tegra,
    /// The UART of NXP's i.MX (IMX8MPRM).
    Imx,
    /// NXP's LPUART with registers of 32 bits (IMX8ULPRM, LS1028ARM).
    Lpuart,
    /// The UART of Amlogic's Meson (S905X data sheet).
    Meson,
    /// Renesas' SCIF and HSCIF (R-Car Series, 3rd Generation, User's Manual).
    Scif,
    /// Qualcomm's GENI serial engine as a UART.
    Geni,
    /// Samsung's UART since the S5PV210 (Exynos 4210 User's Manual).
    Samsung,
    /// Qualcomm's UARTDM 1.4.
    MsmUartdm,
    /// The first UART of Marvell's Armada 3700.
    Armada3700,
    /// The USART of ST's STM32 since the H7 (RM0457).
    Stm32,
    /// NXP's LINFlexD as a UART (S32G2RM).
    Linflex,
    /// Spreadtrum's and Unisoc's UART.
    Sprd,
}

/// The width of an access to a device's register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessWidth {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
}

impl AccessWidth {
    /// Returns how many bytes it has.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
        }
    }
}

/// Where a UART has its registers, and how they are accessed: register number `n` is at `offset` + (`n` << `shift`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegisterLayout {
    /// Bytes before register number 0.
    pub offset: u32,
    /// Binary logarithm of the distance from one register to the next.
    pub shift: u8,
    /// How wide an access is, unless the register has a width of its own.
    pub width: AccessWidth,
    /// Whether bytes are the other way round than the core's.
    pub is_big_endian: bool,
}

impl RegisterLayout {
    /// Registers of 32 bits, numbered by their offsets in bytes.
    pub const WORDS: Self = Self::packed(AccessWidth::Word, 0);
    /// A register a byte.
    pub const BYTES: Self = Self::packed(AccessWidth::Byte, 0);

    /// Returns the layout with this width and shift, from offset 0 on.
    pub const fn packed(width: AccessWidth, shift: u8) -> Self {
        Self {
            offset: 0,
            shift,
            width,
            is_big_endian: false,
        }
    }

    /// Returns this layout with the other order of bytes than the core's.
    pub const fn big_endian(self) -> Self {
        Self {
            is_big_endian: true,
            ..self
        }
    }

    /// Returns this layout from `offset` on.
    pub const fn from(self, offset: u32) -> Self {
        Self { offset, ..self }
    }

    /// Returns where register number `number` is.
    pub const fn at(&self, number: u16) -> u64 {
        self.offset as u64 + ((number as u64) << self.shift)
    }
}
