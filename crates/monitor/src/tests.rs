// SPDX-License-Identifier: MIT OR Apache-2.0

extern crate std;

use super::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

const ESCAPE: u8 = 0x1d;

fn events(bytes: &[u8]) -> Vec<Event> {
    let mut keyboard = Keyboard::new();
    let all = bytes.iter().map(|&byte| keyboard.feed(byte));
    all.filter(|event| *event != Event::Nothing).collect()
}

fn text(line: &str) -> Event {
    Event::Run(Text::from(line).unwrap())
}

/// Returns what a line of the monitor comes to.
fn run(bytes: &[u8]) -> Vec<Event> {
    let opened = [&[ESCAPE, b'm'], bytes].concat();
    events(&opened)
        .into_iter()
        .filter(|event| !matches!(event, Event::Opened | Event::Typed(_) | Event::Changed))
        .collect()
}

#[test]
fn keys_go_to_the_guest() {
    assert_eq!(
        events(b"l\x03\r"),
        [Event::Send(b'l'), Event::Send(3), Event::Send(b'\r')]
    );
}

#[test]
fn keys_behind_the_escape_key() {
    let cases: [(&[u8], Event); 13] = [
        (b"\x1d1", Event::Focus(0)),
        (b"\x1d9", Event::Focus(8)),
        (b"\x1dn", Event::Next),
        (b"\x1do", Event::ToggleView),
        (b"\x1d?", Event::Keys),
        (b"\x1dm", Event::Opened),
        (b"\x1d\x1d", Event::Send(ESCAPE)),
        (b"\x1dx", Event::UnknownKey),
        (b"\x1d0", Event::UnknownKey),
        (b"\x1d=1x", Event::SendTo(0, b'x')),
        (b"\x1d=9\x1d", Event::SendTo(8, ESCAPE)),
        (b"\x1d=g\r", Event::SendTo(15, b'\r')),
        (b"\x1d=h", Event::UnknownKey),
    ];
    for (bytes, event) in cases {
        assert_eq!(events(bytes), [event]);
        assert_eq!(events(&[bytes, b"a"].concat()).len(), 2);
    }
}

#[test]
fn a_line_is_edited_and_run() {
    assert_eq!(run(b"list\r"), [text("list")]);
    assert_eq!(run(b"lx\x7fis\x08st\n"), [text("list")]);
    assert_eq!(run(b"wrong\x15tee\r\r"), [text("tee"), text("")]);
    // Neither control nor other bytes get into a line, nor more than it holds.
    assert_eq!(run(b"\x1b\x00\xffa\r"), [text("a")]);
    assert_eq!(run(&[b'x'; LINE + 9]), []);
}

#[test]
fn the_monitor_closes_and_forgets_its_line() {
    for close in [&b"\x03"[..], b"\x04", b"\x1dm"] {
        let bytes = [b"half", close, b"x\x1dmlist\r"].concat();
        assert_eq!(
            run(&bytes),
            [Event::Closed, Event::Send(b'x'), text("list")]
        );
    }
    let mut keyboard = Keyboard::new();
    b"\x1dmhalf"
        .iter()
        .for_each(|&byte| _ = keyboard.feed(byte));
    assert_eq!((keyboard.is_open(), keyboard.line()), (true, "half"));
    keyboard.close();
    assert_eq!((keyboard.is_open(), keyboard.line()), (false, ""));
}

#[test]
fn the_escape_key_works_while_the_monitor_is_open() {
    assert_eq!(
        run(b"\x1d2\x1d\x1d\x1d=1x"),
        [Event::Focus(1), Event::UnknownKey, Event::SendTo(0, b'x')]
    );
}

const NAMES: [&str; 2] = ["linux", "two"];

fn parsed(line: &str) -> Result<Command, String> {
    let find = |word: &str| NAMES.iter().position(|name| *name == word);
    parse(line, NAMES.len(), find).map_err(|error| error.to_string())
}

#[test]
fn every_command_is_understood() {
    let cases = [
        ("", Command::Nothing),
        ("  ", Command::Nothing),
        ("list", Command::List),
        ("memory", Command::Memory),
        ("tee", Command::Tee(None)),
        ("tee two", Command::Tee(Some(1))),
        ("trace two", Command::Trace(1)),
        ("follow 1", Command::Follow(0)),
        ("focus 1", Command::Guest(Act::Focus, 0)),
        (" stop  linux ", Command::Guest(Act::Stop, 0)),
        ("pause two", Command::Guest(Act::Pause, 1)),
        ("resume two", Command::Guest(Act::Resume, 1)),
        ("reset two", Command::Guest(Act::Reset, 1)),
        ("stop two", Command::Guest(Act::Stop, 1)),
        ("start two", Command::Guest(Act::Start, 1)),
        ("help", Command::Help),
        ("quit", Command::Quit),
    ];
    for (line, command) in cases {
        assert_eq!(parsed(line), Ok(command), "{line}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("lsit", "there is no command `lsit`: `help` lists them"),
        ("trace", "trace which guest? Give its name or number"),
        ("reset", "reset which guest? Give its name or number"),
        ("stop three", "there is no guest `three`: `list` shows them"),
        ("stop 0", "there is no guest `0`: `list` shows them"),
        ("stop 3", "there is no guest `3`: `list` shows them"),
        ("list two", "`two` is too much"),
        ("stop two now", "`now` is too much"),
    ];
    for (line, error) in cases {
        assert_eq!(parsed(line), Err(error.to_string()), "{line}");
    }
}

#[test]
fn help_names_every_command_there_is() {
    let verbs = HELP[..HELP.len() - 1]
        .iter()
        .filter_map(|line| line.split(' ').next());
    let unknown = |verb: &&str| parsed(verb).is_err_and(|error| error.contains("no command"));
    assert_eq!(verbs.clone().find(unknown), None);
    assert_eq!(verbs.count(), 12);
}

#[test]
fn lines_show_all_numbers() {
    let guest = GuestLine {
        number: 2,
        name: "two",
        state: "running",
        ram: 256 << 20,
        restarts: 3,
        priority: 0,
        budget: None,
        has_keys: true,
        dropped: 0,
        device_interrupts: (0, 0),
    };
    assert_eq!(
        guest.to_string(),
        "2 two: running, 256 MiB of RAM, restarts: 3, has the keys"
    );
    let storm = GuestLine {
        has_keys: false,
        device_interrupts: (900, 7),
        ..guest
    };
    assert_eq!(
        storm.to_string(),
        "2 two: running, 256 MiB of RAM, restarts: 3, device interrupts: 900 (held back: 7)"
    );
    let limited = GuestLine {
        priority: 10,
        budget: Some((2_000, 10_000)),
        ..guest
    };
    assert_eq!(
        limited.to_string(),
        "2 two: running, 256 MiB of RAM, restarts: 3, priority 10, 2000 of 10000 us, has the keys"
    );
    let vcpu = VcpuLine {
        number: 1,
        core: 3,
        state: "waiting",
        milliseconds: 61_007,
        serrors: 0,
        traps: 5,
        kicks: 3,
        waits: 0,
    };
    assert_eq!(
        vcpu.to_string(),
        "  vCPU 1 on core 3: waiting, 61.007 s used, traps: 5, kicks: 3"
    );
    let vcpu = VcpuLine {
        serrors: 2,
        waits: 4,
        ..vcpu
    };
    assert_eq!(
        vcpu.to_string(),
        "  vCPU 1 on core 3: waiting, 61.007 s used, traps: 5, kicks: 3 (held back: 4), SErrors: 2"
    );
    let usage = TeeUsage {
        calls: (2, 16),
        inside: 1,
        buffers: (3, 1100),
        pages: (5, 32768),
        lists: (0, 48),
    };
    assert_eq!(
        usage.to_string(),
        "2 of 16 calls (1 in OP-TEE), 3 of 1100 buffers, 20 of 131072 KiB shared, 0 of 48 list pages"
    );
    assert_eq!(
        TeeCounters(&[("calls", 7), ("RPCs", u64::MAX)]).to_string(),
        "  calls 7, RPCs 18446744073709551615"
    );
    let denied = DeniedLine {
        uuid: 0x023f_8f1a_292a_432b_8fc4_de84_7135_8067_u128.to_be_bytes(),
        load: false,
        times: 3,
    };
    assert_eq!(
        denied.to_string(),
        "  denied: 023f8f1a-292a-432b-8fc4-de8471358067, open, times: 3"
    );
    let load = DeniedLine {
        load: true,
        ..denied
    };
    assert!(load.to_string().ends_with("8067, load, times: 3"));
}

#[test]
fn steps_are_shown_with_names() {
    let step = TraceLine {
        time: 12_000_345,
        guest: "two",
        vcpu: 1,
        call: 1 << 30 | 0x123 << 8 | 7,
        what: "RPC to the guest:",
        detail: Some(Detail::Command(Some("SHM_ALLOC"), 6)),
    };
    assert_eq!(
        step.to_string(),
        "two: 12.000345 vCPU 1 call 7.291: RPC to the guest: SHM_ALLOC"
    );
    let fast = TraceLine {
        call: 0,
        what: "fast call to OP-TEE",
        detail: Some(Detail::Function(0xb200_0010)),
        ..step
    };
    assert_eq!(
        fast.to_string(),
        "two: 12.000345 vCPU 1: fast call to OP-TEE 0xb2000010"
    );
    let details = [
        (Detail::Command(Some("INVOKE"), 1), "INVOKE"),
        (Detail::Command(None, 12), "command 12"),
        (Detail::Command(Some("RPMB_FRAMES"), 24), "RPMB_FRAMES"),
        (Detail::Command(None, 8), "command 8"),
        (Detail::Result(0), "0x0"),
    ];
    for (detail, text) in details {
        assert_eq!(detail.to_string(), text);
    }
}

proptest! {
    /// Whatever is typed, a guest gets exactly the bytes that are neither behind the escape key
    /// nor typed at the monitor.
    #[test]
    fn the_guest_gets_its_own_keys_only(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // Many escapes and monitors, or the interesting states would be rare.
        let bytes: Vec<u8> = bytes
            .iter()
            .map(|byte| match byte { 0..64 => ESCAPE, 64..96 => b'm', 96..100 => 4, other => *other })
            .collect();
        let mut keyboard = Keyboard::new();
        let (mut escaped, mut open) = (false, false);
        for &byte in &bytes {
            let event = keyboard.feed(byte);
            let to_guest = !open && (escaped == (byte == ESCAPE));
            prop_assert_eq!(event == Event::Send(byte), to_guest);
            prop_assert!(keyboard.line().len() <= LINE);
            open ^= (escaped && byte == b'm') || (!escaped && open && (byte == 4 || byte == 3));
            escaped = !escaped && byte == ESCAPE;
            prop_assert_eq!(keyboard.is_open(), open);
        }
    }

    #[test]
    fn any_line_is_a_command_or_an_error_that_quotes_it(line in "[a-z0-9 ]{0,64}") {
        let find = |word: &str| NAMES.iter().position(|name| *name == word);
        match parse(&line, NAMES.len(), find) {
            Ok(Command::Guest(_, guest) | Command::Tee(Some(guest)) | Command::Trace(guest)
                | Command::Follow(guest)) => prop_assert!(guest < 2),
            Ok(_) => {}
            Err(Error::Unknown(word) | Error::Which(word) | Error::NoGuest(word)
                | Error::Extra(word)) => prop_assert!(line.contains(word)),
        }
    }
}
