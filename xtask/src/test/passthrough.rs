//! Devices given to guests: the manifests, the disk before, and what a guest must have made of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::session::RunDir;

/// A guest that has the disk, restarts once with it, takes its interrupt on a vCPU whose core it
/// is not routed to, and writes what [`check`] looks for; and one that must not see it. QEMU
/// 7.2's GICv2 keeps an SPI active until the core that acknowledged it ends it: there the interrupt
/// stays with the first vCPU.
pub const PASSTHROUGH: &str = r#"
version = 1
[[guest]]
name = "linux"
vcpus = 2
memory = "256MiB"
kernel = "linux"
initrd = "initramfs.cpio"
direct-map = true
devices = ["/virtio_mmio@a003e00"]
bootargs = """console=ttyAMA0 quiet guest.cmd=\"set -e; cd /tmp; d=/dev/vda; \
if ! dd if=$d bs=1M skip=3 2>/dev/null | grep -q restarted; then \
dd if=$d of=before bs=1M count=1; echo restarted | dd of=$d bs=1M seek=3 conv=fsync; reboot -f; fi; \
n=$(grep virtio0 /proc/interrupts | cut -d: -f1); \
other=$(grep -c GICv3.*virtio0 /proc/interrupts || true); test $other = 0 || echo 2 >/proc/irq/$((n))/smp_affinity; \
dd if=$d bs=1M count=1 | tr a-z A-Z >upper; dd if=upper of=$d bs=1M seek=1 conv=fsync; \
echo 3 >/proc/sys/vm/drop_caches; dd if=$d bs=1M skip=1 count=1 | cmp - upper; \
grep virtio0 /proc/interrupts | { read n a b rest; echo interrupts $a $b; test $other = 0 || test $b -gt 0; }; \
test ! -e /dev/tee0 || xtest -l 0 -t regression 1004\""""
[[guest]]
name = "other"
vcpus = 1
memory = "16MiB"
kernel = "testguest.bin"
bootargs = "test=boot,fault"
"#;

/// EL2 drives the console itself.
pub const CONSOLE_DEVICE: &str = r#"
version = 1
[[guest]]
name = "thief"
vcpus = 1
memory = "16MiB"
kernel = "testguest.bin"
devices = ["/pl011@9000000"]
"#;

/// Two transports of one page.
pub const ONE_PAGE_TWICE: &str = r#"
version = 1
[[guest]]
name = "one"
vcpus = 1
memory = "16MiB"
kernel = "testguest.bin"
direct-map = true
devices = ["/virtio_mmio@a003e00"]
[[guest]]
name = "two"
vcpus = 1
memory = "16MiB"
kernel = "testguest.bin"
direct-map = true
devices = ["/virtio_mmio@a003c00"]
"#;

/// What the device writes to would not be the guest's RAM.
pub const NOT_DIRECT: &str = r#"
version = 1
[[guest]]
name = "lost"
vcpus = 1
memory = "16MiB"
kernel = "testguest.bin"
devices = ["/virtio_mmio@a003e00"]
"#;

const PART: usize = 1 << 20;
const PARTS: usize = 4;

/// A disk whose first part has text that differs from sector to sector, and the rest nothing.
pub fn make(dir: &RunDir) -> Result<PathBuf> {
    let path = dir.file("disk");
    let mut disk = text();
    disk.resize(PARTS * PART, 0);
    fs::write(&path, disk).with_context(|| format!("{}", path.display()))?;
    Ok(path)
}

fn text() -> Vec<u8> {
    let lines = (0..).map(|line| format!("line {line} is written by the host\n"));
    let mut text: Vec<u8> = lines.flat_map(String::into_bytes).take(PART).collect();
    text[PART - 1] = b'\n';
    text
}

/// The guest has read the first part and written it in capitals to the second.
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
