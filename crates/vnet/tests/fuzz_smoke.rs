// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fuzz target on a stable compiler: the stored corpus, then random inputs.
//!
//! `FUZZ_RUNS` says how many random inputs (default 2000), `FUZZ_SEED` where they start.

use std::panic::{catch_unwind, resume_unwind};
use std::{env, fs, path::Path};

use virtio_model::{Op, play_bytes};

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn the_corpus_is_replayed() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/vnet");
    let files: Vec<_> = fs::read_dir(corpus).expect("the corpus").collect();
    assert!(files.len() >= 20, "{} files", files.len());
    for file in files {
        let bytes = fs::read(file.expect("a file").path()).expect("readable");
        play_bytes(&bytes);
    }
}

#[test]
fn random_inputs_are_played() {
    let mut seed = number("FUZZ_SEED", 0x7EE5);
    for run in 0..number("FUZZ_RUNS", 2000) {
        let mut random = || {
            seed = seed
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            (seed >> 33) as u8
        };
        let ops = usize::from(random());
        let bytes: Vec<u8> = (0..1 + Op::BYTES * ops).map(|_| random()).collect();
        if let Err(panic) = catch_unwind(|| play_bytes(&bytes)) {
            println!("input {run} fails");
            resume_unwind(panic);
        }
    }
}
