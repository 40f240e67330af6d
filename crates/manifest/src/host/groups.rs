// SPDX-License-Identifier: MIT OR Apache-2.0

//! Named groups of applications for `allow` and `deny`.
//!
//! A partition of OP-TEE is a guest's own, the board is not: what a pseudo trusted application
//! does to a fuse, a clock or a coprocessor it does to everybody. The table names those of
//! OP-TEE 4.5 to 4.10 (`lib/libutee/include`, `core/pta`, `ta`). Groups exist on the host alone:
//! EL2 reads UUIDs.

/// What an application changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Fuses, clocks, coprocessors, buses: the board's hardware.
    Hardware,
    /// Which trusted applications are installed.
    Storage,
    /// Nothing for good, but it tests, measures or prints OP-TEE as a whole.
    Diagnostics,
}

/// An application that is not one guest's business alone.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// OP-TEE's name of it.
    pub name: &'static str,
    /// Its UUID, in the order in which it is written.
    pub uuid: u128,
    /// What it changes.
    pub kind: Kind,
    /// What a session with it can do, in a few words.
    pub can: &'static str,
}

/// A name that stands for UUIDs.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The name as it is written in the manifest.
    pub name: &'static str,
    /// The kinds of applications in it.
    pub kinds: &'static [Kind],
}

/// All groups.
pub const GROUPS: [Group; 4] = [
    Group {
        name: "board",
        kinds: &[Kind::Hardware, Kind::Storage, Kind::Diagnostics],
    },
    Group {
        name: "hardware",
        kinds: &[Kind::Hardware],
    },
    Group {
        name: "storage",
        kinds: &[Kind::Storage],
    },
    Group {
        name: "diagnostics",
        kinds: &[Kind::Diagnostics],
    },
];

const fn row(kind: Kind, name: &'static str, uuid: u128, can: &'static str) -> Shared {
    Shared {
        name,
        uuid,
        kind,
        can,
    }
}

use Kind::{Diagnostics, Hardware, Storage};

/// The applications of all groups.
#[rustfmt::skip]
pub const SHARED: [Shared; 27] = [
    row(Hardware, "PTA_SCMI", 0xa8cfe406_d4f5_4a2e_9f8d_a25dc754c099, "set clocks, resets, regulators and power domains"),
    row(Hardware, "PTA_RTC", 0xf389f8c8_845f_496c_8bbe_d64bd24c92fd, "set the clock and its alarm"),
    row(Hardware, "PTA_SCP03", 0xbe0e5821_e718_4f77_ab3e_8e6c73a9c735, "enable SCP03 on the secure element, rotate its keys"),
    row(Hardware, "PTA_APDU", 0x3f3eb880_3639_11ec_9b9d_0f3fc9468f50, "send raw frames to the secure element"),
    row(Hardware, "PTA_RPROC", 0x54af4a68_19be_40d7_bbe6_8950350a8744, "load, start and stop STM32 coprocessors"),
    row(Hardware, "TA_REMOTEPROC", 0x80a4c275_0a47_4905_8285_1486a9771a08, "load, start and stop STM32 coprocessors"),
    row(Hardware, "PTA_BSEC", 0x94cf71ad_80e6_40b5_a7c6_3dc501eb2803, "write and lock STM32 fuses"),
    row(Hardware, "PTA_STM32_DBG_ACCESS", 0xdd05bc8b_9f3b_49f0_b649_01aa10c1c210, "open the STM32 debug port"),
    row(Hardware, "PTA_QCOM_PAS", 0xdaedbae4_cf3e_4b76_a5c5_dbf8b6fd5af4, "load, start and stop Qualcomm coprocessors"),
    row(Hardware, "TA_PAS", 0xcff7d191_7ca0_4784_af13_48223b9a4fbe, "load, start and stop Qualcomm coprocessors"),
    row(Hardware, "PTA_VERSAL_LOADER", 0xa6b493c0_e100_4a13_9b00_bce42d53ced8, "load a Versal subsystem or the FPGA"),
    row(Hardware, "PTA_RK_SECURE_BOOT", 0x5cfa57f6_1a4c_407f_94a7_a56c8c47019d, "burn Rockchip's secure boot fuses, lock the device"),
    row(Hardware, "PTA_K3_OTP_KEYWRITING", 0xacc50f40_0613_4abd_8dfe_a964cb74eb69, "write and lock TI K3 fuses"),
    row(Hardware, "PTA_OCOTP", 0x9abdf255_d8fa_40de_8f60_4d0b27927b7d, "read i.MX fuses"),
    row(Hardware, "PTA_DEK_BLOB", 0xef477737_0db1_4a9d_8437_f2f535c0bd92, "wrap a boot image key with the i.MX chip's key"),
    row(Hardware, "PTA_MANUFACT_PROTEC", 0x83268b7c_85e3_11e8_adc0_fa7ae01bbebc, "sign as the i.MX chip"),
    row(Hardware, "bcm_sotp", 0x6272636d_2018_1101_4243_4d5f534f5450, "read and write Broadcom fuses"),
    row(Hardware, "bcm_gpio", 0x6272636d_2018_1101_4243_4d5f4750494f, "set Broadcom's secure GPIOs"),
    row(Hardware, "bcm_wdt", 0x6272636d_2019_0801_4243_4d5f57445430, "start and stop Broadcom's secure watchdog, which resets the board"),
    row(Hardware, "bcm_elog", 0x6272636d_2019_0701_4243_4d5f454c4f47, "load Broadcom's Nitro firmware, read its dumps"),
    row(Hardware, "bcm_bnxt", 0x6272636d_2019_0716_4243_4d5f53434849, "boot Broadcom's network processor"),
    row(Hardware, "PTA_WIDEVINE", 0x721f4da9_da05_40d4_a1a3_8377c1e08b0a, "read the board's Widevine keys"),
    row(Hardware, "PTA_VERAISON_ATTESTATION", 0xa77955f9_eea1_44fd_add5_4a9d962afcf5, "sign evidence as the board"),
    row(Storage, "PTA_SECSTOR_TA_MGMT", 0x6e256cba_fc4d_4941_ad09_2ca1860342dd, "install trusted applications in secure storage"),
    row(Diagnostics, "PTA_STATS", 0xd96a5b40_e2c7_b1af_8794_1002a5d5c61b, "read OP-TEE's memory use, reset its counters"),
    row(Diagnostics, "PTA_INVOKE_TESTS", 0xd96a5b40_c3e5_21e3_8794_1002a5d5c61b, "run OP-TEE's self-tests"),
    row(Diagnostics, "PTA_GPROF", 0x2f6e0d48_c574_426d_824e_40198cde5cac, "sample where trusted applications spend their time"),
];

/// Returns the UUIDs of the group of this name.
pub(super) fn find(name: &str) -> Option<impl Iterator<Item = [u8; 16]>> {
    let group = GROUPS.iter().find(|group| group.name == name)?;
    let members = SHARED.iter().filter(|row| group.kinds.contains(&row.kind));
    Some(members.map(|row| row.uuid.to_be_bytes()))
}

/// Returns the names of all groups, for an error.
pub(super) fn names() -> String {
    GROUPS.map(|group| format!("\"{}\"", group.name)).join(", ")
}
