// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a guest can start with the files it is given.

use super::CompileError;
use crate::Guest;
use crate::image::Image;
use std::collections::BTreeMap;

/// The files of a manifest by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Checks each guest's kernel and that its memory holds everything.
pub(super) fn check(text: &str, guests: &[Guest], files: &Files) -> Result<(), CompileError> {
    for (index, guest) in guests.iter().enumerate() {
        let fail = |key, why: String| {
            CompileError::at_key(
                text,
                index,
                key,
                format!("guest {}: {key} {why}", guest.name),
            )
        };
        let kernel = files
            .get(guest.kernel)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let kernel = Image::parse(kernel).ok_or_else(|| fail("kernel", not_an_image(kernel)))?;
        let initrd = guest
            .initrd
            .and_then(|name| files.get(name))
            .map_or(0, Vec::len) as u64;
        let needed = kernel.ram_needed(initrd);
        if needed > guest.memory {
            let least = needed.div_ceil(2 << 20) * 2;
            return Err(fail(
                "memory",
                format!("must be at least {least}MiB for its kernel and initrd"),
            ));
        }
    }
    Ok(())
}

fn not_an_image(kernel: &[u8]) -> String {
    let instead = match kernel {
        [0x1f, 0x8b, ..] => "it is compressed with gzip: unpack it",
        [0x7f, b'E', b'L', b'F', ..] => "it is an ELF file: take arch/arm64/boot/Image",
        [b'M', b'Z', _, _, b'z', b'i', b'm', b'g', ..] => {
            "it is a compressed EFI image: take arch/arm64/boot/Image"
        }
        _ => "it lacks that header",
    };
    format!("must be an uncompressed arm64 Image, but {instead}")
}
