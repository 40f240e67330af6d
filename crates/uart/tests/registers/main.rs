// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each driver against a model of its UART's registers.
mod armada3700;
mod bench;
mod cadence;
mod geni;
mod imx;
mod linflex;
mod lpuart;
mod meson;
mod mini_uart;
mod msm_uartdm;
mod ns16550;
mod pl011;
mod samsung;
mod scif;
mod sprd;
mod stm32;
