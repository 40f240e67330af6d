// SPDX-License-Identifier: MIT OR Apache-2.0

//! A blank disk on which a guest makes partitions, and the text that it gets by network to write there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::passthrough::text;
use crate::session::RunDir;

/// Bytes of a sector, which the partition table counts.
const SECTOR: usize = 512;
/// First sector of each partition, and sectors of both.
const FIRST: [usize; 2] = [2048, 4096];
const SECTORS: usize = 2048;
/// Sectors of the disk.
const ALL: usize = 8192;
/// Where a partition table has its entries, bytes of an entry, and where its signature is.
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const SIGNATURE: usize = 510;

/// Makes the disk.
pub fn make(dir: &RunDir) -> Result<PathBuf> {
    let path = dir.file("disk");
    fs::write(&path, vec![0; ALL * SECTOR]).with_context(|| format!("{}", path.display()))?;
    Ok(path)
}

/// Makes the folder that is offered by TFTP, with the text.
pub fn offer(dir: &RunDir) -> Result<PathBuf> {
    let folder = dir.file("tftp");
    fs::create_dir(&folder).with_context(|| format!("{}", folder.display()))?;
    fs::write(folder.join("text"), text())?;
    Ok(folder)
}

/// Checks that the guest has made the partitions, written the text to the first and the same in capitals to the second.
pub fn check(path: &Path) -> Result<()> {
    let disk = fs::read(path).with_context(|| format!("{}", path.display()))?;
    check_bytes(&disk)
}

fn check_bytes(disk: &[u8]) -> Result<()> {
    ensure!(disk.len() == ALL * SECTOR, "the disk has another size");
    ensure!(
        disk[SIGNATURE..SECTOR] == [0x55, 0xaa],
        "the disk has no partition table"
    );
    let contents = [text(), text().to_ascii_uppercase()];
    for (number, (first, content)) in FIRST.into_iter().zip(contents).enumerate() {
        let entry = &disk[ENTRIES + number * ENTRY..][..ENTRY];
        let place =
            [8, 12].map(|at| u32::from_le_bytes([0, 1, 2, 3].map(|n| entry[at + n])) as usize);
        ensure!(
            place == [first, SECTORS],
            "partition {} is at {place:?}",
            number + 1
        );
        ensure!(
            disk[first * SECTOR..].starts_with(&content),
            "partition {} does not hold what the guest had to write",
            number + 1
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Vec<u8> {
        let mut disk = vec![0; ALL * SECTOR];
        disk[SIGNATURE..SECTOR].copy_from_slice(&[0x55, 0xaa]);
        for (number, first) in FIRST.into_iter().enumerate() {
            let place = [first as u32, SECTORS as u32]
                .map(u32::to_le_bytes)
                .concat();
            disk[ENTRIES + number * ENTRY + 8..][..8].copy_from_slice(&place);
        }
        let text = text();
        disk[FIRST[0] * SECTOR..][..text.len()].copy_from_slice(&text);
        disk[FIRST[1] * SECTOR..][..text.len()].copy_from_slice(&text.to_ascii_uppercase());
        disk
    }

    #[test]
    fn only_the_right_disk_passes() {
        assert!(check_bytes(&good()).is_ok());
        for at in [
            SIGNATURE,
            ENTRIES + 8,
            ENTRIES + ENTRY + 12,
            FIRST[0] * SECTOR,
            FIRST[1] * SECTOR + 9,
        ] {
            let mut bad = good();
            bad[at] ^= 0x40;
            assert!(check_bytes(&bad).is_err(), "{at}");
        }
        assert!(check_bytes(&good()[SECTOR..]).is_err());
    }
}
