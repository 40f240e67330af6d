// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fuzz target on a stable compiler: the stored corpus, then random inputs.
//!
//! `FUZZ_RUNS` says how many random inputs (default 2000), `FUZZ_SEED` where they start.

use virtio_model::{Op, play_bytes};

#[test]
fn the_corpus_is_replayed() {
    fuzz_inputs::replay_corpus("vnet", play_bytes);
}

#[test]
fn random_inputs_are_played() {
    fuzz_inputs::play_random(Op::BYTES, play_bytes);
}
