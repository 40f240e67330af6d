// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a device masters the bus.
//!
//! A tree says it of some devices, and of hardly any that it does not. So a device is taken to do
//! DMA unless it is of a kind that is known not to.

use crate::error::{NodeName, cut};
use crate::smmu::is_pci;
use crate::tree::NodeContext;

/// Whether a device does DMA: itself, not by an engine that it asks, which is a device of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dma {
    /// It is of a kind that does none.
    No,
    /// This one, which is the device or is in its pages, does, through SMMUs of [`crate::Board::smmus`] alone, as those
    /// do of which nothing worse is known.
    Behind(NodeName),
    /// Nothing is known of this one, which is the device or is in its pages.
    Unknown(NodeName),
    /// The tree says so of this one, which is the device or is in its pages.
    Yes(NodeName),
}

/// A transport of virtio (Virtio 1.2, section 4.2), which can be told to stop.
pub(crate) const VIRTIO: &[&str] = &["virtio,mmio"];

/// Kinds that have no way to master the bus, by their bindings in Linux's
/// Documentation/devicetree/bindings and their manuals. A kind whose later versions do (Qualcomm's GENI, for
/// one) is not here.
const SLAVES: &[&str] = &[
    // UARTs.
    "amlogic,meson-ao-uart",
    "amlogic,meson-gx-uart",
    "arm,pl011",
    "arm,sbsa-uart",
    "brcm,bcm2835-aux-uart",
    "cdns,uart-r1p12",
    "cdns,uart-r1p8",
    "fsl,imx21-uart",
    "fsl,imx6q-uart",
    "fsl,imx7ulp-lpuart",
    "fsl,ls1021a-lpuart",
    "mediatek,mt6577-uart",
    "ns16550",
    "ns16550a",
    "renesas,hscif",
    "renesas,scif",
    "snps,dw-apb-uart",
    "ti,am654-uart",
    "xlnx,xuartps",
    // Clocks that keep the date, and watchdogs.
    "allwinner,sun6i-a31-wdt",
    "amlogic,meson-gxbb-wdt",
    "arm,pl031",
    "arm,sbsa-gwdt",
    "arm,sp805",
    "cdns,wdt-r1p2",
    "fsl,imx21-wdt",
    "fsl,imx93-wdt",
    "qcom,kpss-wdt",
    "renesas,rcar-gen3-wdt",
    "snps,dw-wdt",
    "ti,j7-rti-wdt",
    "xlnx,zynqmp-rtc",
    // Timers and pulse widths.
    "amlogic,meson8-pwm-v2",
    "arm,sp804",
    "brcm,bcm2835-pwm",
    "cdns,ttc",
    "fsl,imx27-pwm",
    "fsl,imx6dl-gpt",
    "fsl,imx7ulp-pwm",
    "renesas,pwm-rcar",
    "renesas,rcar-gen3-cmt0",
    "renesas,rcar-gen3-cmt1",
    "renesas,tmu",
    "rockchip,rk3288-pwm",
    "rockchip,rk3288-timer",
    "rockchip,rk3328-pwm",
    "snps,dw-apb-timer",
    "ti,am3352-ecap",
    "ti,am3352-ehrpwm",
    "ti,am654-timer",
    // Pins.
    "arm,pl061",
    "fsl,imx35-gpio",
    "fsl,imx8ulp-gpio",
    "fsl,qoriq-gpio",
    "renesas,rcar-gen3-gpio",
    "rockchip,gpio-bank",
    "snps,dw-apb-gpio",
    "ti,keystone-gpio",
    "xlnx,zynq-gpio-1.0",
    "xlnx,zynqmp-gpio-1.0",
    // Serial buses.
    "allwinner,sun6i-a31-i2c",
    "amlogic,meson-axg-i2c",
    "amlogic,meson-gxbb-i2c",
    "arm,pl022",
    "brcm,bcm2835-i2c",
    "brcm,bcm2835-spi",
    "cdns,i2c-r1p10",
    "cdns,i2c-r1p14",
    "cdns,spi-r1p6",
    "fsl,imx21-i2c",
    "fsl,imx51-ecspi",
    "fsl,imx6ul-ecspi",
    "fsl,imx7ulp-lpi2c",
    "fsl,imx7ulp-spi",
    "fsl,vf610-i2c",
    "renesas,rcar-gen3-i2c",
    "rockchip,rk3066-spi",
    "rockchip,rk3399-i2c",
    "snps,designware-i2c",
    "snps,dw-apb-ssi",
    "ti,omap4-i2c",
    "ti,omap4-mcspi",
    // CAN, whose messages lie in memory of the controller's own; not so those of some with Bosch's M_CAN.
    "fsl,imx6q-flexcan",
    "fsl,imx8mp-flexcan",
    "fsl,imx8qm-flexcan",
    "fsl,imx93-flexcan",
    "fsl,imx95-flexcan",
    "fsl,lx2160ar1-flexcan",
    "renesas,rcar-gen3-can",
    "renesas,rcar-gen3-canfd",
    "rockchip,rk3568v2-canfd",
    "xlnx,zynq-can-1.0",
    // Converters of analog signals, and temperatures.
    "amlogic,meson-saradc",
    "nxp,imx8qxp-adc",
    "nxp,imx93-adc",
    "rockchip,rk3399-tsadc",
    "rockchip,rk3568-tsadc",
    "rockchip,rk3588-saradc",
    "rockchip,rk3588-tsadc",
    // Keyboards and random numbers.
    "amlogic,meson-rng",
    "arm,pl050",
    "brcm,bcm2711-rng200",
    "brcm,bcm2835-rng",
    "brcm,iproc-rng200",
    "rockchip,rk3568-rng",
    "rockchip,rk3588-rng",
];

impl Dma {
    /// Returns what is known of the device of this node, whose DMA is `behind` listed SMMUs or not.
    pub(crate) fn of(place: &NodeContext, behind: bool) -> Self {
        let says = ["dma-coherent", "dma-noncoherent", "iommus", "iommu-map"];
        let says = || is_pci(place) || says.iter().any(|says| place.property(says).is_some());
        let name = || cut(place.name());
        // A virtio device goes past an IOMMU unless its driver agrees to use it (Virtio 1.2, section 6).
        if place.is(VIRTIO) {
            Self::Yes(name())
        } else if behind {
            Self::Behind(name())
        } else if says() {
            Self::Yes(name())
        } else if place.is(SLAVES) {
            Self::No
        } else {
            Self::Unknown(name())
        }
    }

    /// Returns the worse of two.
    pub(crate) fn or(self, other: Self) -> Self {
        if self.rank() >= other.rank() {
            self
        } else {
            other
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::No => 0,
            Self::Behind(_) => 1,
            Self::Unknown(_) => 2,
            Self::Yes(_) => 3,
        }
    }
}
