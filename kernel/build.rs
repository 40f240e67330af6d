// SPDX-License-Identifier: MIT OR Apache-2.0

//! Link arguments of the EL2 image: position-independent, laid out by the workspace's linker.ld.

use std::path::Path;

fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let script = Path::new(&manifest).join("../linker.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    for arg in [
        &format!("-T{}", script.display()),
        "-pie",
        "--no-dynamic-linker",
        "-znotext",
        "-znorelro",
        "--pack-dyn-relocs=relr",
        "-zmax-page-size=4096",
        "--build-id=none",
        "--fix-cortex-a53-843419",
    ] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
}
