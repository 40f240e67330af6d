// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tree's nodes.

use crate::{Device, GuestTree, PciHost, Tee};
use addr::Ipa;
use alloc::format;
use alloc::vec::Vec;
use platform::{Conduit, GicVersion};
use vm_fdt::{Error, FdtWriter};

const GIC_PHANDLE: u32 = 1;
const UART_CLOCK_PHANDLE: u32 = 2;
/// The first of those of devices' clocks.
const CLOCK_PHANDLES: u32 = 3;

/// The UART's clock. The virtual UART has no line speed; drivers want to divide it all the same.
const UART_CLOCK: u32 = 24_000_000;

const SPI: u32 = 0;
const PPI: u32 = 1;
const EDGE: u32 = 1;
const LEVEL: u32 = 4;

/// INTIDs of timers that a guest has no access to, but whose place in the list is fixed
/// (Arm BSA, PPI assignments).
const SECURE_TIMER_INTID: u32 = 29;
const HYPERVISOR_TIMER_INTID: u32 = 26;

type Result<T = ()> = core::result::Result<T, Error>;

/// A tree being written.
pub(crate) struct Nodes(FdtWriter);

impl Nodes {
    pub fn new() -> Result<Self> {
        FdtWriter::new().map(Self)
    }

    pub fn finish(self) -> Result<Vec<u8>> {
        self.0.finish()
    }

    /// Writes node `name` with what `content` adds.
    fn node(&mut self, name: &str, content: impl FnOnce(&mut Self) -> Result) -> Result {
        let node = self.0.begin_node(name)?;
        content(self)?;
        self.0.end_node(node)
    }

    pub fn root(&mut self, children: impl FnOnce(&mut Self) -> Result) -> Result {
        self.node("", |nodes| {
            nodes.text("compatible", "teevisor,virt")?;
            nodes.text("model", "teevisor virtual platform")?;
            nodes.cells("#address-cells", &[2])?;
            nodes.cells("#size-cells", &[2])?;
            nodes.cells("interrupt-parent", &[GIC_PHANDLE])?;
            children(nodes)
        })
    }

    pub fn chosen(&mut self, guest: &GuestTree) -> Result {
        let uart = uart_name();
        self.node("chosen", |nodes| {
            nodes.text("stdout-path", &format!("/{uart}"))?;
            nodes.text("bootargs", guest.bootargs)?;
            // Each start has its own seeds. Without, a Linux guest initializes its random number
            // generator over and over on every system call, and lies where it always does.
            nodes.0.property("rng-seed", &[0; 64])?;
            nodes.0.property_u64("kaslr-seed", 0)?;
            if let Some((start, end)) = guest.initrd {
                nodes.0.property_u64("linux,initrd-start", start.0)?;
                nodes.0.property_u64("linux,initrd-end", end.0)?;
            }
            Ok(())
        })?;
        self.node("aliases", |nodes| {
            nodes.text("serial0", &format!("/{uart}"))
        })
    }

    pub fn cpus(&mut self, vcpus: u8) -> Result {
        self.node("cpus", |nodes| {
            nodes.cells("#address-cells", &[1])?;
            nodes.cells("#size-cells", &[0])?;
            (0..u32::from(vcpus)).try_for_each(|number| nodes.cpu(number))
        })
    }

    fn cpu(&mut self, number: u32) -> Result {
        self.node(&format!("cpu@{number:x}"), |nodes| {
            nodes.text("device_type", "cpu")?;
            nodes.text("compatible", "arm,armv8")?;
            nodes.text("enable-method", "psci")?;
            nodes.cells("reg", &[number])
        })
    }

    pub fn memory(&mut self, start: Ipa, size: u64) -> Result {
        self.node(&format!("memory@{:x}", start.0), |nodes| {
            nodes.text("device_type", "memory")?;
            nodes.reg(&[(start, size)])
        })
    }

    pub fn psci(&mut self, conduit: Conduit) -> Result {
        self.node("psci", |nodes| {
            nodes.texts("compatible", &["arm,psci-1.0", "arm,psci-0.2"])?;
            nodes.method(conduit)
        })
    }

    pub fn timer(&mut self, frequency: Option<u32>) -> Result {
        let timers = [
            SECURE_TIMER_INTID,
            platform::PHYSICAL_TIMER_INTID,
            platform::VIRTUAL_TIMER_INTID,
            HYPERVISOR_TIMER_INTID,
        ];
        self.node("timer", |nodes| {
            nodes.text("compatible", "arm,armv8-timer")?;
            nodes.cells(
                "interrupts",
                timers.map(|intid| [PPI, intid - 16, LEVEL]).as_flattened(),
            )?;
            nodes.0.property_null("always-on")?;
            frequency.map_or(Ok(()), |hz| nodes.cells("clock-frequency", &[hz]))
        })
    }

    pub fn gic(&mut self, version: GicVersion, vcpus: u8) -> Result {
        let distributor = (platform::GICD_BASE, platform::GICD_SIZE);
        let redistributors = (
            platform::GICR_BASE,
            platform::GICR_STRIDE * u64::from(vcpus),
        );
        let cpu_interface = (platform::GICC_BASE, platform::GICC_SIZE);
        let (compatible, second) = match version {
            GicVersion::V2 => ("arm,cortex-a15-gic", cpu_interface),
            GicVersion::V3 => ("arm,gic-v3", redistributors),
        };
        self.node(
            &format!("interrupt-controller@{:x}", platform::GICD_BASE.0),
            |nodes| {
                nodes.text("compatible", compatible)?;
                nodes.0.property_null("interrupt-controller")?;
                nodes.cells("#interrupt-cells", &[3])?;
                nodes.cells("#address-cells", &[0])?;
                nodes.reg(&[distributor, second])?;
                nodes.0.property_phandle(GIC_PHANDLE)
            },
        )
    }

    pub fn uart(&mut self) -> Result {
        self.clock("apb-pclk", UART_CLOCK, UART_CLOCK_PHANDLE)?;
        self.node(&uart_name(), |nodes| {
            nodes.texts("compatible", &["arm,pl011", "arm,primecell"])?;
            nodes.reg(&[(platform::UART_BASE, platform::UART_SIZE)])?;
            nodes.cells("interrupts", &[SPI, platform::UART_INTID - 32, LEVEL])?;
            nodes.cells("clocks", &[UART_CLOCK_PHANDLE; 2])?;
            nodes.texts("clock-names", &["uartclk", "apb_pclk"])
        })
    }

    pub fn watchdog(&mut self) -> Result {
        let control = platform::WATCHDOG_CONTROL_BASE;
        self.node(&format!("watchdog@{:x}", control.0), |nodes| {
            nodes.text("compatible", "arm,sbsa-gwdt")?;
            nodes.reg(&[
                (control, platform::WATCHDOG_SIZE),
                (platform::WATCHDOG_REFRESH_BASE, platform::WATCHDOG_SIZE),
            ])?;
            nodes.cells("interrupts", &[SPI, platform::WATCHDOG_INTID - 32, LEVEL])
        })
    }

    pub fn firmware(&mut self, conduit: Conduit, tee: Tee) -> Result {
        self.node("firmware", |nodes| {
            nodes.node("optee", |nodes| {
                nodes.text("compatible", "linaro,optee-tz")?;
                nodes.method(conduit)?;
                // An interrupt that is checked to be an SPI is at least 32.
                let specifier = tee.interrupt.map(|intid| [SPI, intid - 32, EDGE]);
                specifier.map_or(Ok(()), |cells| nodes.cells("interrupts", &cells))
            })
        })
    }

    /// Writes the board's devices, behind the clocks that they have.
    pub fn devices(&mut self, devices: &[Device]) -> Result {
        let mut clocks = Vec::new();
        for device in devices {
            let mut phandles = Vec::new();
            for hz in device.clocks {
                phandles.push(self.clock_at(*hz, &mut clocks)?);
            }
            self.device(device, &phandles)?;
        }
        Ok(())
    }

    /// Returns the phandle of a clock at `hz`, which is among the `clocks` or joins them.
    fn clock_at(&mut self, hz: u32, clocks: &mut Vec<u32>) -> Result<u32> {
        let known = clocks.iter().position(|other| *other == hz);
        let phandle = CLOCK_PHANDLES + known.unwrap_or(clocks.len()) as u32;
        if known.is_none() {
            self.clock(&format!("clock-{hz}"), hz, phandle)?;
            clocks.push(hz);
        }
        Ok(phandle)
    }

    fn clock(&mut self, name: &str, hz: u32, phandle: u32) -> Result {
        self.node(name, |nodes| {
            nodes.text("compatible", "fixed-clock")?;
            nodes.cells("#clock-cells", &[0])?;
            nodes.cells("clock-frequency", &[hz])?;
            nodes.0.property_phandle(phandle)
        })
    }

    /// Writes a device, which is checked to have registers and no interrupt but SPIs.
    fn device(&mut self, device: &Device, clocks: &[u32]) -> Result {
        let at = device.registers.first().map_or(0, |(start, _)| start.0);
        self.node(&format!("{}@{at:x}", device.name), |nodes| {
            for (name, value) in device.properties {
                nodes.0.property(name, value)?;
            }
            nodes.reg(device.registers)?;
            if let Some(host) = &device.pci {
                nodes.pci(host)?;
            }
            if !clocks.is_empty() {
                nodes.cells("clocks", clocks)?;
            }
            let specifiers: Vec<_> = device.interrupts.iter().copied().map(spi).collect();
            match specifiers.as_flattened() {
                [] => Ok(()),
                cells => nodes.cells("interrupts", cells),
            }
        })
    }

    /// Writes what a PCI host bridge has besides `reg` (Linux binding host-generic-pci), without a way to send MSIs: what
    /// takes them is no guest's.
    fn pci(&mut self, host: &PciHost) -> Result {
        self.text("compatible", "pci-host-ecam-generic")?;
        self.text("device_type", "pci")?;
        self.cells("#address-cells", &[3])?;
        self.cells("#size-cells", &[2])?;
        let (first, last) = host.buses;
        self.cells("bus-range", &[first.into(), last.into()])?;
        let high = |number: u64| [(number >> 32) as u32, number as u32];
        let windows = host.windows.iter().flat_map(|window| {
            let numbers = [window.bus, window.start.0, window.size].map(high);
            core::iter::once(window.space).chain(numbers.concat())
        });
        self.cells("ranges", &windows.collect::<Vec<_>>())?;
        if host.coherent {
            self.0.property_null("dma-coherent")?;
        }
        if host.pins.is_empty() {
            return Ok(());
        }
        // The GIC's unit address has no cells.
        let pins = host.pins.iter().flat_map(|pin| {
            let parent = core::iter::once(GIC_PHANDLE).chain(spi(pin.interrupt));
            pin.key.into_iter().chain(parent)
        });
        self.cells("#interrupt-cells", &[1])?;
        self.cells("interrupt-map", &pins.collect::<Vec<_>>())?;
        self.cells("interrupt-map-mask", &host.pin_mask)
    }

    fn method(&mut self, conduit: Conduit) -> Result {
        self.text("method", conduit.name())
    }

    fn text(&mut self, name: &str, value: &str) -> Result {
        self.0.property_string(name, value)
    }

    fn texts(&mut self, name: &str, values: &[&str]) -> Result {
        self.0
            .property_string_list(name, values.iter().map(|&value| value.into()).collect())
    }

    fn cells(&mut self, name: &str, cells: &[u32]) -> Result {
        self.0.property_array_u32(name, cells)
    }

    fn reg(&mut self, entries: &[(Ipa, u64)]) -> Result {
        let cells: Vec<u64> = entries
            .iter()
            .flat_map(|(start, size)| [start.0, *size])
            .collect();
        self.0.property_array_u64("reg", &cells)
    }
}

/// Returns the specifier of an interrupt that is checked to be an SPI.
fn spi((intid, edge): (u32, bool)) -> [u32; 3] {
    [SPI, intid - 32, if edge { EDGE } else { LEVEL }]
}

fn uart_name() -> alloc::string::String {
    format!("pl011@{:x}", platform::UART_BASE.0)
}
