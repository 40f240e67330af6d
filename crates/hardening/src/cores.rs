// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is known of cores by their MIDR_EL1 where no identification register tells (Arm's white papers on both
//! vulnerabilities, and the makers' notes; all revisions alike).

/// Returns a core's implementer and part number.
const fn model(midr: u64) -> (u8, u16) {
    ((midr >> 24) as u8, midr as u16 >> 4)
}

const ARM: u8 = 0x41;
const BROADCOM: u8 = 0x42;
const HISILICON: u8 = 0x48;
const QUALCOMM: u8 = 0x51;
const AMPERE: u8 = 0xc0;

/// Tells whether the core, whose CSV2 is 0, has no predictor of branch targets that another context reaches.
pub fn keeps_targets(midr: u64) -> bool {
    matches!(
        model(midr),
        // Cortex-A34, A35, A53, A55, A65, A65AE.
        (ARM, 0xd02..=0xd06 | 0xd43)
            // Brahma B53.
            | (BROADCOM, 0x100)
            // TSV110.
            | (HISILICON, 0xd01)
            // Kryo 2xx, 3xx and 4xx, silver.
            | (QUALCOMM, 0x801 | 0x803 | 0x805)
    )
}

/// Returns how many taken branches fill the core's branch history; 0 if that is no remedy on it, or not needed.
pub fn branches(midr: u64) -> u8 {
    match model(midr) {
        // Cortex-A57, A72.
        (ARM, 0xd07 | 0xd08) => 8,
        (AMPERE, 0xac3) => 11,
        // Cortex-A76, Neoverse N1, Cortex-A77, A76AE; Kryo 4xx gold.
        (ARM, 0xd0b..=0xd0e) | (QUALCOMM, 0x804) => 24,
        // Neoverse V1, Cortex-A78, A78AE, X1, A710, X2, Neoverse N2, Cortex-A78C, X1C; TSV110.
        (ARM, 0xd40 | 0xd41 | 0xd42 | 0xd44 | 0xd47 | 0xd48 | 0xd49 | 0xd4b | 0xd4c)
        | (HISILICON, 0xd01) => 32,
        // Cortex-A715, A720.
        (ARM, 0xd4d | 0xd81) => 38,
        // Cortex-X3, Neoverse V2.
        (ARM, 0xd4e | 0xd4f) => 132,
        _ => 0,
    }
}

/// Tells whether the core, for which [`branches`] has none, does not use the branch history of another context.
pub fn keeps_history(midr: u64) -> bool {
    // Cortex-A510, A520.
    keeps_targets(midr) || matches!(model(midr), (ARM, 0xd46 | 0xd80))
}
