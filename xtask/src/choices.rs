// SPDX-License-Identifier: MIT OR Apache-2.0

//! Options whose values are the names of another crate's items.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Returns a parser of one of `values` by its `name`; help lists the names.
pub fn one_of<T, const N: usize>(
    values: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(values.map(name)).map(move |chosen| {
        let found = values.into_iter().find(|value| name(*value) == chosen);
        found.expect("the parser lets these names alone in")
    })
}
