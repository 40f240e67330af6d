// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fuzz targets' inputs for tests, on a stable compiler and without libFuzzer: the stored corpora, and random ones.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::{env, fs, path::Path};

/// Returns random bytes, the same ones for the same seed: Knuth's MMIX generator, its upper half.
pub fn bytes(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 33) as u8
    }
}

/// Plays the corpus of a target in `fuzz/corpus`.
///
/// # Panics
/// Where `play` does, and if there is hardly any corpus.
pub fn replay_corpus<T>(target: &str, play: impl Fn(&[u8]) -> T) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let files: Vec<_> = fs::read_dir(corpora.join(target))
        .expect("the corpus")
        .collect();
    assert!(files.len() >= 20, "{} files", files.len());
    for file in files {
        play(&fs::read(file.expect("a file").path()).expect("readable"));
    }
}

/// Plays random inputs of a byte and up to 255 operations of `operation` bytes: `FUZZ_RUNS` says how many (default 2000),
/// `FUZZ_SEED` where they start.
///
/// # Panics
/// Where `play` does: the number of that input is printed.
pub fn play_random<T>(operation: usize, play: impl Fn(&[u8]) -> T) {
    let mut random = bytes(number("FUZZ_SEED", 0x7EE5));
    for run in 0..number("FUZZ_RUNS", 2000) {
        let operations = usize::from(random());
        let input: Vec<u8> = (0..1 + operation * operations).map(|_| random()).collect();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(&input))) {
            println!("input {run} fails");
            resume_unwind(panic);
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}
