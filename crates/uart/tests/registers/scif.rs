// SPDX-License-Identifier: MIT OR Apache-2.0

//! Renesas' SCIF and HSCIF.

use crate::bench::{Bench, Line, Model, room, talks_by_interrupts, talks_by_polling};
use platform::{AccessWidth, ConsoleKind, RegisterLayout};

const KIND: ConsoleKind = ConsoleKind::Scif;
const RCAR: RegisterLayout = RegisterLayout::packed(AccessWidth::Half, 2);
const RZ: RegisterLayout = RegisterLayout::packed(AccessWidth::Half, 1);
const DEPTH: usize = 16;
/// TE and RE, and the clock's choice.
const ENABLED: u32 = 0b11 << 4 | 2;
const TDFE: u32 = 1 << 5;
const BREAK: u32 = 1 << 4;
const DATA_READY: u32 = 1;
const TRIGGER: usize = 8;

/// R-Car Series, 3rd Generation, "SCIF": flags last until they are cleared, and come again where their reason lasts.
struct Scif {
    control: u32,
    flags: u32,
    /// Flags that were read as one: only these can be cleared.
    seen: u32,
    overrun: u32,
}

impl Scif {
    fn bench(layout: RegisterLayout) -> Bench<Self> {
        let model = Self {
            // REIE and TOIE, as if the firmware had used interrupts.
            control: 2 | 0b11 << 2,
            flags: 0x60,
            seen: 0,
            overrun: 0,
        };
        Bench::new(model, layout)
    }
}

impl Model for Scif {
    fn read(&mut self, line: &mut Line, number: u64) -> u32 {
        match number {
            2 => self.control,
            4 => {
                self.seen |= self.flags;
                self.flags
            }
            5 => line.receive.pop_front().unwrap().into(),
            7 => (line.transmit.len() as u32) << 8 | line.receive.len() as u32,
            9 => self.overrun,
            _ => panic!("register {number}"),
        }
    }

    fn write(&mut self, line: &mut Line, number: u64, value: u32) {
        match number {
            2 => self.control = value,
            3 => line.accept(value, DEPTH),
            4 => {
                self.flags &= value | !self.seen;
                self.seen &= self.flags;
                if line.transmit.len() <= TRIGGER {
                    self.flags |= TDFE;
                }
                if !line.receive.is_empty() {
                    self.flags |= DATA_READY;
                }
            }
            9 => self.overrun = value,
            _ => panic!("register {number}"),
        }
    }

    fn width(&self, number: u64) -> Option<AccessWidth> {
        matches!(number, 3 | 5).then_some(AccessWidth::Byte)
    }

    fn interrupts(&mut self, _: &Line) -> bool {
        let transmits = self.control & 1 << 7 != 0 && self.flags & TDFE != 0;
        let receives = self.control & 1 << 6 != 0;
        // RIE lets errors interrupt, too.
        transmits || receives && self.flags & (0x93) != 0
    }

    fn byte_left(&mut self, line: &Line) {
        if line.transmit.len() <= TRIGGER {
            self.flags |= TDFE;
        }
    }

    fn byte_arrived(&mut self, _: &Line) {
        self.flags |= DATA_READY;
    }
}

#[test]
fn a_scif_talks() {
    let bench = Scif::bench(RCAR);
    talks_by_interrupts(&bench, KIND);
    assert_eq!(bench.model(|model| model.control), ENABLED);
    for layout in [RCAR, RZ] {
        let bench = Scif::bench(layout);
        bench.model(|model| model.control = ENABLED);
        talks_by_polling(&bench, KIND);
        assert_eq!(room(bench.uart(KIND).driver()), DEPTH);
    }
}

#[test]
fn an_rzs_many_interrupts_are_left_alone() {
    let bench = Scif::bench(RZ);
    assert!(!bench.uart(KIND).driver().prepare_interrupts());
}

#[test]
fn errors_that_would_stop_the_receiver_are_cleared() {
    let bench = Scif::bench(RCAR);
    bench.model(|model| {
        // ER and RDF, too, and nothing has arrived.
        model.flags |= BREAK | 1 << 7 | 1 << 1 | DATA_READY;
        model.overrun = 1;
    });
    assert_eq!(bench.uart(KIND).driver().receive(), None);
    let left = bench.model(|model| (model.flags, model.overrun));
    assert_eq!(left, (0x60, 0));
    assert!(bench.uart(KIND).driver().send(b'k'));
    // TEND is gone, and TDFE is back, for there is room.
    assert_eq!(bench.model(|model| model.flags), TDFE);
}
