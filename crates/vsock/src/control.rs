// SPDX-License-Identifier: MIT OR Apache-2.0

//! EL2's end of a guest's streams.

use crate::packet::{EL2, Header, NO_RECEIVE, NO_SEND, Op};

/// Most streams of a guest to EL2.
pub const STREAMS: usize = 4;
/// Bytes that EL2 keeps of a stream in each direction, and so the most of a packet.
pub(crate) const MOST: usize = 512;

/// A stream, by its place in [`Control`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream(usize);

/// Bytes that wait.
#[derive(Clone, Debug)]
struct Bytes {
    bytes: [u8; MOST],
    first: usize,
    len: usize,
}

impl Bytes {
    const NONE: Self = Self {
        bytes: [0; MOST],
        first: 0,
        len: 0,
    };

    fn room(&self) -> usize {
        MOST - self.len
    }

    /// Appends as many as there is room for.
    fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        for &byte in &bytes[..count] {
            self.bytes[(self.first + self.len) % MOST] = byte;
            self.len += 1;
        }
        count
    }

    /// Copies the first ones.
    fn peek(&self, to: &mut [u8]) -> usize {
        let count = to.len().min(self.len);
        for (n, byte) in to[..count].iter_mut().enumerate() {
            *byte = self.bytes[(self.first + n) % MOST];
        }
        count
    }

    fn skip(&mut self, count: usize) {
        let count = count.min(self.len);
        self.first = (self.first + count) % MOST;
        self.len -= count;
    }
}

/// A stream's state. Counts of bytes wrap.
#[derive(Clone, Debug)]
struct Connection {
    /// The guest's port.
    port: u32,
    /// What the guest has sent and the service has not read.
    input: Bytes,
    /// What the service has said and the guest has not got.
    output: Bytes,
    /// Bytes that the service has read in all, and how many the guest knows of.
    taken: u32,
    told: u32,
    /// Bytes that were sent to the guest in all.
    sent: u32,
    /// What the guest says of its buffer: its size, and how many bytes it has taken in all.
    room: u32,
    guest_taken: u32,
    /// It was asked to say that anew.
    asked: bool,
    /// The guest sends no more.
    no_input: bool,
    /// The guest takes no more.
    no_output: bool,
    /// The service is done.
    is_closing: bool,
}

impl Connection {
    fn new(header: &Header) -> Self {
        Self {
            port: header.from_port,
            input: Bytes::NONE,
            output: Bytes::NONE,
            taken: 0,
            told: 0,
            sent: 0,
            room: header.room,
            guest_taken: header.taken,
            asked: false,
            no_input: false,
            no_output: false,
            is_closing: false,
        }
    }

    /// Returns how many bytes the guest has room for, by what it says; nonsense is none.
    fn credit(&self) -> u32 {
        let under_way = self.sent.wrapping_sub(self.guest_taken);
        self.room.saturating_sub(under_way)
    }

    /// Ends it as far as the guest is concerned.
    fn cut(&mut self) {
        self.no_input = true;
        self.no_output = true;
        self.output = Bytes::NONE;
    }
}

/// EL2's end of one guest's streams. The guest connects to one port; what it says there is for a service to [`read`],
/// which [`write`]s answers.
///
/// The credit that a guest claims says when it gets something, never how much memory that takes: what it sends beyond
/// its own ends the stream.
///
/// [`read`]: Self::read
/// [`write`]: Self::write
#[derive(Clone, Debug)]
pub struct Control {
    cid: u64,
    port: u32,
    connections: [Option<Connection>; STREAMS],
    /// Who speaks next.
    turn: usize,
}

impl Control {
    /// Makes the end of streams from the guest of this address, which connects to `port`.
    pub const fn new(cid: u64, port: u32) -> Self {
        Self {
            cid,
            port,
            connections: [const { None }; STREAMS],
            turn: 0,
        }
    }

    /// Forgets all streams: the guest's device was reset.
    pub fn reset(&mut self) {
        *self = Self::new(self.cid, self.port);
    }

    /// Returns the streams that there are, those that the guest has ended and the service not closed among them.
    pub fn streams(&self) -> impl Iterator<Item = Stream> {
        let all = self.connections.iter().enumerate();
        all.filter(|(_, connection)| connection.as_ref().is_some_and(|open| !open.is_closing))
            .map(|(place, _)| Stream(place))
    }

    /// Takes what the guest has sent. Returns how many bytes; `None` at the end, when the service should close.
    pub fn read(&mut self, stream: Stream, bytes: &mut [u8]) -> Option<usize> {
        let open = self.connections.get_mut(stream.0)?.as_mut()?;
        let count = open.input.peek(bytes);
        open.input.skip(count);
        open.taken = open.taken.wrapping_add(count as u32);
        match open.no_input && count == 0 && open.input.len == 0 {
            true => None,
            false => Some(count),
        }
    }

    /// Says something to the guest. Returns how many bytes there was room for; the rest is for later. What a guest
    /// takes no more is thrown away. A visit of the guest's transmit side carries it.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> usize {
        match self.connections.get_mut(stream.0) {
            Some(Some(open)) if !open.no_output && !open.is_closing => open.output.push(bytes),
            _ => bytes.len(),
        }
    }

    /// Ends a stream, once the guest has got what was written.
    pub fn close(&mut self, stream: Stream) {
        let Some(connection) = self.connections.get_mut(stream.0) else {
            return;
        };
        match connection {
            Some(open) if open.no_output => *connection = None,
            Some(open) => open.is_closing = true,
            None => {}
        }
    }

    /// Takes a packet of the guest's, with its data, and returns the answer.
    pub(crate) fn hear(&mut self, header: &Header, data: &[u8]) -> Option<Header> {
        let place = self.find(header.from_port);
        let answer = match place {
            _ if header.to_port != self.port => Some(Op::Reset),
            Some(place) => self.hear_known(place, header, data),
            None if header.op == Op::Request => self.open(header),
            None => Some(Op::Reset),
        };
        let op = answer.filter(|_| !header.is_last())?;
        let mut answer = header.answer(op);
        if op != Op::Reset {
            self.complete(&mut answer);
        }
        Some(answer)
    }

    fn find(&self, port: u32) -> Option<usize> {
        let is_it = |open: &Option<Connection>| open.as_ref().is_some_and(|open| open.port == port);
        self.connections.iter().position(is_it)
    }

    fn open(&mut self, header: &Header) -> Option<Op> {
        let free = self.connections.iter_mut().find(|place| place.is_none());
        let Some(free) = free else {
            return Some(Op::Reset);
        };
        *free = Some(Connection::new(header));
        Some(Op::Response)
    }

    fn hear_known(&mut self, place: usize, header: &Header, data: &[u8]) -> Option<Op> {
        let connection = self.connections.get_mut(place)?;
        let open = connection.as_mut()?;
        open.room = header.room;
        open.guest_taken = header.taken;
        open.asked = false;
        let answer = match header.op {
            Op::Data if !open.no_input && data.len() <= open.input.room() => {
                open.input.push(data);
                None
            }
            Op::CreditUpdate => None,
            Op::CreditRequest => Some(Op::CreditUpdate),
            Op::Shutdown => {
                open.no_input |= header.flags & NO_SEND != 0;
                open.no_output |= header.flags & NO_RECEIVE != 0;
                (open.no_input && open.no_output).then_some(Op::Reset)
            }
            // Its end, or what no such stream has: the end, too.
            Op::Data | Op::Reset | Op::Request | Op::Response => Some(Op::Reset),
        };
        if answer == Some(Op::Reset) {
            open.cut();
            if open.is_closing {
                *connection = None;
            }
        }
        answer
    }

    /// Adds what the guest is to know of a stream's credit.
    fn complete(&mut self, header: &mut Header) {
        header.room = MOST as u32;
        let place = self.find(header.to_port);
        if let Some(Some(open)) = place.and_then(|place| self.connections.get_mut(place)) {
            header.taken = open.taken;
            open.told = open.taken;
        }
    }

    /// Returns the next packet for the guest, its data in `data`. It counts once it is [`Self::said`].
    pub(crate) fn speak(&mut self, data: &mut [u8; MOST]) -> Option<Header> {
        for n in 0..STREAMS {
            let place = (self.turn + n) % STREAMS;
            let Some(open) = &self.connections[place] else {
                continue;
            };
            if let Some((op, len)) = next_packet(open, data) {
                self.turn = place;
                return Some(Header {
                    from: EL2,
                    to: self.cid,
                    from_port: self.port,
                    to_port: open.port,
                    len: len as u32,
                    op,
                    flags: NO_RECEIVE | NO_SEND,
                    room: MOST as u32,
                    taken: open.taken,
                });
            }
        }
        None
    }

    /// Notes how much of a packet's data has got to the guest, if the packet has.
    pub(crate) fn said(&mut self, header: &Header, bytes: Option<u32>) {
        let Some(bytes) = bytes else { return };
        let place = self.find(header.to_port);
        let Some(connection) = place.and_then(|place| self.connections.get_mut(place)) else {
            return;
        };
        let Some(open) = connection else { return };
        open.told = header.taken;
        open.output.skip(bytes as usize);
        open.sent = open.sent.wrapping_add(bytes);
        open.asked |= header.op == Op::CreditRequest;
        if header.op == Op::Shutdown {
            *connection = None;
        }
        self.turn = (self.turn + 1) % STREAMS;
    }
}

/// Returns what a stream has to say, and how many bytes of data.
fn next_packet(open: &Connection, data: &mut [u8; MOST]) -> Option<(Op, usize)> {
    let untold = open.taken.wrapping_sub(open.told) as usize;
    if open.no_output && open.no_input {
        return None;
    }
    if open.output.len > 0 && !open.no_output {
        let credit = open.credit().min(MOST as u32) as usize;
        return match open.output.peek(&mut data[..credit]) {
            0 if open.asked => None,
            0 => Some((Op::CreditRequest, 0)),
            len => Some((Op::Data, len)),
        };
    }
    match open.is_closing {
        true => Some((Op::Shutdown, 0)),
        false => (untold >= MOST / 2).then_some((Op::CreditUpdate, 0)),
    }
}
