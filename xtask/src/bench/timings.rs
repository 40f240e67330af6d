// SPDX-License-Identifier: MIT OR Apache-2.0

//! What qemu/bench/teebench.c writes to the guest's console.

use anyhow::{Context, Result, bail, ensure};

const TAG: &str = "teebench: ";
/// With `-icount shift=0` an instruction takes a nanosecond.
const INSTRUCTIONS_PER_SECOND: u64 = 1_000_000_000;

/// One case, as the program measured it.
#[derive(Debug, PartialEq, Eq)]
pub struct Timing {
    /// Name of the case.
    pub name: String,
    /// How many calls were timed.
    pub calls: usize,
    /// The median of a call, in instructions.
    pub median: u64,
}

/// Reads the cases on a console, in the order in which they ran.
pub fn parse(console: &[String]) -> Result<Vec<Timing>> {
    let lines = console
        .iter()
        .filter_map(|line| Some(line.split_once(TAG)?.1));
    let mut tick = None;
    let mut timings = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["frequency", hertz] => tick = Some(instructions_a_tick(hertz)?),
            ["case", name, ..] => {
                let tick = tick.context("teebench tells no frequency")?;
                timings.push(timing(name, &words, tick).with_context(|| line.to_owned())?);
            }
            ["done", count] => {
                ensure!(
                    count.parse() == Ok(timings.len()),
                    "the console lost some of teebench's lines: {} are left of {count}",
                    timings.len()
                );
                return Ok(timings);
            }
            _ => bail!("teebench: {line}"),
        }
    }
    bail!("teebench did not come to its end")
}

fn instructions_a_tick(hertz: &str) -> Result<u64> {
    let hertz: u64 = hertz.parse()?;
    ensure!(
        hertz > 0 && INSTRUCTIONS_PER_SECOND.is_multiple_of(hertz),
        "no whole number of nanoseconds in a tick at {hertz} Hz"
    );
    Ok(INSTRUCTIONS_PER_SECOND / hertz)
}

fn timing(name: &str, words: &[&str], tick: u64) -> Result<Timing> {
    let value = |key: &str| -> Result<u64> {
        let at = words.iter().position(|word| *word == key);
        let word = at.and_then(|at| words.get(at + 1));
        Ok(word.with_context(|| format!("no {key}"))?.parse()?)
    };
    let median = value("median")?.checked_mul(tick);
    Ok(Timing {
        name: name.to_owned(),
        calls: usize::try_from(value("calls")?)?,
        median: median.context("median")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Timing>> {
        parse(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    fn error(text: &str) -> String {
        format!("{:#}", parsed(text).unwrap_err())
    }

    const FREQUENCY: &str = "teebench: frequency 62500000\n";
    const CASE: &str = "teebench: case pta.nop calls 21 median 1609 least 1608 most 4402\n";

    #[test]
    fn ticks_become_instructions() {
        let text = format!("[    1.0] Linux\n{FREQUENCY}linux| {CASE}teebench: done 1\nmore\n");
        let expected = Timing {
            name: "pta.nop".into(),
            calls: 21,
            median: 25_744,
        };
        assert_eq!(parsed(&text).unwrap(), [expected]);
    }

    #[test]
    fn nothing_less_than_the_whole_report_will_do() {
        assert!(error("").contains("did not come to its end"));
        assert!(error(&format!("{FREQUENCY}{CASE}")).contains("did not come to its end"));
        assert!(error(&format!("{FREQUENCY}{CASE}teebench: done 2\n")).contains("1 are left of 2"));
        assert!(error(&format!("{CASE}teebench: done 1\n")).contains("no frequency"));
        let failed = format!("{FREQUENCY}{CASE}teebench: failed uta.nop: 0xffff000c\n");
        assert!(error(&failed).contains("failed uta.nop: 0xffff000c"));
    }

    #[test]
    fn broken_lines_are_named() {
        let short = format!("{FREQUENCY}teebench: case a calls 1\nteebench: done 1\n");
        assert!(error(&short).contains("no median"));
        let letters = format!("{FREQUENCY}teebench: case a calls x median 1\nteebench: done 1\n");
        assert!(error(&letters).contains("case a calls x"));
        assert!(error("teebench: frequency 0\n").contains("0 Hz"));
        assert!(error("teebench: frequency 62400000\n").contains("62400000 Hz"));
    }
}
