// SPDX-License-Identifier: MIT OR Apache-2.0

//! Link arguments of the guest: position-independent, as the loader chooses where it lies.

use std::path::Path;

fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let script = Path::new(&manifest).join("guest.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    let script = format!("-T{}", script.display());
    for arg in [
        script.as_str(),
        "-pie",
        "--no-dynamic-linker",
        "-znotext",
        "-znorelro",
        "-zmax-page-size=4096",
        "--build-id=none",
    ] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
}
