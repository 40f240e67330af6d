// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware image packages: TF-A's container for BL2, BL31 and the secure world's images
//! (TF-A documentation, "Firmware Image Package (FIP)").

/// A type of image by its UUID, as the bytes stand in the package.
pub type Uuid = [u8; 16];

/// Trusted boot firmware, BL2.
pub const BL2: Uuid = uuid(0x5ff9_ec0b_4d22_3e4d_a544_c39d_81c7_3f0a);
/// EL3 runtime firmware, BL31.
pub const BL31: Uuid = uuid(0x47d4_086d_4cfe_9846_9b95_2950_cbbd_5a00);
/// Secure payload, BL32: OP-TEE's header.
pub const BL32: Uuid = uuid(0x05d0_e189_53dc_1347_8d2b_500a_4b7a_3e38);
/// Secure payload's first extra image: OP-TEE's pager.
pub const BL32_EXTRA1: Uuid = uuid(0x0b70_c29b_2a5a_7840_9f65_0a56_8273_8288);
/// Secure payload's second extra image: OP-TEE's pageable part.
pub const BL32_EXTRA2: Uuid = uuid(0x8ea8_7bb1_cfa2_3f4d_85fd_e7bb_a502_20d9);

const MAGIC: u32 = 0xaa64_0001;
/// Any value but 0: which tool wrote the package.
const SERIAL: u32 = 0x1234_5678;
const HEADER: usize = 16;
const ENTRY: usize = 40;

const fn uuid(number: u128) -> Uuid {
    number.to_be_bytes()
}

/// Makes a package of the given images, in their order. Empty ones are left out: BL2 takes an entry
/// for an image that it could not load.
pub fn build(images: &[(Uuid, Vec<u8>)]) -> Vec<u8> {
    let images: Vec<_> = images
        .iter()
        .filter(|(_, image)| !image.is_empty())
        .collect();
    let mut out = Vec::new();
    out.extend(MAGIC.to_le_bytes());
    out.extend(SERIAL.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    let mut offset = HEADER + ENTRY * (images.len() + 1);
    for (uuid, image) in &images {
        out.extend(entry(uuid, offset, image.len()));
        offset += image.len();
    }
    // The end marker: a null UUID whose offset is the package's size.
    out.extend(entry(&[0; 16], offset, 0));
    images.iter().for_each(|(_, image)| out.extend(image));
    out
}

fn entry(uuid: &Uuid, offset: usize, size: usize) -> Vec<u8> {
    let flags = 0u64;
    let numbers = [offset as u64, size as u64, flags];
    uuid.iter()
        .copied()
        .chain(numbers.into_iter().flat_map(u64::to_le_bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_of_a_package_with_two_images() {
        let fip = build(&[(BL2, vec![1, 2, 3]), (BL32, vec![]), (BL31, vec![4])]);
        let number = |at: usize| u64::from_le_bytes(fip[at..at + 8].try_into().unwrap());
        assert_eq!(fip[..4], [0x01, 0x00, 0x64, 0xaa]);
        assert_eq!(fip[16..20], [0x5f, 0xf9, 0xec, 0x0b]);
        assert_eq!((number(32), number(40)), (136, 3));
        assert_eq!((number(72), number(80)), (139, 1));
        assert_eq!(fip[96..112], [0; 16]);
        assert_eq!(number(112), 140);
        assert_eq!(fip[136..], [1, 2, 3, 4]);
    }
}
