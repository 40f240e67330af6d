// SPDX-License-Identifier: MIT OR Apache-2.0

//! Packets between guests: docs/threat-model.md says what each number stands for.

mod common;

use common::*;
use proptest::prelude::*;
use vsock::{Device, MAX_PEERS, Next, Peers, Refused};

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 256) as u8).collect()
}

#[test]
fn a_driver_reads_its_address() {
    let device = Device::new(0x1234_5678);
    assert_eq!(device.read(8, 4), 19);
    assert_eq!(
        (device.read(0x100, 4), device.read(0x104, 4)),
        (0x1234_5678, 0)
    );
}

#[test]
fn addresses_are_those_of_guests_and_different() {
    let mut peers = Peers::new();
    for reserved in [0, 1, 2, 0xffff_ffff, 0x1_0000_0003, u64::MAX] {
        assert_eq!(peers.add(reserved), Err(Refused::Reserved));
    }
    for n in 0..MAX_PEERS {
        assert!(peers.add(cid(n)).is_ok());
        assert_eq!(peers.add(cid(n / 2)), Err(Refused::Taken));
    }
    assert_eq!(peers.add(cid(MAX_PEERS)), Err(Refused::Full));
}

#[test]
fn packets_arrive_as_they_were_sent() {
    let mut net = Net::new(3);
    for op in [
        REQUEST,
        RESPONSE,
        SHUTDOWN,
        CREDIT_UPDATE,
        CREDIT_REQUEST,
        RESET,
    ] {
        let mut sent = Packet::new(0, cid(1), op, &[]);
        sent.flags = if op == SHUTDOWN { 3 } else { 0 };
        net.post(1, 4096);
        assert_eq!(net.send(0, &sent), Next::Kick);
        assert_eq!(net.got(1), [sent]);
    }
    let sent = Packet::new(1, cid(0), DATA, &data(4052));
    net.post(0, 4096);
    assert_eq!(net.send(1, &sent), Next::Kick);
    assert_eq!(net.got(0), [sent]);
    assert_eq!(net.under_way(0) + net.under_way(1), 0);
}

#[test]
fn data_are_cut_to_the_buffers_that_there_are() {
    let mut net = Net::new(3);
    let sent = Packet::new(0, cid(1), DATA, &data(5000));
    net.post(1, 45);
    net.post(1, 1044);
    net.post(1, 8192);
    net.send(0, &sent);
    let got = net.got(1);
    let lens: Vec<_> = got.iter().map(|packet| packet.data.len()).collect();
    assert_eq!(lens, [1, 1000, 3999]);
    let all: Vec<u8> = got.iter().flat_map(|packet| packet.data.clone()).collect();
    assert_eq!(all, sent.data);
    assert_eq!(net.under_way(0), 0);
}

#[test]
fn n05_a_visit_carries_what_its_budget_allows() {
    let mut net = Net::new(3);
    net.budget.bytes = 1000;
    for _ in 0..4 {
        net.post(1, 8192);
    }
    net.queue(0, &Packet::new(0, cid(1), DATA, &data(2500)));
    let mut lens = Vec::new();
    loop {
        let next = net.visit(0).next;
        let got = net.got(1);
        lens.push(got.iter().map(|packet| packet.data.len()).sum::<usize>());
        match next {
            Next::More => {}
            next => break assert_eq!(next, Next::Kick),
        }
    }
    assert_eq!(lens, [1000, 1000, 500]);
}

#[test]
fn n17_a_forged_address_or_half_a_packet_goes_nowhere() {
    let mut net = Net::new(3);
    net.post(1, 4096);
    net.post(0, 4096);
    let good = Packet::new(0, cid(1), DATA, &data(10));
    let wrong: [fn(&mut Packet); 9] = [
        |packet| packet.src_cid = cid(1),
        |packet| packet.src_cid = 2,
        |packet| packet.src_cid |= 1 << 32,
        |packet| packet.kind = 2,
        |packet| packet.op = 0,
        |packet| packet.op = 8,
        |packet| packet.len = 11,
        |packet| packet.len = u32::MAX,
        |packet| packet.op = REQUEST,
    ];
    for wrong in wrong {
        let mut packet = good.clone();
        wrong(&mut packet);
        assert_eq!(net.send(0, &packet), Next::Kick);
        assert_eq!((net.got(1), net.got(0)), (vec![], vec![]));
    }
    assert_eq!(net.guests[0].transmit.borrow().counters().refused, 9);
    net.send(0, &good);
    assert_eq!(net.got(1), [good]);
}

#[test]
fn n18_who_is_not_connected_is_answered_with_a_reset() {
    let mut net = Net::new(4);
    // To one that is not connected, to itself, to nobody, to any other host.
    for to in [cid(2), cid(0), cid(9), 0, 1] {
        for n in 0..3 {
            net.post(n, 4096);
        }
        net.send(0, &Packet::new(0, to, REQUEST, &[]));
        let got = net.got(0);
        assert_eq!(got.len(), 1);
        let answer = &got[0];
        assert_eq!((answer.op, answer.src_cid), (RESET, to));
        assert_eq!((answer.src_port, answer.dst_port), (SERVICE, 77));
        // A reset is the last word.
        net.post(0, 4096);
        assert_eq!(net.send(0, &Packet::new(0, to, RESET, &[])), Next::Kick);
        assert_eq!(
            (net.got(0), net.got(1), net.got(2)),
            (vec![], vec![], vec![])
        );
        (0..3).for_each(|n| net.start(n));
    }
    // The last one may not speak to EL2.
    net.post(3, 4096);
    net.send(3, &Packet::new(3, 2, REQUEST, &[]));
    assert_eq!(net.got(3)[0].op, RESET);
}

#[test]
fn n19_a_packet_waits_for_a_buffer() {
    let mut net = Net::new(3);
    let packets: Vec<_> = (0..3)
        .map(|n| Packet::new(0, cid(1), DATA, &data(100 + n)))
        .collect();
    net.post(1, 4096);
    packets.iter().for_each(|packet| net.queue(0, packet));
    let waits = Next::Buffer(net.numbers[1], PATIENCE);
    assert_eq!(net.visit(0).next, waits);
    // Whoever waits for a buffer need not be kicked.
    assert!(!net.needs_kick(0));
    // A visit in vain does not begin the wait anew.
    net.now = 50;
    assert_eq!(net.visit(0).next, waits);
    assert_eq!(net.got(1), packets[..1]);
    assert_eq!(net.under_way(0), 2);
    // Its receiver's driver is asked to kick.
    assert!(net.post(1, 4096));
    assert_eq!(
        net.visit(0).next,
        Next::Buffer(net.numbers[1], 50 + PATIENCE)
    );
    assert!(net.post(1, 4096));
    assert_eq!(net.visit(0).next, Next::Kick);
    assert_eq!(net.got(1), packets[1..]);
    assert_eq!(net.under_way(0), 0);
    // Nobody waits any more.
    assert!(!net.post(1, 4096));
}

#[test]
fn n19_a_receiver_that_never_takes_holds_others_up_once() {
    let mut net = Net::new(4);
    for _ in 0..6 {
        net.post(1, 4096);
    }
    net.post(2, 4096);
    // Guest 0 never takes; guest 1 speaks to 0 and 2.
    net.queue(1, &Packet::new(1, cid(0), DATA, &data(5)));
    net.queue(1, &Packet::new(1, cid(2), DATA, &data(6)));
    assert!(matches!(net.visit(1).next, Next::Buffer(_, PATIENCE)));
    net.now = PATIENCE;
    assert_eq!(net.visit(1).next, Next::Kick);
    assert_eq!(net.got(2)[0].data, data(6));
    assert_eq!(net.got(1)[0].op, RESET);
    // From then on it is answered at once.
    assert_eq!(
        net.send(1, &Packet::new(1, cid(0), DATA, &data(5))),
        Next::Kick
    );
    assert_eq!(net.got(1)[0].op, RESET);
    // Until it takes again.
    net.post(0, 4096);
    net.send(1, &Packet::new(1, cid(0), DATA, &data(7)));
    assert_eq!(net.got(0)[0].data, data(7));
    let waits = net.send(1, &Packet::new(1, cid(0), DATA, &data(7)));
    assert_eq!(waits, Next::Buffer(net.numbers[0], 2 * PATIENCE));
    let counters = net.guests[1].transmit.borrow().counters();
    assert_eq!((counters.stuck, counters.resets), (1, 2));
}

#[test]
fn n19_a_sender_without_buffers_for_answers_waits_for_itself_alone() {
    let mut net = Net::new(3);
    net.queue(0, &Packet::new(0, cid(9), REQUEST, &[]));
    net.queue(0, &Packet::new(0, cid(1), REQUEST, &[]));
    net.post(1, 4096);
    assert_eq!(net.visit(0).next, Next::Buffer(net.numbers[0], PATIENCE));
    net.now = PATIENCE;
    assert_eq!(net.visit(0).next, Next::Kick);
    assert_eq!(net.got(1).len(), 1);
}

#[test]
fn n13_a_buffer_too_small_for_a_header_breaks_its_guests_queue_alone() {
    let mut net = Net::new(3);
    net.post(1, 43);
    net.post(0, 4096);
    net.queue(0, &Packet::new(0, cid(1), DATA, &data(5)));
    let visit = net.visit(0);
    assert_eq!((visit.next, visit.broken), (Next::Kick, 0b10));
    // Its sender hears that nobody is there.
    assert_eq!(net.got(0)[0].op, RESET);
    // Room for a header alone would let data go on for ever.
    net.start(1);
    net.post(1, 44);
    net.post(0, 4096);
    net.queue(0, &Packet::new(0, cid(1), DATA, &data(5)));
    assert_eq!(net.visit(0).broken, 0b10);
}

#[test]
fn n09_a_packet_that_waits_is_gone_with_its_senders_reset() {
    let mut net = Net::new(3);
    net.send(0, &Packet::new(0, cid(1), DATA, &data(5)));
    net.start(0);
    net.post(1, 4096);
    assert_eq!(net.visit(0).next, Next::Kick);
    assert_eq!(net.got(1), []);
    // One whose receiver is gone is answered.
    net.start(1);
    net.send(0, &Packet::new(0, cid(1), DATA, &data(5)));
    net.guests[1].receive.borrow_mut().stop();
    net.post(0, 4096);
    assert_eq!(net.visit(0).next, Next::Kick);
    assert_eq!(net.got(0)[0].op, RESET);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Guest 2 sends what it likes to all of them and takes when it likes: what guests 0 and 1 say to each other
    /// arrives, in order.
    #[test]
    fn n17_streams_of_others_are_left_alone(
        steps in prop::collection::vec((0_u8..6, any::<u8>(), any::<u32>(), 0_usize..700), 1..150),
    ) {
        let mut net = Net::new(4);
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for (what, which, number, len) in steps {
            net.now += u64::from(which % 40);
            match what {
                0 | 1 if net.under_way(0) < 4 => {
                    let bytes: Vec<u8> = (0..len).map(|n| (n as u32 ^ number) as u8).collect();
                    sent.extend(&bytes);
                    net.send(0, &Packet::new(0, cid(1), DATA, &bytes));
                }
                2 if net.under_way(2) < 4 => {
                    let mut packet = Packet::new(2, 2 + u64::from(which % 6), number as u16 % 9, &data(len));
                    packet.src_cid = if which & 0x40 != 0 { cid(usize::from(which) % 4) } else { cid(2) };
                    packet.buf_alloc = number;
                    packet.fwd_cnt = number.rotate_left(7);
                    packet.src_port = number % 6;
                    packet.len = if which & 0x80 != 0 { number % 1000 } else { len as u32 };
                    net.send(2, &packet);
                }
                3 if which & 1 != 0 => {
                    net.got(2);
                    net.post(2, [44, 45, 4096][usize::from(which) % 3]);
                }
                _ => {}
            }
            let _ = net.visit(2);
            // The receiver takes, always in time.
            for packet in net.got(1) {
                if packet.src_cid == cid(0) {
                    prop_assert_eq!(packet.op, DATA);
                    got.extend(packet.data);
                } else {
                    prop_assert_eq!(packet.src_cid, cid(2));
                }
            }
            net.post(1, 4096);
            let _ = net.visit(0);
            let _ = net.visit(0);
            prop_assert_eq!(net.got(0), vec![]);
            for packet in net.got(1) {
                if packet.src_cid == cid(0) {
                    got.extend(packet.data);
                }
            }
            if which.is_multiple_of(32) {
                net.start(2);
            }
            prop_assert!(sent.starts_with(&got));
        }
        for _ in 0..20 {
            net.post(1, 4096);
            let _ = net.visit(0);
            got.extend(net.got(1).into_iter().filter(|p| p.src_cid == cid(0)).flat_map(|p| p.data));
        }
        prop_assert_eq!(net.under_way(0), 0);
        prop_assert_eq!(sent, got);
    }
}
