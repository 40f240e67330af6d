// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory that messages bring, as OP-TEE reads it: every address is a host's, and the guest's own.

use mediator::abi::attr;

use super::partition::{Shm, Thread};
use crate::ram::Pool;
use crate::{is_host, owner};

/// Returns the pages in each list of a message. Every other address in it must be NULL.
pub(super) fn pages_of_lists(client: u32, thread: &Thread, pool: &Pool) -> Vec<Vec<u64>> {
    let params = (0..(thread.words.len() - 4) / 4).map(|n| thread.param(n));
    let by_address = params.filter(|param| matches!(param[0] & attr::TYPE, 9..=0xb));
    let (lists, others): (Vec<_>, Vec<_>) =
        by_address.partition(|param| param[0] & attr::NONCONTIG != 0);
    let null = others.iter().all(|param| param[1] == 0);
    assert!(null, "a contiguous address reached OP-TEE");
    let pages = |param| listed(client, param, false, pool).pages;
    lists.iter().map(pages).collect()
}

/// Follows a page list as OP-TEE does.
pub(super) fn listed(client: u32, param: &[u64; 4], payload: bool, pool: &Pool) -> Shm {
    let [_, pointer, size, _] = *param;
    let mut list = pointer & !0xfff;
    let offset = pointer & 0xfff;
    let count = (size + offset).div_ceil(4096);
    let mut pages = Vec::new();
    for n in 0..count {
        if n > 0 && n % 511 == 0 {
            list = pool.peek(list + 511 * 8).expect("a link in a shadow page");
            assert_eq!(list % 4096, 0);
        }
        let page = pool.peek(list + n % 511 * 8);
        let page = page.unwrap_or_else(|| panic!("list page {list:#x} is no shadow page"));
        assert_eq!(page % 4096, 0, "{page:#x} of a list");
        assert_eq!(owner(page), Some(client), "whose page {page:#x} is");
        pages.push(page);
    }
    assert!(!pages.is_empty(), "an empty list");
    Shm {
        size,
        offset,
        pages,
        payload,
        refs: 1,
        releasing: false,
    }
}

/// Returns the answer to SHM_ALLOC as OP-TEE reads it.
pub(super) fn payload(client: u32, param: &[u64; 4], size: u64, pool: &Pool) -> Shm {
    assert!(param[2] >= size, "less than was asked for");
    if param[0] == attr::TMEM_OUT | attr::NONCONTIG {
        return listed(client, param, true, pool);
    }
    assert_eq!(param[0], attr::TMEM_OUT, "an answer of another kind");
    let page = param[1];
    assert_eq!(owner(page), Some(client), "whose page {page:#x} is");
    assert!(page.is_multiple_of(4096) && param[2] <= 4096 && is_host(page));
    Shm {
        size: param[2],
        offset: 0,
        pages: vec![page],
        payload: true,
        refs: 1,
        releasing: false,
    }
}
