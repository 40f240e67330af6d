// SPDX-License-Identifier: MIT OR Apache-2.0

//! A network device's registers, and the switch's table.

use virtio_model::register::{CONFIG, DEVICE_FEATURES, DEVICE_ID, GENERATION, INTERRUPT_STATUS};
use virtio_model::{Station, mac};
use vnet::{Device, MAX_PORTS, Mac, Refused, Switch};

#[test]
fn a_driver_reads_what_it_is() {
    let device = Device::new(mac(7), 9000);
    assert_eq!(device.read(DEVICE_ID, 4), 1);
    // MTU, MAC, STATUS and EVENT_IDX.
    assert_eq!(
        device.read(DEVICE_FEATURES, 4),
        1 << 3 | 1 << 5 | 1 << 16 | 1 << 29
    );
    let bytes: Vec<_> = (0..6).map(|n| device.read(CONFIG + n, 1) as u8).collect();
    assert_eq!(bytes, mac(7).0);
    assert_eq!(device.read(CONFIG + 6, 2), 1);
    assert_eq!(device.read(CONFIG + 10, 2), 9000);
    assert_eq!(device.read(CONFIG + 12, 4), 0);
}

#[test]
fn a_driver_hears_of_the_link() {
    let mut lan = virtio_model::Lan::new(1500, &[(mac(0), Station::new(0).ram)], None);
    assert_eq!(lan.read(0, INTERRUPT_STATUS, 4), 0);
    lan.write(0, CONFIG + 6, 2, 0);
    assert_eq!(
        lan.read(0, CONFIG + 6, 2),
        1,
        "it is not the driver's to write"
    );

    let mut device = Device::new(mac(0), 1500);
    let before = device.read(GENERATION, 4);
    assert!(!device.set_link(false), "nobody listens");
    assert_eq!(device.read(CONFIG + 6, 2), 0);
    assert_ne!(device.read(GENERATION, 4), before);
    assert!(!device.set_link(false));
    assert_eq!(device.read(GENERATION, 4), before + 1);
}

#[test]
fn addresses_on_a_switch_are_stations_and_different() {
    let mut switch = Switch::new(1500);
    assert_eq!(switch.add(Mac::BROADCAST), Err(Refused::NoStation));
    assert_eq!(switch.add(Mac([1, 0, 0, 0, 0, 0])), Err(Refused::NoStation));
    assert_eq!(switch.add(Mac([0; 6])), Err(Refused::NoStation));
    for n in 0..MAX_PORTS {
        assert_eq!(switch.add(mac(n)).map(|port| port.index()), Ok(n));
        assert_eq!(switch.add(mac(n / 2)), Err(Refused::Taken));
    }
    assert_eq!(switch.add(mac(MAX_PORTS)), Err(Refused::Full));
    assert_eq!(switch.longest(), 1518);
    assert_eq!(mac(0x1f).to_string(), "52:54:00:00:00:1f");
}
