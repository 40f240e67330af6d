// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random play against the model, with shrinking: a hostile guest and a hostile OP-TEE.
//!
//! The model panics when a host address reaches the guest, when anything untranslated reaches
//! OP-TEE, when records and OP-TEE's buffers differ, or when something is left at the end.

use mediator_model::{Op, play, play_bytes};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_play_keeps_the_invariants(
        style in any::<u8>(),
        ops in prop::collection::vec(any::<[u8; 16]>().prop_map(Op::decode), 0..120),
    ) {
        play(style, &ops);
    }
}

/// The plays reach what they are for: most of what a call can meet happens in a few thousand.
#[test]
fn random_play_is_not_idle() {
    let mut random = fuzz_inputs::bytes(1);
    let mut sum = [0_u64; 12];
    for _ in 0..3000 {
        let bytes: Vec<u8> = (0..16 * 60).map(|_| random()).collect();
        let played = play_bytes(&bytes);
        let c = played.counters;
        let parts = [
            c.calls,
            c.fast,
            c.rpcs,
            c.rpcs_answered,
            c.interrupts,
            c.chunks,
            c.refusals,
            c.turned_away,
            played.most_buffers.into(),
            played.kept,
            played.lost,
            played.denials,
        ];
        sum.iter_mut()
            .zip(parts)
            .for_each(|(sum, part)| *sum += part);
    }
    println!("{sum:?}");
    assert!(sum.iter().all(|&part| part > 10), "{sum:?}");
}
