//! What qemu/bench/calls.c, a plugin inside QEMU, counts of one range of addresses.

use anyhow::{Context, Result, bail, ensure};

/// One case's executed instructions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many in each timed call, in their order.
    pub calls: Vec<u64>,
    /// Which: their addresses, each with its executions in all the calls.
    pub executions: Vec<(u64, u64)>,
}

impl Counts {
    /// The median of a call.
    pub fn median(&self) -> u64 {
        let mut sorted = self.calls.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// How often a call on average executes an instruction.
    pub fn a_call(&self, executions: u64) -> f64 {
        executions as f64 / self.calls.len() as f64
    }

    /// The executions of one instruction.
    pub fn at(&self, address: u64) -> u64 {
        let found = self.executions.iter().find(|(at, _)| *at == address);
        found.map_or(0, |(_, count)| *count)
    }
}

/// The plugin's file: the cases in the order in which they ran.
pub fn parse(text: &str) -> Result<Vec<Counts>> {
    let mut cases: Vec<Counts> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let case = cases.last_mut();
        match (&words[..], case) {
            (["case"], _) => cases.push(Counts::default()),
            (["call", count], Some(case)) => case.calls.push(count.parse()?),
            (["at", address, count], Some(case)) => {
                let address = u64::from_str_radix(address, 16)?;
                case.executions.push((address, count.parse()?));
            }
            (["total", _], _) => return checked(cases),
            _ => bail!("the plugin wrote: {line}"),
        }
    }
    bail!("the plugin did not come to its end")
}

/// Every instruction belongs to a call.
fn checked(cases: Vec<Counts>) -> Result<Vec<Counts>> {
    for (index, case) in cases.iter().enumerate() {
        let by_call: u64 = case.calls.iter().sum();
        let by_address: u64 = case.executions.iter().map(|(_, count)| count).sum();
        let context = || format!("case {index} of the plugin");
        ensure!(!case.calls.is_empty(), "{} has no call", context());
        (by_call == by_address)
            .then_some(())
            .with_context(|| format!("{}: {by_call} is not {by_address}", context()))?;
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "case\ncall 30\ncall 10\ncall 20\nat 60001000 6\nat 6000a004 54\n\
                        case\ncall 0\ntotal 70000\n";

    #[test]
    fn cases_with_their_calls_and_instructions() {
        let cases = parse(TEXT).unwrap();
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[0].calls, [30, 10, 20]);
        assert_eq!(cases[0].executions, [(0x6000_1000, 6), (0x6000_a004, 54)]);
        assert_eq!(cases[0].median(), 20);
        assert_eq!((cases[0].at(0x6000_1000), cases[0].at(0x6000_1004)), (6, 0));
        assert_eq!(cases[0].a_call(6), 2.0);
        assert_eq!(cases[1].median(), 0);
    }

    #[test]
    fn nothing_less_than_the_whole_file_will_do() {
        let cut = TEXT.split_once("total").unwrap().0;
        assert!(parse(cut).is_err());
        assert!(parse("").is_err());
        assert!(parse("case\ntotal 1\n").is_err());
        assert!(parse("call 1\ntotal 1\n").is_err());
        assert!(parse("case\ncall x\ntotal 1\n").is_err());
        assert!(parse("case\ncall 2\nat 60000000 1\ntotal 2\n").is_err());
        assert_eq!(parse("total 5\n").unwrap(), []);
    }
}
