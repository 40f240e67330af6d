// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values as the fields that they are made of.

/// Name, lowest bit, bits, value.
pub type Field = (&'static str, u32, u32, u64);

/// Panics with the names of the fields that are not as expected. What belongs to no field must be 0.
pub fn expect(name: &str, value: u64, fields: &[Field]) {
    let mut rest = value;
    let mut wrong = Vec::new();
    for &(field, low, bits, expected) in fields {
        let mask = u64::MAX >> (64 - bits);
        let found = value >> low & mask;
        rest &= !(mask << low);
        if found != expected {
            wrong.push(format!(
                "{field} [{low}, {bits} bits] = {found:#x}, not {expected:#x}"
            ));
        }
    }
    if rest != 0 {
        wrong.push(format!("bits {rest:#x} are not expected at all"));
    }
    assert!(
        wrong.is_empty(),
        "{name} = {value:#x}: {}",
        wrong.join("; ")
    );
}
