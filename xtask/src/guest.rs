// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Linux guest: Debian's kernel, and an initial file system with busybox, OP-TEE's
//! supplicant, xtest and its TAs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::boards::kernel_trees;
use crate::cache::{self, Cache, Inputs, Work};
use crate::command;
use crate::cpio::Archive;
use crate::packages::Packages;

/// Name of the kernel in the guests' folder.
pub const KERNEL: &str = "linux";
/// Name of the initial file system in the guests' folder.
pub const INITRAMFS: &str = "initramfs.cpio";
/// Name of the same file system with the kernel once more, and a program that starts it by kexec.
const KEXEC_INITRAMFS: &str = "initramfs-kexec.cpio";

/// Name of Debian's kernel for all boards, which has drivers of more PCI cards, in the folder of guests that use it.
const GENERIC_KERNEL: &str = "linux-generic";
/// Name of the initial file system with its modules.
const GENERIC_INITRAMFS: &str = "initramfs-generic.cpio";

const LIBRARIES: &str = "usr/lib/aarch64-linux-gnu";
const TAS: &str = "usr/lib/optee_armtz";

const DIRECTORIES: [&str; 11] = [
    "bin",
    "sbin",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    LIBRARIES,
    TAS,
    "usr/lib/modules",
    "usr/lib/tee-supplicant",
    "usr/lib/tee-supplicant/plugins",
];

/// Programs and libraries: path in the guest, path among the unpacked packages.
const FILES: [(&str, &str); 12] = [
    ("bin/busybox", "usr/bin/busybox"),
    ("usr/bin/xtest", "usr/bin/xtest"),
    ("usr/sbin/tee-supplicant", "usr/sbin/tee-supplicant"),
    (
        "usr/lib/ld-linux-aarch64.so.1",
        "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
    ),
    (
        "usr/lib/aarch64-linux-gnu/libc.so.6",
        "usr/lib/aarch64-linux-gnu/libc.so.6",
    ),
    (
        "usr/lib/aarch64-linux-gnu/libckteec.so.0",
        "usr/lib/aarch64-linux-gnu/libckteec.so.0",
    ),
    (
        "usr/lib/aarch64-linux-gnu/libcrypto.so.3",
        "usr/lib/aarch64-linux-gnu/libcrypto.so.3",
    ),
    (
        "usr/lib/aarch64-linux-gnu/libgcc_s.so.1",
        "usr/lib/aarch64-linux-gnu/libgcc_s.so.1",
    ),
    (
        "usr/lib/aarch64-linux-gnu/libm.so.6",
        "usr/lib/aarch64-linux-gnu/libm.so.6",
    ),
    (
        "usr/lib/aarch64-linux-gnu/libteec.so.2",
        "usr/lib/aarch64-linux-gnu/libteec.so.2",
    ),
    (
        "usr/lib/aarch64-linux-gnu/libz.so.1",
        "usr/lib/aarch64-linux-gnu/libz.so.1",
    ),
    (
        "usr/lib/aarch64-linux-gnu/libzstd.so.1",
        "usr/lib/aarch64-linux-gnu/libzstd.so.1",
    ),
];

/// Folders whose files all go in: folder in the guest, folder among OP-TEE's packages.
const FOLDERS: [(&str, &str); 3] = [
    (TAS, TAS),
    (
        TAS,
        "usr/lib/optee-os-dev/vexpress-qemu_armv8a-virtualized/ta",
    ),
    (
        "usr/lib/tee-supplicant/plugins",
        "usr/lib/tee-supplicant/plugins",
    ),
];

/// Kernel modules below `kernel/` in the modules' folder, without `.ko.xz`.
const MODULES: [&str; 6] = [
    "drivers/tee/tee",
    "drivers/tee/optee/optee",
    "drivers/char/hw_random/optee-rng",
    "drivers/virtio/virtio_mmio",
    "drivers/block/virtio_blk",
    "drivers/watchdog/sbsa_gwdt",
];

/// Makes the folder with what `manifest` may name: as [`ensure`] does, and the kernel for all boards if it names that.
pub fn for_manifest(cache: &Cache, packages: &Packages, manifest: &str) -> Result<PathBuf> {
    let guests = ensure(cache, packages)?;
    match manifest.contains(GENERIC_KERNEL) {
        true => generic(cache, packages, &guests),
        false => Ok(guests),
    }
}

/// Adds [`GENERIC_KERNEL`] and [`GENERIC_INITRAMFS`] to what is in `guests`, in a folder of their own.
fn generic(cache: &Cache, packages: &Packages, guests: &Path) -> Result<PathBuf> {
    let kernel = kernel_trees::ensure(cache)?;
    let init = fs::read_to_string(source("init"))?;
    let inputs = Inputs::default().texts(["1", &init]);
    let inputs = inputs.stamp(guests)?.stamp(&kernel)?;
    let name = format!("guest-generic{}", packages.suite().suffix());
    cache.step(&name, inputs, |work| {
        for file in list(guests)?.iter().filter(|path| path.is_file()) {
            let name = file.file_name().unwrap_or_default();
            fs::copy(file, work.dir.join(name))?;
        }
        fs::copy(
            kernel.join(kernel_trees::IMAGE),
            work.dir.join(GENERIC_KERNEL),
        )?;
        let module = |name: &&str| kernel.join(kernel_trees::MODULES).join(last(name));
        let modules = kernel_trees::KEPT.iter().map(module).collect::<Vec<_>>();
        let archive = initramfs(packages, &init, &modules)?;
        Ok(fs::write(work.dir.join(GENERIC_INITRAMFS), archive)?)
    })
}

/// Makes the folder with [`KERNEL`] and [`INITRAMFS`].
pub fn ensure(cache: &Cache, packages: &Packages) -> Result<PathBuf> {
    let read =
        |path: PathBuf| fs::read_to_string(&path).with_context(|| format!("{}", path.display()));
    let init = read(source("init"))?;
    let kexec = read(source("kexec.c"))?;
    let inputs = Inputs::default()
        .texts(["2", &init, &kexec])
        .texts(DIRECTORIES)
        .texts(
            FILES
                .iter()
                .chain(&FOLDERS)
                .flat_map(|(to, from)| [*to, *from]),
        )
        .texts(MODULES);
    let inputs = packages.stamps(inputs)?;
    let name = format!("guest{}", packages.suite().suffix());
    cache.step(&name, inputs, |work| {
        fs::copy(kernel(&packages.root())?, work.dir.join(KERNEL))?;
        let modules = list(&packages.root().join("usr/lib/modules"))?
            .pop()
            .context("the kernel has no modules")?;
        let modules = MODULES.map(|module| modules.join(format!("kernel/{module}")));
        let mut archive = initramfs(packages, &init, &modules)?;
        fs::write(work.dir.join(INITRAMFS), &archive)?;
        archive.extend(kexec_files(work)?);
        Ok(fs::write(work.dir.join(KEXEC_INITRAMFS), archive)?)
    })
}

fn source(name: &str) -> PathBuf {
    cache::workspace().join("qemu/guest-files").join(name)
}

/// Makes the folder /kexec as a further archive. The C library is the build machine's, so the
/// guest's must not be older.
fn kexec_files(work: &Work) -> Result<Vec<u8>> {
    let program = work.dir.join("kexec");
    let mut gcc = Command::new("aarch64-linux-gnu-gcc");
    gcc.args(["-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"])
        .arg(source("kexec.c"))
        .arg("-o")
        .arg(&program);
    command::logged(&mut gcc, "kexec", work.log, work.bar)?;
    let mut archive = Archive::default();
    archive.directory("kexec");
    archive.file("kexec/kexec", 0o755, &read(&program)?);
    archive.file("kexec/linux", 0o644, &read(&work.dir.join(KERNEL))?);
    Ok(archive.finish())
}

fn kernel(root: &Path) -> Result<PathBuf> {
    let boot = root.join("boot");
    let mut paths = list(&boot)?.into_iter();
    let is_kernel = |p: &PathBuf| {
        p.file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"vmlinuz-"))
    };
    paths
        .find(is_kernel)
        .with_context(|| format!("no kernel in {}", boot.display()))
}

/// Makes the initial file system with these modules, which are named without `.ko.xz`.
fn initramfs(packages: &Packages, init: &str, modules: &[PathBuf]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    DIRECTORIES.iter().for_each(|dir| archive.directory(dir));
    archive.symlink("lib", "usr/lib");
    archive.file("init", 0o755, init.as_bytes());
    for (to, from) in FILES {
        archive.file(to, 0o755, &read(&packages.file(from))?);
    }
    for (to, from) in FOLDERS {
        for path in list(&packages.optee_root().join(from))? {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            archive.file(&format!("{to}/{name}"), 0o644, &read(&path)?);
        }
    }
    for module in modules {
        let packed = module.with_extension("ko.xz");
        let name = last(&module.to_string_lossy()).to_owned();
        archive.file(
            &format!("usr/lib/modules/{name}.ko"),
            0o644,
            &unpack(&packed)?,
        );
    }
    Ok(archive.finish())
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn unpack(path: &Path) -> Result<Vec<u8>> {
    let out = Command::new("xz")
        .arg("-dc")
        .arg(path)
        .output()
        .context("cannot start `xz`")?;
    anyhow::ensure!(out.status.success(), "`xz -dc {}` failed", path.display());
    Ok(out.stdout)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns the kernel arguments by which the guest's init runs `command`.
pub fn command_argument(command: &str) -> String {
    let plain = |byte: &u8| (0x20..0x7f).contains(byte) && !b"\"%\\".contains(byte);
    let encode = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02x}"),
    };
    format!(
        "guest.cmd=\"{}\"",
        command.bytes().map(encode).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_pass_as_they_are_but_for_what_the_init_decodes() {
        assert_eq!(command_argument("xtest -l 0"), "guest.cmd=\"xtest -l 0\"");
        assert_eq!(
            command_argument(r#"echo "5%\n""#),
            r#"guest.cmd="echo %225%25%5cn%22""#
        );
        assert_eq!(command_argument("a\nb"), "guest.cmd=\"a%0ab\"");
    }
}
