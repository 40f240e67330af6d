// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk that is given to a guest: what is on it before, and what the guest must have made of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::session::RunDir;

const PART: usize = 1 << 20;
const PARTS: usize = 4;

/// Makes a disk whose first part has text that differs from sector to sector, and the rest nothing.
pub fn make(dir: &RunDir) -> Result<PathBuf> {
    let path = dir.file("disk");
    let mut disk = text();
    disk.resize(PARTS * PART, 0);
    fs::write(&path, disk).with_context(|| format!("{}", path.display()))?;
    Ok(path)
}

/// Returns the text, of a mebibyte.
pub fn text() -> Vec<u8> {
    let lines = (0..).map(|line| format!("line {line} is written by the host\n"));
    let mut text: Vec<u8> = lines.flat_map(String::into_bytes).take(PART).collect();
    text[PART - 1] = b'\n';
    text
}

/// Checks that the guest has read the first part and written it in capitals to the second.
pub fn check(path: &Path) -> Result<()> {
    let disk = fs::read(path).with_context(|| format!("{}", path.display()))?;
    check_bytes(&disk)
}

fn check_bytes(disk: &[u8]) -> Result<()> {
    let text = text();
    let capitals = text.to_ascii_uppercase();
    ensure!(
        disk.get(..PART) == Some(&text),
        "the disk's first part has changed"
    );
    ensure!(
        disk.get(PART..2 * PART) == Some(&capitals),
        "the disk's second part is not what the guest had to write"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_passes() {
        let text = text();
        let good = [text.clone(), text.to_ascii_uppercase()].concat();
        assert!(check_bytes(&good).is_ok());
        assert!(check_bytes(&[text.clone(), vec![0; PART]].concat()).is_err());
        assert!(check_bytes(&good[PART..]).is_err());
        let mut late = good.clone();
        late[2 * PART - 2] ^= 1;
        assert!(check_bytes(&late).is_err());
    }
}
