// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random play against the model, with shrinking: two guests that keep the rules beside one that keeps none.
//!
//! The model panics when a device touches what its guest has not given it, when a frame arrives changed, forged,
//! twice or out of order, when one is lost and not counted, when a visit does more than it may, or when something is
//! stuck at the end.

use proptest::prelude::*;
use virtio_model::{Op, play, play_bytes};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_play_keeps_the_invariants(
        style in any::<u8>(),
        ops in prop::collection::vec(any::<[u8; Op::BYTES]>().prop_map(Op::decode), 0..150),
    ) {
        play(style, &ops);
    }
}

/// The plays reach what they are for.
#[test]
fn random_play_is_not_idle() {
    let mut random = fuzz_inputs::bytes(1);
    let mut sum = [0_u64; 8];
    for _ in 0..1000 {
        let bytes: Vec<u8> = (0..1 + Op::BYTES * 100).map(|_| random()).collect();
        let p = play_bytes(&bytes);
        let parts = [
            p.honest, p.hostile, p.received, p.refused, p.lost, p.failures, p.more, p.waits,
        ];
        sum.iter_mut()
            .zip(parts)
            .for_each(|(sum, part)| *sum += part);
    }
    println!("{sum:?}");
    assert!(sum.iter().all(|&part| part > 100), "{sum:?}");
}
