// SPDX-License-Identifier: MIT OR Apache-2.0

//! The mediator between a hostile guest on three vCPUs and a hostile OP-TEE.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mediator_model::play_bytes(bytes);
});
