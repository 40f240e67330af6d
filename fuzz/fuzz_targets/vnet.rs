// SPDX-License-Identifier: MIT OR Apache-2.0

//! A switch between two guests that keep virtio's rules and one that keeps none.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    virtio_model::play_bytes(bytes);
});
