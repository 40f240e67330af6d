// SPDX-License-Identifier: MIT OR Apache-2.0

//! What goes wrong between guests on a switch: docs/threat-model.md says what each number stands for. Those of rings
//! and registers alone are in `crates/virtio/tests`.

use std::rc::Rc;

use virtio::Budget;
use virtio_model::{BASE, LONGEST, Lan, MTU, Ram, Station, mac, register};
use vnet::{Mac, Next, Rate};

const NOBODY: Mac = Mac([0x52, 0x54, 0, 0, 0, 99]);

/// A switch with so many guests that keep the rules, each with buffers for eight frames.
fn lan(guests: usize, rate: Option<Rate>) -> (Lan, Vec<Station>) {
    let mut stations: Vec<_> = (0..guests).map(Station::new).collect();
    let ports: Vec<_> = stations
        .iter()
        .map(|s| (mac(s.port), s.ram.clone()))
        .collect();
    let mut lan = Lan::new(MTU, &ports, rate);
    for station in &mut stations {
        station.start(&mut lan, 16, true);
        station.refill(8, 12 + LONGEST, 1);
    }
    (lan, stations)
}

/// Lets port 0 do what it has left.
fn settle(lan: &mut Lan) {
    while lan.next(0) == Next::More {
        let _ = lan.visit(0);
    }
}

/// Returns an Ethernet frame of so many bytes.
fn frame(to: Mac, from: Mac, bytes: usize) -> Vec<u8> {
    let mut frame = Vec::from(to.0);
    frame.extend(from.0);
    frame.extend((12..bytes).map(|n| n as u8));
    frame.truncate(bytes);
    frame
}

fn got(lan: &mut Lan, station: &mut Station) -> Vec<Vec<u8>> {
    station.reap(lan);
    std::mem::take(&mut station.got)
}

#[test]
fn unicast_goes_to_one_and_group_frames_to_all_others() {
    let (mut lan, mut stations) = lan(4, None);
    let multicast = Mac([0x33, 0x33, 0, 0, 0, 1]);
    let cases = [
        (mac(2), vec![2]),
        (mac(0), vec![]),
        (NOBODY, vec![]),
        (Mac::BROADCAST, vec![1, 2, 3]),
        (multicast, vec![1, 2, 3]),
    ];
    for (to, receivers) in cases {
        let sent = frame(to, mac(0), 60);
        stations[0].send_raw(&mut lan, &sent, 2);
        for (n, station) in stations.iter_mut().enumerate() {
            let copies = usize::from(receivers.contains(&n));
            let expected = vec![sent.clone(); copies];
            assert_eq!(got(&mut lan, station), expected, "{to} at {n}");
        }
    }
    let (sent, _) = lan.counters(0);
    assert_eq!((sent.frames, sent.bytes, sent.nobody), (3, 180, 2));
    let (_, received) = lan.counters(2);
    assert_eq!((received.frames, received.bytes), (3, 180));
}

#[test]
fn frames_of_any_length_and_cut_arrive_whole() {
    let (mut lan, mut stations) = lan(2, None);
    for bytes in [14, 15, 59, 60, 1514, 1518, 4096, LONGEST - 1, LONGEST] {
        for (pieces, parts) in [(1, 1), (2, 1), (3, 5), (5, 2), (1, 4)] {
            stations[1].start(&mut lan, 16, false);
            stations[1].refill(2, 12 + LONGEST, parts);
            let sent = frame(mac(1), mac(0), bytes);
            assert!(stations[0].send_raw(&mut lan, &sent, pieces));
            settle(&mut lan);
            let frames = got(&mut lan, &mut stations[1]);
            assert!(frames == [sent], "{bytes} {pieces} {parts}");
            stations[0].reap(&mut lan);
        }
    }
}

#[test]
fn n05_a_flood_is_served_in_bounded_visits() {
    let (mut lan, mut stations) = lan(2, None);
    lan.budget = Budget {
        frames: 4,
        bytes: 1_000_000,
    };
    for _ in 0..7 {
        stations[0].send(mac(1), 60, 1).unwrap();
    }
    // Taken and delivered, a frame counts twice; the third is taken in the first visit and delivered in the second.
    for expected in [
        (2, Next::More),
        (2, Next::More),
        (2, Next::More),
        (1, Next::Kick),
    ] {
        match lan.next(0) {
            Next::More => drop(lan.visit(0)),
            _ => assert!(stations[0].kick(&mut lan)),
        }
        let frames = got(&mut lan, &mut stations[1]).len();
        assert_eq!((frames, lan.next(0)), expected);
    }
}

#[test]
fn n05_a_long_frame_to_many_stops_between_receivers() {
    let (mut lan, mut stations) = lan(6, None);
    let sent = frame(Mac::BROADCAST, mac(0), LONGEST);
    stations[0].send_raw(&mut lan, &sent, 2);
    for round in 1..6 {
        let frames: Vec<_> = (1..6)
            .map(|n| got(&mut lan, &mut stations[n]).len())
            .collect();
        let expected: Vec<_> = (1..6).map(|n| usize::from(n == round)).collect();
        assert_eq!((frames, lan.next(0)), (expected, Next::More));
        // It is given back when the last one has it.
        stations[0].reap(&mut lan);
        assert_eq!(stations[0].under_way(), usize::from(round < 5));
        let _ = lan.visit(0);
    }
    assert_eq!(lan.next(0), Next::Kick);
}

#[test]
fn n06_a_visit_has_one_receive_side_at_a_time_and_never_its_own() {
    // `Lan` panics otherwise, and `RefCell` if a visit lends itself.
    let (mut lan, mut stations) = lan(4, None);
    for (from, station) in stations.iter_mut().enumerate() {
        for to in [Mac::BROADCAST, mac(from)] {
            station.send_raw(&mut lan, &frame(to, mac(from), 60), 1);
        }
    }
    for station in &mut stations {
        assert_eq!(got(&mut lan, station).len(), 3);
    }
}

#[test]
fn n07_who_exceeds_the_rate_waits_and_nothing_is_lost() {
    // 10,000 bytes a second, of 1,000 ticks.
    let (mut lan, mut stations) = lan(2, Some(Rate::a_second(Some(10_000), None, 1_000)));
    lan.now = 5_000;
    for _ in 0..4 {
        stations[0].send(mac(1), 1_000, 1).unwrap();
    }
    stations[0].kick(&mut lan);
    // The first one goes at once, by the burst of 10 ms; it takes 100.
    assert_eq!(lan.next(0), Next::At(5_090));
    for (now, frames, next) in [
        // The one before.
        (5_089, 1, Next::At(5_090)),
        (5_090, 1, Next::At(5_190)),
        (5_190, 1, Next::At(5_290)),
        // Whoever comes late finds as much as the burst.
        (9_000, 1, Next::Kick),
    ] {
        lan.now = now;
        let _ = lan.visit(0);
        assert_eq!(got(&mut lan, &mut stations[1]).len(), frames, "at {now}");
        assert_eq!(lan.next(0), next);
        stations[1].refill(1, 1_100, 1);
    }
    assert!(lan.counters(0).0.waits > 0);
}

#[test]
fn n07_frames_have_a_rate_of_their_own_and_refused_ones_count() {
    let (mut lan, mut stations) = lan(2, Some(Rate::a_second(None, Some(100), 1_000)));
    lan.now = 5_000;
    for n in 0..6 {
        let from = if n % 2 == 0 { mac(0) } else { mac(1) };
        stations[0].send_raw(&mut lan, &frame(mac(1), from, 20), 1);
    }
    let mut at = Vec::new();
    while let Next::At(until) = lan.next(0) {
        at.push(until);
        lan.now = until;
        let _ = lan.visit(0);
    }
    assert_eq!(at, [5_010, 5_020, 5_030, 5_040]);
    assert_eq!(lan.counters(0).0.forged, 3);
}

#[test]
fn n08_a_forged_address_goes_nowhere() {
    let (mut lan, mut stations) = lan(3, None);
    for from in [mac(1), mac(2), NOBODY, Mac::BROADCAST, Mac([0; 6])] {
        for to in [mac(1), mac(2), Mac::BROADCAST] {
            stations[0].send_raw(&mut lan, &frame(to, from, 60), 1);
            stations[0].reap(&mut lan);
        }
    }
    assert!((1..3).all(|n| got(&mut lan, &mut stations[n]).is_empty()));
    let (sent, _) = lan.counters(0);
    assert_eq!((sent.forged, sent.frames), (15, 0));
}

/// The hostile guest's RAM as a test writes it: a transmit queue of one descriptor.
fn send_racing(race: impl Fn(&Ram, u64)) -> Vec<u8> {
    let mut receiver = Station::new(0);
    let ram = Rc::new(Ram::new(0x1_0000));
    let ports = [(mac(0), receiver.ram.clone()), (mac(1), ram.clone())];
    let mut lan = Lan::new(MTU, &ports, None);
    receiver.start(&mut lan, 8, false);
    receiver.refill(2, 2048, 1);
    let at = BASE + 0x8000;
    let queue = |place: u64| (8, [place, place + 0x1000, place + 0x2000]);
    let queues = [queue(BASE), queue(BASE + 0x3000)];
    virtio_model::bring_up(&mut (&mut lan, 1), 1 << 32, &queues).unwrap();
    ram.put(at + 12, &frame(mac(0), mac(1), 60));
    ram.put(BASE + 0x3000, &at.to_le_bytes());
    ram.put(BASE + 0x3008, &72_u64.to_le_bytes());
    ram.put(BASE + 0x4002, &1_u16.to_le_bytes());
    race(&ram, at + 12);
    lan.kick(1);
    let mut frames = got(&mut lan, &mut receiver);
    assert_eq!(frames.len(), 1);
    frames.remove(0)
}

#[test]
fn n08_what_arrives_is_the_header_that_was_judged() {
    // As soon as its address was read, the guest writes another one.
    let racing = send_racing(|ram, at| ram.race(at, &frame(mac(0), mac(0), 14)));
    assert_eq!(racing, frame(mac(0), mac(1), 60));
}

#[test]
fn n01_descriptors_of_frames_are_read_once() {
    let racing = send_racing(|ram, _| ram.race(BASE + 0x3000, &[0xff; 16]));
    assert_eq!(racing, frame(mac(0), mac(1), 60));
}

#[test]
fn n09_a_reset_amid_a_frame_ends_it() {
    for by_driver in [true, false] {
        let (mut lan, mut stations) = lan(4, None);
        stations[0].send_raw(&mut lan, &frame(Mac::BROADCAST, mac(0), LONGEST), 1);
        assert_eq!(lan.next(0), Next::More);
        match by_driver {
            true => lan.write(0, register::STATUS, 4, 0),
            false => lan.restart(0),
        }
        // The sender's RAM is nobody's business any more: its model panics.
        stations[0].ram.guard();
        let _ = lan.visit(0);
        assert_eq!(lan.next(0), Next::Kick);
        let frames: usize = (1..4).map(|n| got(&mut lan, &mut stations[n]).len()).sum();
        assert_eq!(frames, 1);
        // And its next life begins without it.
        stations[0].start(&mut lan, 16, true);
        assert_eq!(lan.visit(0).next, Next::Kick);
        assert!((1..4).all(|n| got(&mut lan, &mut stations[n]).is_empty()));
    }
}

#[test]
fn n09_a_receiver_that_resets_amid_a_frame_loses_it_alone() {
    let (mut lan, mut stations) = lan(4, None);
    stations[0].send_raw(&mut lan, &frame(Mac::BROADCAST, mac(0), LONGEST), 1);
    lan.write(2, register::STATUS, 4, 0);
    stations[2].ram.guard();
    settle(&mut lan);
    let frames: Vec<_> = [1, 3].map(|n| got(&mut lan, &mut stations[n]).len()).into();
    assert_eq!(frames, [1, 1]);
    assert_eq!(lan.counters(2).1.down, 1);
}

#[test]
fn n10_a_visit_interrupts_a_receiver_once_and_not_while_it_works() {
    for event_idx in [false, true] {
        let (mut lan, mut stations) = lan(2, None);
        stations[1].start(&mut lan, 16, event_idx);
        stations[1].refill(8, 2048, 1);
        stations[1].want_interrupts(true);
        let before = lan.interrupts(1);
        for _ in 0..3 {
            stations[0].send(mac(1), 60, 1);
        }
        stations[0].kick(&mut lan);
        assert_eq!(lan.interrupts(1), before + 1);
        // It has seen the interrupt, and polls from now on.
        assert_eq!(got(&mut lan, &mut stations[1]).len(), 3);
        stations[1].want_interrupts(false);
        stations[0].send(mac(1), 60, 1);
        stations[0].kick(&mut lan);
        assert_eq!(lan.interrupts(1), before + 1);
        // Going to sleep again it hears that there is something.
        assert!(stations[1].want_interrupts(true));
    }
}

#[test]
fn n11_a_receiver_that_never_takes_loses_its_frames_and_nobody_elses() {
    let (mut lan, mut stations) = lan(3, None);
    for n in 0..50 {
        stations[0].send_raw(&mut lan, &frame(Mac::BROADCAST, mac(0), 60), 1);
        stations[0].reap(&mut lan);
        assert_eq!(got(&mut lan, &mut stations[2]).len(), 1, "frame {n}");
        stations[2].refill(1, 2048, 1);
        settle(&mut lan);
    }
    // Eight had buffers.
    let (_, received) = lan.counters(1);
    assert_eq!((received.frames, received.no_buffer), (8, 42));
    assert_eq!(stations[0].under_way(), 0);
}

#[test]
fn n11_a_buffer_that_is_too_small_waits_for_smaller_frames() {
    let (mut lan, mut stations) = lan(2, None);
    stations[1].start(&mut lan, 16, true);
    stations[1].refill(1, 12 + 60, 3);
    for (bytes, frames) in [(61, 0), (1514, 0), (60, 1)] {
        stations[0].send_raw(&mut lan, &frame(mac(1), mac(0), bytes), 1);
        assert_eq!(got(&mut lan, &mut stations[1]).len(), frames);
    }
    assert_eq!(lan.counters(1).1.too_small, 2);
}

#[test]
fn n12_a_guest_that_starts_anew_gets_nothing_of_its_last_life() {
    let (mut lan, mut stations) = lan(2, None);
    lan.visits_at_kicks = false;
    // Frames wait in the queue of a guest that dies; another one has buffers.
    stations[0].send_raw(&mut lan, &frame(mac(1), mac(0), 60), 1);
    [0, 1].into_iter().for_each(|n| lan.restart(n));
    stations.iter().for_each(|station| station.ram.guard());
    let _ = lan.visit(0);
    assert_eq!(lan.counters(1).1.frames, 0);
    stations[0].start(&mut lan, 16, true);
    stations[0].send_raw(&mut lan, &frame(mac(1), mac(0), 61), 1);
    let _ = lan.visit(0);
    assert_eq!(lan.counters(1).1.down, 1);
    stations[1].start(&mut lan, 8, false);
    stations[1].refill(1, 2048, 1);
    let sent = frame(mac(1), mac(0), 62);
    stations[0].send_raw(&mut lan, &sent, 1);
    let _ = lan.visit(0);
    assert_eq!(got(&mut lan, &mut stations[1]), [sent]);
}

#[test]
fn n13_whoever_breaks_a_ring_breaks_its_own_device_alone() {
    let mut receivers: Vec<_> = [0, 2].map(Station::new).into();
    let hostile = Rc::new(Ram::new(0x1_0000));
    let ports = [
        (mac(0), receivers[0].ram.clone()),
        (mac(1), hostile.clone()),
        (mac(2), receivers[1].ram.clone()),
    ];
    let mut lan = Lan::new(MTU, &ports, None);
    for station in &mut receivers {
        station.start(&mut lan, 16, true);
        station.refill(8, 2048, 1);
    }
    let queue = |place: u64| (8, [place, place + 0x1000, place + 0x2000]);
    let queues = [queue(BASE), queue(BASE + 0x3000)];
    // A buffer outside RAM, one to be read, one that the table doesn't have.
    let descriptors: [(u64, u64, u16); 3] = [
        (0x1000, 9000 | 2 << 32, 0),
        (BASE + 0x8000, 9000, 0),
        (BASE + 0x8000, 9000 | 2 << 32, 8),
    ];
    for (at, rest, head) in descriptors {
        virtio_model::bring_up(&mut (&mut lan, 1), 1 << 32, &queues).unwrap();
        hostile.put(BASE, &at.to_le_bytes());
        hostile.put(BASE + 8, &rest.to_le_bytes());
        hostile.put(BASE + 0x1002, &1_u16.to_le_bytes());
        hostile.put(BASE + 0x1004, &head.to_le_bytes());
        let sent = frame(Mac::BROADCAST, mac(0), 60);
        receivers[0].send_raw(&mut lan, &sent, 1);
        assert!(lan.has_failed(1));
        assert!(!lan.has_failed(0) && !lan.has_failed(2));
        assert_eq!(got(&mut lan, &mut receivers[1]), [sent]);
        // Its own frames go nowhere either, until it has reset its device.
        lan.kick(1);
        assert_eq!(lan.counters(1).0.frames, 0);
        // A transmit queue is no different: a frame outside RAM, one to be written.
        for (at, rest) in [(0x1000, 60), (BASE + 0x8000, 60 | 2 << 32)] {
            virtio_model::bring_up(&mut (&mut lan, 1), 1 << 32, &queues).unwrap();
            hostile.put(BASE + 0x3000, &u64::to_le_bytes(at));
            hostile.put(BASE + 0x3008, &u64::to_le_bytes(rest));
            hostile.put(BASE + 0x4002, &1_u16.to_le_bytes());
            lan.kick(1);
            assert!(lan.has_failed(1), "{at:#x}");
            assert!(matches!(lan.next(1), Next::Broken(_)));
            hostile.put(BASE + 0x4002, &0_u16.to_le_bytes());
        }
    }
}

#[test]
fn n14_a_receiver_sees_the_frame_and_no_more() {
    let (mut lan, mut stations) = lan(2, None);
    stations[1].start(&mut lan, 16, false);
    // What is in the buffer before, and what virtio's header of the sender says, is neither written nor read: `reap`
    // checks the header, and the device says how long the frame is.
    stations[1].refill(1, 12 + LONGEST, 1);
    let slot = BASE + 0x8000;
    stations[1].ram.put(slot, &[0xaa; 12 + LONGEST]);
    let sent = frame(mac(1), mac(0), 60);
    stations[0].send_raw(&mut lan, &sent, 1);
    assert_eq!(got(&mut lan, &mut stations[1]), [sent]);
    let behind = stations[1].ram.bytes_at(slot + 72, LONGEST - 60);
    assert!(behind.iter().all(|&byte| byte == 0xaa));
}

#[test]
fn runts_and_giants_are_refused() {
    let (mut lan, mut stations) = lan(2, None);
    for bytes in [1, 13] {
        stations[0].send_raw(&mut lan, &frame(mac(1), mac(0), bytes), 1);
    }
    stations[0].send_raw(&mut lan, &frame(mac(1), mac(0), LONGEST + 1), 1);
    stations[0].reap(&mut lan);
    assert_eq!(stations[0].under_way(), 0);
    assert!(got(&mut lan, &mut stations[1]).is_empty());
    let (sent, _) = lan.counters(0);
    assert_eq!((sent.runts, sent.giants, sent.frames), (2, 1, 0));
}

#[test]
fn a_frame_in_too_many_pieces_is_refused_and_given_back() {
    let (mut lan, mut stations) = lan(2, None);
    stations[0].start(&mut lan, 256, true);
    for (pieces, frames) in [(32, 1), (33, 0), (200, 0)] {
        assert!(stations[0].send_raw(&mut lan, &frame(mac(1), mac(0), 4000), pieces));
        stations[0].reap(&mut lan);
        assert_eq!(stations[0].under_way(), 0);
        assert_eq!(got(&mut lan, &mut stations[1]).len(), frames, "{pieces}");
    }
    assert_eq!(lan.counters(0).0.giants, 2);
}

#[test]
fn two_ports_of_one_guest_may_use_the_same_bytes() {
    let ram = Rc::new(Ram::new(0x2_0000));
    let ports = [(mac(0), ram.clone()), (mac(1), ram.clone())];
    let mut lan = Lan::new(MTU, &ports, None);
    let queue = |place: u64| (8, [place, place + 0x1000, place + 0x2000]);
    for port in [0, 1] {
        let first = BASE + port as u64 * 0x8000;
        let queues = [queue(first), queue(first + 0x3000)];
        virtio_model::bring_up(&mut (&mut lan, port), 1 << 32, &queues).unwrap();
    }
    let at = BASE + 0x1_0000;
    ram.put(at + 12, &frame(mac(1), mac(0), 60));
    // What port 0 sends is where port 1 receives, a few bytes on.
    for (ring, place, rest) in [
        (BASE + 0x3000, at, 72),
        (BASE + 0x8000, at + 3, 72 | 2 << 32),
    ] {
        ram.put(ring, &place.to_le_bytes());
        ram.put(ring + 8, &u64::to_le_bytes(rest));
        ram.put(ring + 0x1002, &1_u16.to_le_bytes());
    }
    lan.kick(0);
    assert_eq!(lan.counters(1).1.frames, 1);
    assert_eq!(ram.bytes_at(at + 15, 14), frame(mac(1), mac(0), 14));
}
