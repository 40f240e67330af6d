// SPDX-License-Identifier: MIT OR Apache-2.0

//! What mapping memory costs, known before the first table is made.

use addr::{PAGE_SIZE, PaRange};

/// Log2 of the bytes that a table of level 3, 2 and 1 spans, with the 4 KiB granule.
const SPANS: [u32; 3] = [21, 30, 39];
/// Level 0 has no blocks: whatever lies in such a span takes a table.
const NO_BLOCKS: u32 = 39;
/// End of what a root of level 0 spans.
const END: u64 = 1 << 48;

/// Returns the tables, of a page each, that mapping each of `ranges` to itself takes below a root of
/// level 0, with the largest blocks that fit: exactly, if the ranges are sorted, else at most.
pub fn table_pages(ranges: impl IntoIterator<Item = PaRange>) -> u64 {
    let mut counted = [None; SPANS.len()];
    let mut pages = 0;
    for range in ranges {
        let (start, end) = (range.start.page().0, range.end().0.min(END));
        if let Some(end) = end
            .checked_next_multiple_of(PAGE_SIZE)
            .filter(|&end| start < end)
        {
            for (&span, last) in SPANS.iter().zip(&mut counted) {
                pages += new_tables(start, end, span, last);
            }
        }
    }
    pages
}

/// Returns the tables of `1 << span` bytes each that `start..end` takes, but for the one that was
/// counted `last`.
fn new_tables(start: u64, end: u64, span: u32, last: &mut Option<u64>) -> u64 {
    let (first, final_) = (start >> span, (end - 1) >> span);
    let takes = |&table: &u64| {
        let is_block = start <= table << span && (table + 1) << span <= end;
        span == NO_BLOCKS || !is_block
    };
    let mut new = 0;
    for table in [first, final_].into_iter().filter(takes) {
        new += u64::from(*last != Some(table));
        *last = Some(table);
    }
    if span == NO_BLOCKS {
        new += (final_ - first).saturating_sub(1);
    }
    new
}
