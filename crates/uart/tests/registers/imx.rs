// SPDX-License-Identifier: MIT OR Apache-2.0

//! NXP's i.MX.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{ConsoleKind, RegisterLayout};

const DEPTH: usize = 32;
/// What firmware has set that is none of the driver's business.
const CONTROL_1: u32 = 1;

/// IMX8MPRM 16.2: UCR1, UCR4, UTS; UFCR's trigger level for sending is 2.
struct Imx {
    control: [u32; 2],
    control_2: u32,
}

impl Imx {
    fn bench() -> Bench<Self> {
        // IDEN, RRDYEN, TXMPTYEN, RTSDEN; TCEN, BKEN, OREN: as if the firmware had used interrupts.
        let control = [CONTROL_1 | 0b1_0010_0110_0000, 0b1110 | 0x8000];
        let model = Self {
            control,
            control_2: 0x4020,
        };
        Bench::new(model, RegisterLayout::WORDS)
    }
}

impl Model for Imx {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            0x00 => 1 << 15 | u32::from(line.receive.pop_front().unwrap()),
            0x80 => self.control[0],
            0x84 => self.control_2,
            0x8c => self.control[1],
            0xb4 => {
                let full = u32::from(line.transmit.len() == DEPTH) << 4;
                full | u32::from(line.receive.is_empty()) << 5
            }
            _ => panic!("register {number:#x}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            0x40 => line.accept(value, DEPTH),
            0x80 => self.control[0] = value,
            0x84 => self.control_2 = value,
            0x8c => self.control[1] = value,
            _ => panic!("register {number:#x}"),
        }
    }

    fn interrupts(&mut self, line: &Line) -> bool {
        let receives = (self.control[0] & 1 << 9 | self.control[1] & 1) != 0;
        let transmits = self.control[0] & 1 << 13 != 0;
        receives && !line.receive.is_empty() || transmits && line.transmit.len() < 2
    }
}

#[test]
fn an_imx_talks() {
    let bench = Imx::bench();
    talks_by_interrupts(&bench, ConsoleKind::Imx);
    assert_eq!(bench.model(|model| model.control), [CONTROL_1, 0x8000]);
    assert_eq!(bench.model(|model| model.control_2), 0x4027);
    let bench = Imx::bench();
    bench.model(|model| model.control = [CONTROL_1, 0]);
    talks_by_polling(&bench, ConsoleKind::Imx);
    assert_eq!(room(bench.uart(ConsoleKind::Imx).driver()), DEPTH);
}
