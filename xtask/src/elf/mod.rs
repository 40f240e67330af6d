// SPDX-License-Identifier: MIT OR Apache-2.0

//! The hypervisor's ELF: its instructions, what may not be among them, and what is mended in it.

mod a64;
mod errata;
mod lines;
mod registers;
pub mod scan;
pub mod veneers;

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol, SymbolSection, read::elf::ElfFile64,
};

use a64::Insn;

/// Instructions by their addresses, in ascending order: .text without the data in it.
struct Code(Vec<(u64, Insn)>);

impl Code {
    /// Reads the instructions of an ELF.
    fn read(elf: &Path) -> Result<Self> {
        let bytes = fs::read(elf).with_context(|| format!("{}", elf.display()))?;
        let text = text(&bytes)?;
        let words = bytes[text.file.clone()].chunks_exact(4);
        let words =
            words.map(|word| Insn(u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
        let all = (text.start..).step_by(4).zip(words);
        Ok(Self(all.filter(|(at, _)| !text.is_data(*at)).collect()))
    }

    #[cfg(test)]
    fn of(start: u64, words: &[u32]) -> Self {
        let words = words.iter().map(|&word| Insn(word));
        Self((start..).step_by(4).zip(words).collect())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, Insn)> {
        self.0.iter().copied()
    }

    /// Returns the instructions from `address` on, up to the next data.
    fn from(&self, address: u64) -> impl Iterator<Item = Insn> {
        let first = self.0.partition_point(|(at, _)| *at < address);
        let rest = (address..).step_by(4).zip(&self.0[first..]);
        rest.map_while(|(expected, (at, insn))| (*at == expected).then_some(*insn))
    }

    /// Returns the instructions before `address`, the last first, up to the next data.
    fn before(&self, address: u64) -> impl Iterator<Item = Insn> {
        let end = self.0.partition_point(|(at, _)| *at < address);
        let earlier = self.0[..end].iter().rev();
        let expected = (1..).map(move |n| address - 4 * n);
        let pairs = earlier.zip(expected);
        pairs.map_while(|((at, insn), expected)| (*at == expected).then_some(*insn))
    }

    /// Returns each N instructions that follow one another, with the address of the first.
    fn sequences<const N: usize>(&self) -> impl Iterator<Item = (u64, [Insn; N])> {
        self.0.windows(N).filter_map(|window| {
            let (first, last) = (window[0].0, window[N - 1].0);
            let insns = std::array::from_fn(|n| window[n].1);
            (last - first == 4 * (N as u64 - 1)).then_some((first, insns))
        })
    }
}

/// Where .text is.
struct Text {
    start: u64,
    end: u64,
    /// Its bytes in the file.
    file: Range<usize>,
    symbols: Vec<(u64, String)>,
}

impl Text {
    /// Returns the value of a symbol.
    fn symbol(&self, name: &str) -> Option<u64> {
        let found = self.symbols.iter().find(|(_, other)| other == name);
        found.map(|(value, _)| *value)
    }

    /// Returns where in the file the word at `address` is.
    fn offset(&self, address: u64) -> usize {
        self.file.start + (address - self.start) as usize
    }

    /// Tells whether data is there, by the mapping symbols (AAELF64 5.5.5) before it.
    fn is_data(&self, address: u64) -> bool {
        let before = self.symbols.partition_point(|(at, _)| *at <= address);
        let mut names = self.symbols[..before].iter().rev().map(|(_, name)| name);
        let state = names.find(|name| name.starts_with("$x") || name.starts_with("$d"));
        state.is_some_and(|name| name.starts_with("$d"))
    }
}

/// Returns the value of an absolute symbol: a constant of the assembly's.
fn constant(elf: &Path, name: &str) -> Result<Option<u64>> {
    let bytes = fs::read(elf)?;
    let file = ElfFile64::<LittleEndian>::parse(&*bytes)?;
    let mut absolute = file
        .symbols()
        .filter(|symbol| symbol.section() == SymbolSection::Absolute);
    let found = absolute.find(|symbol| symbol.name() == Ok(name));
    Ok(found.map(|symbol| symbol.address()))
}

fn text(bytes: &[u8]) -> Result<Text> {
    let file = ElfFile64::<LittleEndian>::parse(bytes)?;
    let text = file.section_by_name(".text").context("no .text")?;
    let (start, size) = (text.address(), text.size());
    let (offset, length) = text.file_range().context("no bytes in .text")?;
    let mut symbols: Vec<(u64, String)> = file
        .symbols()
        // Debug information has mapping symbols of its own, at offsets that are no addresses.
        .filter(|symbol| symbol.section_index() == Some(text.index()))
        .map(|symbol| {
            (
                symbol.address(),
                symbol.name().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    symbols.sort();
    Ok(Text {
        start,
        end: start + size,
        file: offset as usize..(offset + length) as usize,
        symbols,
    })
}
