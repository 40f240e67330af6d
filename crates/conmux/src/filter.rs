// SPDX-License-Identifier: MIT OR Apache-2.0

//! What of a guest's output may reach a terminal that others share.
//!
//! Escape sequences move the cursor onto other lines, hide what comes behind them, or make the
//! terminal answer, as if somebody had typed. So none passes, nor any other control character
//! than those of a plain line of text (ECMA-48; xterm's "Control Sequences").

/// Takes a guest's bytes one by one and passes on what is text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Filter {
    #[default]
    Text,
    /// So many more bytes belong to a UTF-8 character.
    Character(u8),
    /// The first byte of a two-byte character, which may be a C1 control.
    Latin,
    /// Behind ESC.
    Escape,
    /// Inside a control sequence.
    Sequence,
}

/// The first byte of U+0080 to U+00BF in UTF-8.
const LATIN: u8 = 0xc2;

impl Filter {
    /// Takes the next byte, and gives `pass` what may be shown now.
    pub(crate) fn feed(&mut self, byte: u8, mut pass: impl FnMut(u8)) {
        *self = match (*self, byte) {
            (_, b'\n' | b'\r' | b'\t' | 0x8) => {
                pass(byte);
                Self::Text
            }
            (_, 0x1b) => Self::Escape,
            // Others neither begin nor end anything.
            (state, ..0x20 | 0x7f) => state,
            (Self::Escape, b'[') => Self::Sequence,
            // Intermediate bytes: the final one is still to come.
            (Self::Escape, 0x20..=0x2f) => Self::Escape,
            (Self::Escape, _) | (Self::Sequence, 0x40..=0x7e) => Self::Text,
            (Self::Sequence, ..0x80) => Self::Sequence,
            (Self::Latin, 0xa0..=0xbf) => {
                pass(LATIN);
                pass(byte);
                Self::Text
            }
            (Self::Character(more), 0x80..=0xbf) => {
                pass(byte);
                more.checked_sub(1)
                    .filter(|more| *more > 0)
                    .map_or(Self::Text, Self::Character)
            }
            (_, ..0x80) => {
                pass(byte);
                Self::Text
            }
            (_, LATIN) => Self::Latin,
            (_, 0xc3..=0xf4) => {
                pass(byte);
                Self::Character(match byte {
                    ..0xe0 => 1,
                    0xe0..0xf0 => 2,
                    _ => 3,
                })
            }
            // C1 controls, and what is no UTF-8.
            (_, _) => Self::Text,
        };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    fn filter(bytes: &[u8]) -> Vec<u8> {
        let (mut filter, mut out) = (Filter::default(), Vec::new());
        bytes
            .iter()
            .for_each(|&byte| filter.feed(byte, |byte| out.push(byte)));
        out
    }

    #[test]
    fn text_passes() {
        let text = "a\tb\r\n50%\x08 grün, größer, 日本, 🦀, a\u{a0}b\n".as_bytes();
        assert_eq!(filter(text), text);
    }

    #[test]
    fn nothing_makes_the_terminal_answer_or_move() {
        let text = b"~ # \x1b[6n\x1b[c\x05\x1b[>0cls\x1bc\x1b(0\x1b#8\x1bZ\x1b[?1;2$p\x0e!\x7f\n";
        assert_eq!(filter(text), b"~ # ls!\n");
    }

    #[test]
    fn c1_controls_do_not_pass() {
        assert_eq!(filter(b"a\x9b6nb\xc2\x9b5nc\x85\xffd\xc2e"), b"a6nb5ncde");
    }

    #[test]
    fn a_sequence_does_not_swallow_the_lines_end() {
        assert_eq!(filter(b"a\x1b[1\nb\x1b\nc\xe2\nd"), b"a\nb\nc\xe2\nd");
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_no_control_gets_through(bytes: Vec<u8>) {
            for byte in filter(&bytes) {
                let plain = matches!(byte, b'\n' | b'\r' | b'\t' | 8 | 0x20..=0x7e | 0x80..);
                proptest::prop_assert!(plain);
            }
        }
    }
}
