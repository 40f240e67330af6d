// SPDX-License-Identifier: MIT OR Apache-2.0

//! The UART as drivers use it.

use vuart::{Effects, Full, Uart};

const DR: u64 = 0x00;
const RSR: u64 = 0x04;
const FR: u64 = 0x18;
const IBRD: u64 = 0x24;
const FBRD: u64 = 0x28;
const LCR_H: u64 = 0x2c;
const CR: u64 = 0x30;
const IFLS: u64 = 0x34;
const IMSC: u64 = 0x38;
const RIS: u64 = 0x3c;
const MIS: u64 = 0x40;
const ICR: u64 = 0x44;

const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;
const RXFF: u32 = 1 << 6;
const BUSY: u32 = 1 << 3;
const RX: u32 = 1 << 4;
const TX: u32 = 1 << 5;
const RT: u32 = 1 << 6;

fn get(uart: &mut Uart, offset: u64) -> u32 {
    uart.read(offset, 4).0
}

fn put(uart: &mut Uart, offset: u64, value: u32) -> Effects {
    uart.write(offset, 4, value.into())
}

/// Reads until the FIFO is empty, as an interrupt handler does.
fn drain(uart: &mut Uart) -> Vec<u8> {
    let mut bytes = Vec::new();
    while get(uart, FR) & RXFE == 0 {
        bytes.push(get(uart, DR) as u8);
    }
    bytes
}

/// Returns what Linux's driver does between probe and the first user: set_termios and startup.
fn linux_start(uart: &mut Uart) {
    let _ = put(uart, IMSC, 0);
    let _ = put(uart, ICR, 0x7ff);
    let _ = put(uart, IFLS, 0x12);
    let _ = put(uart, CR, 0x301);
    let _ = put(uart, FBRD, 0);
    let _ = put(uart, IBRD, 13);
    let _ = put(uart, LCR_H, 0x70);
    let _ = put(uart, ICR, RT | RX);
    drain(uart);
    let _ = put(uart, IMSC, RT | RX);
}

#[test]
fn identifies_itself_as_a_pl011_with_32_byte_fifos() {
    let mut uart = Uart::new();
    let word = |uart: &mut Uart, first: u64| {
        (0..4).fold(0, |id, i| id | (get(uart, first + 4 * i) & 0xff) << (8 * i))
    };
    let id = word(&mut uart, 0xfe0);
    assert_eq!(id & 0x000f_ffff, 0x0004_1011);
    assert!(
        id >> 20 >= 3,
        "Linux takes FIFOs as 32 deep from revision 3"
    );
    assert_eq!(word(&mut uart, 0xff0), 0xb105_f00d);
}

#[test]
fn sends_before_any_setup_as_earlycon_does() {
    let mut uart = Uart::new();
    assert_eq!(get(&mut uart, FR) & (TXFF | BUSY), 0);
    assert_eq!(uart.write(DR, 1, 0x41).tx, Some(0x41));
    assert_eq!(uart.write(DR, 2, 0x42).tx, Some(0x42));
    assert_eq!(uart.write(DR, 4, 0x143).tx, Some(0x43));
}

#[test]
fn transmit_interrupt_calls_for_more_after_each_write() {
    let mut uart = Uart::new();
    linux_start(&mut uart);
    assert!(!put(&mut uart, DR, 0x61).level, "masked so far");
    assert!(
        put(&mut uart, IMSC, RT | RX | TX).level,
        "unmasked: called at once"
    );
    assert_eq!(get(&mut uart, MIS), TX);
    assert!(put(&mut uart, DR, 0x62).level, "and again for the next");
    assert!(!put(&mut uart, IMSC, RT | RX).level, "stopped by masking");
    assert!(!put(&mut uart, ICR, TX).level);
    assert_eq!(get(&mut uart, RIS) & TX, 0);
    assert!(
        !put(&mut uart, IMSC, TX).level,
        "cleared: nothing to call for"
    );
}

#[test]
fn one_byte_raises_the_timeout_and_reading_it_ends_it() {
    let mut uart = Uart::new();
    linux_start(&mut uart);
    assert_eq!(uart.receive(b'x'), Ok(true));
    assert_eq!(get(&mut uart, MIS), RT);
    assert_eq!(uart.read(DR, 4), (u32::from(b'x'), false));
    assert_eq!(get(&mut uart, FR) & RXFE, RXFE);
}

#[test]
fn receive_interrupt_follows_the_trigger_level() {
    for (select, bytes) in [(0, 4), (1, 8), (2, 16), (3, 24), (4, 28)] {
        let mut uart = Uart::new();
        linux_start(&mut uart);
        let _ = put(&mut uart, IFLS, select << 3);
        for n in 1..bytes {
            uart.receive(n).unwrap();
            assert_eq!(get(&mut uart, RIS) & RX, 0, "{n} of {bytes}");
        }
        uart.receive(bytes).unwrap();
        assert_eq!(get(&mut uart, RIS) & RX, RX);
        assert_eq!(get(&mut uart, DR), 1);
        assert_eq!(get(&mut uart, RIS) & (RX | RT), RT, "below the level");
    }
}

#[test]
fn a_full_fifo_pushes_back_and_loses_nothing() {
    let mut uart = Uart::new();
    linux_start(&mut uart);
    for byte in 0..32 {
        assert!(!uart.is_full());
        uart.receive(byte).unwrap();
    }
    assert!(uart.is_full());
    assert_eq!(get(&mut uart, FR) & RXFF, RXFF);
    assert_eq!(uart.receive(32), Err(Full));
    assert_eq!(get(&mut uart, DR), 0);
    assert_eq!(uart.receive(32), Ok(true));
    assert_eq!(drain(&mut uart), (1..=32).collect::<Vec<u8>>());
    assert!(!uart.level());
}

#[test]
fn without_fifos_one_byte_fits() {
    let mut uart = Uart::new();
    let _ = put(&mut uart, LCR_H, 0x60);
    let _ = put(&mut uart, IMSC, RX);
    assert_eq!(uart.receive(1), Ok(true));
    assert_eq!(uart.receive(2), Err(Full));
    assert_eq!(uart.read(DR, 1), (1, false));
}

#[test]
fn turning_fifos_off_empties_them() {
    let mut uart = Uart::new();
    let _ = put(&mut uart, IMSC, RX | RT);
    uart.receive(1).unwrap();
    assert!(!put(&mut uart, LCR_H, 0x60).level);
    assert_eq!(get(&mut uart, FR) & RXFE, RXFE);
}

#[test]
fn bytes_left_behind_call_again_even_after_the_timeout_was_cleared() {
    let mut uart = Uart::new();
    linux_start(&mut uart);
    for byte in 0..3 {
        uart.receive(byte).unwrap();
    }
    assert!(!put(&mut uart, ICR, RT).level);
    assert_eq!(uart.read(DR, 4), (0, true));
}

#[test]
fn a_disabled_uart_neither_sends_nor_hears() {
    let mut uart = Uart::new();
    let _ = put(&mut uart, CR, 0x300);
    assert_eq!(put(&mut uart, DR, 1).tx, None);
    assert_eq!(uart.receive(1), Ok(false));
    assert_eq!(get(&mut uart, FR) & RXFE, RXFE);
}

#[test]
fn loopback_returns_bytes_and_reports_overrun() {
    let mut uart = Uart::new();
    let _ = put(&mut uart, CR, 0x381);
    for byte in 0..33 {
        assert_eq!(put(&mut uart, DR, byte).tx, None);
    }
    assert_eq!(get(&mut uart, RSR), 1 << 3);
    assert_eq!(get(&mut uart, RIS) & 1 << 10, 1 << 10);
    assert_eq!(get(&mut uart, DR), 1 << 11);
    assert_eq!(get(&mut uart, DR), 1);
    let _ = put(&mut uart, RSR, 0);
    assert_eq!(get(&mut uart, RSR), 0);
}

#[test]
fn registers_read_back_what_they_hold() {
    let mut uart = Uart::new();
    for (offset, bits) in [
        (0x20, 0xff),
        (IBRD, 0xffff),
        (FBRD, 0x3f),
        (LCR_H, 0xff),
        (CR, 0xff87),
        (IFLS, 0x3f),
        (IMSC, 0x7ff),
        (0x48, 0x7),
    ] {
        let _ = put(&mut uart, offset, u32::MAX);
        assert_eq!(get(&mut uart, offset), bits, "{offset:#x}");
        assert_eq!(uart.read(offset + 1, 1).0, bits >> 8, "{offset:#x}");
        let _ = put(&mut uart, offset, 0);
        assert_eq!(get(&mut uart, offset), 0, "{offset:#x}");
    }
}

#[test]
fn reset_forgets_everything() {
    let mut uart = Uart::new();
    linux_start(&mut uart);
    uart.receive(1).unwrap();
    uart.reset();
    assert!(!uart.level());
    assert_eq!(get(&mut uart, FR) & RXFE, RXFE);
    assert_eq!(get(&mut uart, IMSC), 0);
    assert_eq!(get(&mut uart, CR), 0x301);
}

#[test]
fn any_access_is_safe_and_only_a_data_read_takes_a_byte() {
    let mut uart = Uart::new();
    for size in [0, 1, 2, 3, 4, 8, 16, 255] {
        for offset in (0..0x1010).chain([u64::MAX - 8, u64::MAX]) {
            let mut probe = uart.clone();
            probe.receive(0x5a).unwrap();
            let _ = probe.read(offset, size);
            let takes = offset == 0 && matches!(size, 1 | 2 | 4);
            assert_eq!(get(&mut probe, FR) & RXFE != 0, takes, "{offset:#x}/{size}");
            let _ = uart.write(offset, size, u64::MAX);
            let _ = uart.write(offset, size, 0);
            uart.reset();
        }
    }
}
