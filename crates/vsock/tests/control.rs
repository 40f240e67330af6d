// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams to EL2 itself.

mod common;

use common::*;
use proptest::prelude::*;
use vsock::{EL2, Next, STREAMS, Stream};

/// Bytes that EL2 keeps of a stream.
const ROOM: usize = 512;

fn to_el2(op: u16, data: &[u8]) -> Packet {
    Packet::new(0, EL2, op, data)
}

/// Sends one packet of guest 0's with buffers for answers; returns those.
fn say(net: &mut Net, packet: &Packet) -> Vec<Packet> {
    net.queue(0, packet);
    answers(net)
}

/// Returns what EL2 has to say, as far as eight buffers go.
fn answers(net: &mut Net) -> Vec<Packet> {
    net.got(0);
    for _ in 0..8 {
        net.post(0, 4096);
    }
    assert_eq!(net.visit(0).next, Next::Kick);
    let got = net.got(0);
    // The buffers that are left are for the next time.
    net.guests[0].receive.borrow_mut().stop();
    restart_receive(net);
    got
}

/// Gives guest 0 an empty receive queue, and leaves its streams alone.
fn restart_receive(net: &mut Net) {
    let control = net.guests[0].control.borrow().clone();
    net.start(0);
    net.guests[0].control.replace(control);
}

fn connected() -> (Net, Stream) {
    let mut net = Net::new(2);
    let got = say(&mut net, &to_el2(REQUEST, &[]));
    assert_eq!(got.len(), 1);
    assert_eq!(
        (got[0].op, got[0].src_cid, got[0].dst_port),
        (RESPONSE, EL2, 77)
    );
    assert_eq!((got[0].buf_alloc, got[0].fwd_cnt), (ROOM as u32, 0));
    let stream = net.guests[0].control.borrow().streams().next().unwrap();
    (net, stream)
}

fn read(net: &Net, stream: Stream) -> Option<Vec<u8>> {
    let mut bytes = [0; 2000];
    let count = net.guests[0]
        .control
        .borrow_mut()
        .read(stream, &mut bytes)?;
    Some(bytes[..count].to_vec())
}

fn write(net: &Net, stream: Stream, bytes: &[u8]) -> usize {
    net.guests[0].control.borrow_mut().write(stream, bytes)
}

#[test]
fn a_guest_talks_with_the_service() {
    let (mut net, stream) = connected();
    assert_eq!(say(&mut net, &to_el2(DATA, b"list\n")), []);
    assert_eq!(read(&net, stream), Some(b"list\n".into()));
    assert_eq!(read(&net, stream), Some(vec![]));
    assert_eq!(write(&net, stream, b"two guests"), 10);
    let got = answers(&mut net);
    assert_eq!((got[0].op, &got[0].data[..]), (DATA, &b"two guests"[..]));
    // It says how much was taken.
    assert_eq!(got[0].fwd_cnt, 5);
    assert_eq!(answers(&mut net), []);
}

#[test]
fn an_end_is_an_end_on_both_sides() {
    // The guest's.
    let (mut net, stream) = connected();
    say(&mut net, &to_el2(DATA, b"last"));
    let mut shutdown = to_el2(SHUTDOWN, &[]);
    shutdown.flags = 3;
    assert_eq!(say(&mut net, &shutdown)[0].op, RESET);
    assert_eq!(read(&net, stream), Some(b"last".into()));
    assert_eq!(read(&net, stream), None);
    assert_eq!(write(&net, stream, b"to nobody"), 9);
    net.guests[0].control.borrow_mut().close(stream);
    assert_eq!(net.guests[0].control.borrow().streams().count(), 0);
    assert_eq!(answers(&mut net), []);
    // The service's: after what it has said.
    let (mut net, stream) = connected();
    write(&net, stream, b"bye");
    net.guests[0].control.borrow_mut().close(stream);
    assert_eq!(net.guests[0].control.borrow().streams().count(), 0);
    let got = answers(&mut net);
    assert_eq!((got[0].op, got[1].op, got[1].flags), (DATA, SHUTDOWN, 3));
    assert_eq!(say(&mut net, &to_el2(RESET, &[])), []);
    assert_eq!(say(&mut net, &to_el2(DATA, b"x"))[0].op, RESET);
}

#[test]
fn half_an_end_leaves_the_other_half() {
    let (mut net, stream) = connected();
    let mut shutdown = to_el2(SHUTDOWN, &[]);
    shutdown.flags = 2;
    assert_eq!(say(&mut net, &shutdown), []);
    assert_eq!(read(&net, stream), None);
    write(&net, stream, b"still");
    assert_eq!(answers(&mut net)[0].data, b"still");
    // What it sends all the same is a breach.
    assert_eq!(say(&mut net, &to_el2(DATA, b"x"))[0].op, RESET);
}

#[test]
fn n20_more_streams_than_there_are_are_refused() {
    let mut net = Net::new(2);
    for port in 0..STREAMS as u32 + 2 {
        let mut request = to_el2(REQUEST, &[]);
        request.src_port = port;
        let expected = if port < STREAMS as u32 {
            RESPONSE
        } else {
            RESET
        };
        assert_eq!(say(&mut net, &request)[0].op, expected);
    }
    // The same again ends what there is.
    let mut request = to_el2(REQUEST, &[]);
    request.src_port = 1;
    assert_eq!(say(&mut net, &request)[0].op, RESET);
    // Another port is nobody's, and neither is what was never opened.
    let mut net = Net::new(2);
    let mut other = to_el2(REQUEST, &[]);
    other.dst_port += 1;
    assert_eq!(say(&mut net, &other)[0].op, RESET);
    assert_eq!(say(&mut net, &to_el2(DATA, b"x"))[0].op, RESET);
    assert_eq!(say(&mut net, &to_el2(RESET, &[])), []);
}

#[test]
fn n20_what_a_guest_sends_beyond_its_credit_ends_the_stream() {
    for sizes in [vec![ROOM + 1], vec![ROOM, 1], vec![300, 300]] {
        let (mut net, stream) = connected();
        let last = sizes.len() - 1;
        for (n, size) in sizes.into_iter().enumerate() {
            let got = say(&mut net, &to_el2(DATA, &vec![1; size]));
            assert_eq!(got.len(), usize::from(n == last), "{n}");
        }
        let _ = read(&net, stream);
    }
    // What was read gives room again, and the guest hears of it.
    let (mut net, stream) = connected();
    let mut credit = ROOM;
    for _ in 0..20 {
        assert_eq!(say(&mut net, &to_el2(DATA, &[1; 200])), []);
        credit -= 200;
        assert_eq!(read(&net, stream).unwrap().len(), 200);
        let taken: usize = answers(&mut net)
            .iter()
            .map(|p| usize::from(p.op == CREDIT_UPDATE))
            .sum();
        credit = if taken > 0 { ROOM } else { credit };
        assert!(credit >= 200);
    }
}

#[test]
fn n20_a_guest_gets_no_more_than_it_has_room_for() {
    let mut net = Net::new(2);
    let mut request = to_el2(REQUEST, &[]);
    request.buf_alloc = 7;
    say(&mut net, &request);
    let stream = net.guests[0].control.borrow().streams().next().unwrap();
    assert_eq!(write(&net, stream, &[1; 600]), ROOM);
    let got = answers(&mut net);
    assert_eq!(
        (got[0].data.len(), got[1].op, got.len()),
        (7, CREDIT_REQUEST, 2)
    );
    assert_eq!(answers(&mut net), [], "asked once");
    // It has taken five of them.
    let mut update = to_el2(CREDIT_UPDATE, &[]);
    (update.buf_alloc, update.fwd_cnt) = (7, 5);
    let got = say(&mut net, &update);
    assert_eq!((got[0].data.len(), got[1].op), (5, CREDIT_REQUEST));
    // Nonsense is no room: more taken than was sent, a buffer that shrinks.
    for (room, taken) in [(7, 100), (0, 12), (4, 5), (u32::MAX, 13)] {
        (update.buf_alloc, update.fwd_cnt) = (room, taken);
        let got = say(&mut net, &update);
        let sent: usize = got.iter().map(|packet| packet.data.len()).sum();
        assert!(sent == 0 && got.len() == 1, "{room} {taken}");
    }
}

#[test]
fn n20_el2_waits_for_a_buffer_without_holding_the_guest_up() {
    let (mut net, stream) = connected();
    write(&net, stream, b"news");
    net.post(1, 4096);
    assert_eq!(net.send(0, &Packet::new(0, cid(1), DATA, b"x")), Next::Kick);
    assert_eq!(net.got(1).len(), 1);
    assert!(net.post(0, 4096), "it is asked to kick");
    assert_eq!(net.visit(0).next, Next::Kick);
    assert_eq!(net.got(0)[0].data, b"news");
}

#[test]
fn n12_a_reset_forgets_all_streams() {
    let (mut net, stream) = connected();
    write(&net, stream, b"old");
    net.start(0);
    assert_eq!(net.guests[0].control.borrow().streams().count(), 0);
    assert_eq!(read(&net, stream), None);
    assert_eq!(answers(&mut net), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any packets in any order: a guest that is told less than it was sent, or gets more than it has room for, would
    /// show.
    #[test]
    fn n20_any_packets(
        steps in prop::collection::vec(
            (1_u16..8, 0_u32..6, 0_u32..1500, 0_u32..1500, 0_usize..600, 0_u8..8),
            1..80,
        ),
    ) {
        let mut net = Net::new(2);
        for (op, port, room, taken, len, service) in steps {
            let mut packet = to_el2(op, &vec![7; if op == DATA { len } else { 0 }]);
            packet.src_port = port;
            (packet.buf_alloc, packet.fwd_cnt, packet.flags) = (room, taken, u32::from(service) & 3);
            for got in say(&mut net, &packet) {
                prop_assert_eq!(got.src_cid, EL2);
                prop_assert!(got.op != REQUEST && got.data.len() <= ROOM);
            }
            let streams: Vec<_> = net.guests[0].control.borrow().streams().collect();
            prop_assert!(streams.len() <= STREAMS);
            if let Some(&stream) = streams.get(usize::from(service) % STREAMS) {
                match service {
                    0..3 => drop(read(&net, stream)),
                    3..6 => prop_assert!(write(&net, stream, &vec![9; len]) <= len),
                    _ => net.guests[0].control.borrow_mut().close(stream),
                }
            }
        }
    }
}
