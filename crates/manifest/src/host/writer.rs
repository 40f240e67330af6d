// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing the blob that `blob` reads.

use crate::Guest;
use crate::blob::Top;
use crate::table::Keys;
use vm_fdt::{Error, FdtWriter};

/// Writes guests that passed [`crate::check`].
pub(super) fn blob(guests: &[Guest], top: &Top) -> Vec<u8> {
    // A checked name is a valid node name and checked text has no NUL: all that can fail here.
    write(guests, top).expect("checked guests can be written")
}

fn write(guests: &[Guest], top: &Top) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    top.write(&mut tree)?;
    for guest in guests {
        let node = tree.begin_node(guest.name)?;
        guest.write(&mut tree)?;
        tree.end_node(node)?;
    }
    tree.end_node(root)?;
    tree.finish()
}
