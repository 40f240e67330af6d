// SPDX-License-Identifier: MIT OR Apache-2.0

//! What qemu/bench/calls.c, a plugin inside QEMU, counts of one range of addresses.

use anyhow::{Result, bail, ensure};

/// One timed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The core that made it.
    pub core: usize,
    /// Instructions that the core executed in the range meanwhile.
    pub instructions: u64,
    /// SMCs among them.
    pub smcs: u64,
}

/// One case's executed instructions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The timed calls, in the order in which they ended.
    pub calls: Vec<Call>,
    /// Whether the end of the case may have cut calls off.
    pub is_cut: bool,
    /// Which: their addresses, each with its executions in all the calls.
    pub executions: Vec<(u64, u64)>,
    /// Instructions behind an SMC, by the number of cores that were there at once.
    pub inside: Vec<(u64, u64)>,
}

impl Counts {
    /// Returns the median of a call.
    pub fn median(&self) -> u64 {
        self.rank(1, 2)
    }

    /// Returns what this part of the calls stays below.
    pub fn rank(&self, part: usize, of: usize) -> u64 {
        let mut sorted: Vec<u64> = self.calls.iter().map(|call| call.instructions).collect();
        sorted.sort_unstable();
        sorted
            .get(sorted.len() * part / of)
            .copied()
            .unwrap_or_default()
    }

    /// Returns by how much calls exceed the median that came out for no other reason than an interrupt: without another
    /// SMC. It is the tick of the guest's timer, as a rule.
    fn ticks(&self) -> impl Iterator<Item = u64> {
        let mut smcs: Vec<u64> = self.calls.iter().map(|call| call.smcs).collect();
        smcs.sort_unstable();
        let usual = smcs.get(smcs.len() / 2).copied().unwrap_or_default();
        let alike = self.calls.iter().filter(move |call| call.smcs == usual);
        alike
            .filter_map(|call| call.instructions.checked_sub(self.median()))
            .filter(|&more| more > 0)
    }

    /// Counts SMCs in a call, on average.
    pub fn smcs(&self) -> f64 {
        self.a_call(self.calls.iter().map(|call| call.smcs).sum())
    }

    /// Tells how many cores are behind an SMC at once, on average while there is one.
    pub fn at_once(&self) -> f64 {
        // A thousand instructions of two cores together are a time of five hundred.
        let time: f64 = self
            .inside
            .iter()
            .map(|(n, count)| *count as f64 / *n as f64)
            .sum();
        let instructions: u64 = self.inside.iter().map(|(_, count)| count).sum();
        instructions as f64 / time.max(1.0)
    }

    /// Tells how often a call on average executes an instruction.
    pub fn a_call(&self, executions: u64) -> f64 {
        executions as f64 / self.calls.len() as f64
    }

    /// Counts the executions of one instruction.
    pub fn at(&self, address: u64) -> u64 {
        let found = self.executions.iter().find(|(at, _)| *at == address);
        found.map_or(0, |(_, count)| *count)
    }
}

/// Returns what a tick of the guest's timer that falls into a call costs, beyond the call: the median of all. None if none
/// did.
pub fn tick(cases: &[Counts]) -> Option<u64> {
    let mut all: Vec<u64> = cases.iter().flat_map(Counts::ticks).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

/// Reads the plugin's file: the cases in the order in which they ran.
pub fn parse(text: &str) -> Result<Vec<Counts>> {
    let mut cases: Vec<Counts> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let case = cases.last_mut();
        match (&words[..], case) {
            (["case"], _) => cases.push(Counts::default()),
            (["call", core, instructions, smcs], Some(case)) => case.calls.push(Call {
                core: core.parse()?,
                instructions: instructions.parse()?,
                smcs: smcs.parse()?,
            }),
            (["end"], Some(case)) => case.is_cut = true,
            (["at", address, count], Some(case)) => {
                let address = u64::from_str_radix(address, 16)?;
                case.executions.push((address, count.parse()?));
            }
            (["inside", cores, count], Some(case)) => {
                case.inside.push((cores.parse()?, count.parse()?));
            }
            (["total", _], _) => return checked(cases),
            _ => bail!("the plugin wrote: {line}"),
        }
    }
    bail!("the plugin did not come to its end")
}

/// Checks that every instruction belongs to a call.
fn checked(cases: Vec<Counts>) -> Result<Vec<Counts>> {
    for (index, case) in cases.iter().enumerate() {
        let by_call: u64 = case.calls.iter().map(|call| call.instructions).sum();
        let by_address: u64 = case.executions.iter().map(|(_, count)| count).sum();
        let context = || format!("case {index} of the plugin");
        ensure!(!case.calls.is_empty(), "{} has no call", context());
        let same = by_call == by_address || case.is_cut && by_call < by_address;
        ensure!(same, "{}: {by_call} is not {by_address}", context());
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "case\ncall 0 30 1\ncall 1 10 1\ncall 0 20 4\nat 60001000 6\n\
                        at 6000a004 61\nend\ninside 1 100\ninside 2 200\n\
                        case\ncall 0 0 0\ntotal 70000\n";

    #[test]
    fn cases_with_their_calls_and_instructions() {
        let cases = parse(TEXT).unwrap();
        assert_eq!(cases.len(), 2);
        let call = |(core, instructions, smcs)| Call {
            core,
            instructions,
            smcs,
        };
        assert_eq!(
            cases[0].calls,
            [(0, 30, 1), (1, 10, 1), (0, 20, 4)].map(call)
        );
        assert_eq!(cases[0].executions, [(0x6000_1000, 6), (0x6000_a004, 61)]);
        assert_eq!(cases[0].median(), 20);
        assert_eq!((cases[0].rank(0, 2), cases[0].smcs()), (10, 2.0));
        // 100 instructions alone, then 100 of each of two at the same time.
        assert_eq!(cases[0].at_once(), 1.5);
        assert_eq!((cases[0].at(0x6000_1000), cases[0].at(0x6000_1004)), (6, 0));
        assert_eq!(cases[0].a_call(6), 2.0);
        assert_eq!(cases[1].median(), 0);
    }

    #[test]
    fn a_tick_is_what_a_call_costs_more_with_as_many_smcs() {
        let text = "case\ncall 0 10 1\ncall 0 10 1\ncall 0 10 1\ncall 0 17 1\ncall 0 40 2\n\
                    at 60001000 87\ntotal 87\n";
        assert_eq!(tick(&parse(text).unwrap()), Some(7));
        assert_eq!(tick(&parse("case\ncall 0 0 0\ntotal 0\n").unwrap()), None);
    }

    #[test]
    fn nothing_less_than_the_whole_file_will_do() {
        let cut = TEXT.split_once("total").unwrap().0;
        assert!(parse(cut).is_err());
        assert!(parse("").is_err());
        assert!(parse("case\ntotal 1\n").is_err());
        assert!(parse("call 0 1 0\ntotal 1\n").is_err());
        assert!(parse("case\ncall 0 x 0\ntotal 1\n").is_err());
        assert!(parse("case\ncall 0 2 0\nat 60000000 1\ntotal 2\n").is_err());
        assert_eq!(parse("total 5\n").unwrap(), []);
    }
}
