// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fields in front of a message's parameters.

use crate::{Command, HEADER_WORDS, Origin, TeeResult};

/// The fields of `struct optee_msg_arg` (`optee_msg.h`) in front of its parameters. In memory they are four words
/// of 64 bits:
///
/// ```text
/// word 0  cmd         func
/// word 1  session     cancel_id
/// word 2  pad         ret
/// word 3  ret_origin  num_params
/// ```
/// The first field of a word is its low half.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header<C = Command> {
    /// What is to be done.
    pub command: C,
    /// The function of the application.
    pub function: u32,
    /// The session.
    pub session: u32,
    /// By which the call is cancelled.
    pub cancel: u32,
    /// The result.
    pub result: TeeResult,
    /// Who made the result.
    pub origin: Origin,
    /// Parameters that follow.
    pub params: u32,
}

/// Number of the word that holds the result.
pub const RESULT_WORD: usize = 2;

impl TeeResult {
    /// Gives the word of a message that holds it.
    #[inline]
    pub const fn word(self) -> u64 {
        pack(0, self.0)
    }
}

impl<C: From<u32>> Header<C>
where
    u64: From<C>,
{
    /// Reads the fields out of the words.
    #[inline]
    pub fn of(&[commands, session, result, end]: &[u64; HEADER_WORDS]) -> Self {
        Self {
            command: low(commands).into(),
            function: high(commands),
            session: low(session),
            cancel: high(session),
            result: TeeResult(high(result)),
            origin: Origin(low(end)),
            params: high(end),
        }
    }

    /// Gives the words that hold the fields.
    #[inline]
    pub fn words(self) -> [u64; HEADER_WORDS] {
        let [result, end] = outcome(self.result, self.origin, self.params);
        let commands = pack(0, self.function) | u64::from(self.command);
        [commands, pack(self.session, self.cancel), result, end]
    }
}

/// Gives the words from [`RESULT_WORD`] on.
#[inline]
pub const fn outcome(result: TeeResult, origin: Origin, params: u32) -> [u64; 2] {
    [result.word(), pack(origin.0, params)]
}

/// Gives the low half of a word.
#[inline]
pub const fn low(word: u64) -> u32 {
    word as u32
}

/// Gives the high half of a word.
#[inline]
pub const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Gives the word that has these halves.
#[inline]
pub const fn pack(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RpcCommand;

    #[test]
    fn numbers_have_the_names_of_op_tee_s_headers() {
        let commands = [
            (1, Some("INVOKE")),
            (11, Some("ASSIGN_PROTMEM")),
            (12, None),
        ];
        for (number, name) in commands {
            assert_eq!(Command(number).name(), name);
        }
        let rpcs = [(6, Some("SHM_ALLOC")), (24, Some("RPMB_FRAMES")), (8, None)];
        for (number, name) in rpcs {
            assert_eq!(RpcCommand(number).name(), name);
        }
    }

    #[test]
    fn fields_lie_where_optee_has_them() {
        let words = [0x2_0000_0001, 0x4_0000_0003, 5 << 32, 0x7_0000_0006];
        let header: Header = Header::of(&words);
        let expected = Header {
            command: Command::INVOKE,
            function: 2,
            session: 3,
            cancel: 4,
            result: TeeResult(5),
            origin: Origin(6),
            params: 7,
        };
        assert_eq!(header, expected);
        assert_eq!(header.words(), words);
    }
}
