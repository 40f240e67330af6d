// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cases side by side, and what EL2 may spend on some.

use super::counts::Counts;
use super::timings::Timing;

/// One case in the three set-ups: instructions of a call.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// Name of the case.
    pub name: String,
    /// Timed calls.
    pub calls: usize,
    /// Without hypervisor, on plain OP-TEE.
    pub plain: u64,
    /// On teevisor.
    pub teevisor: u64,
    /// Of these, at EL2; without QEMU's plugins unknown.
    pub el2: Option<El2>,
}

/// What a call costs at EL2.
#[derive(Debug, PartialEq)]
pub struct El2 {
    /// The median of its instructions.
    pub instructions: u64,
    /// How often it comes there by itself, interrupts aside.
    pub traps: f64,
}

/// Joins the set-ups; `entries` is where a guest's traps enter EL2. None if they did not run the
/// same cases.
pub fn join(
    plain: &[Timing],
    teevisor: &[Timing],
    el2: Option<&[Counts]>,
    entries: &[u64],
) -> Option<Vec<Row>> {
    let same = plain.iter().map(key).eq(teevisor.iter().map(key));
    let calls = |counts: &[Counts]| {
        let counted = counts.iter().map(|case| case.calls.len());
        counted.eq(teevisor.iter().map(|timing| timing.calls))
    };
    if !same || !el2.is_none_or(calls) {
        return None;
    }
    let share = |counts: &Counts| El2 {
        instructions: counts.median(),
        traps: counts.a_call(entries.iter().map(|&entry| counts.at(entry)).sum()),
    };
    let pairs = plain.iter().zip(teevisor).enumerate();
    let row = |(index, (plain, teevisor)): (usize, (&Timing, &Timing))| Row {
        name: plain.name.clone(),
        calls: plain.calls,
        plain: plain.median,
        teevisor: teevisor.median,
        el2: el2.map(|counts| share(&counts[index])),
    };
    Some(pairs.map(row).collect())
}

fn key(timing: &Timing) -> (&str, usize) {
    (&timing.name, timing.calls)
}

/// Returns the rows as a table.
pub fn render(rows: &[Row]) -> String {
    let head = ["case", "calls", "no hypervisor", "teevisor", "EL2", "traps"];
    aligned(head, rows.iter().map(cells))
}

/// Writes a table of Markdown, aligned: names on the left, numbers on the right.
pub fn aligned<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rule = std::array::from_fn(|column| if column == 0 { "---" } else { "--:" });
    let fixed = [head, rule].map(|line| line.map(str::to_owned));
    let lines: Vec<[String; N]> = fixed.into_iter().chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let aligned = |line: &[String; N]| {
        let first = format!("| {:<1$} |", line[0], widths[0]);
        let others = (1..N).map(|c| format!(" {:>1$} |", line[c], widths[c]));
        first + &others.collect::<String>() + "\n"
    };
    lines.iter().map(aligned).collect()
}

fn cells(row: &Row) -> [String; 6] {
    let el2 = |show: fn(&El2) -> String| row.el2.as_ref().map_or("?".into(), show);
    [
        row.name.clone(),
        row.calls.to_string(),
        grouped(row.plain),
        grouped(row.teevisor),
        el2(|el2| grouped(el2.instructions)),
        el2(|el2| format!("{:.1}", el2.traps)),
    ]
}

/// Writes a number in groups: 1234567 → 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What EL2 may spend: a sentence of what, the instructions, the limit.
#[derive(Debug, PartialEq)]
pub struct Budget {
    /// On what.
    pub what: &'static str,
    /// Instructions spent.
    pub spent: f64,
    /// At most.
    pub limit: f64,
}

impl Budget {
    /// Tells whether it is kept.
    pub fn is_kept(&self) -> bool {
        self.spent <= self.limit
    }
}

/// Instructions that a tick of the guest's timer may cost which falls into a call.
const TICK: f64 = 750.0;

/// Returns the budgets that the measured cases tell about, and what a tick of the timer costs that falls into a call.
pub fn budgets(rows: &[Row], tick: Option<u64>) -> Vec<Budget> {
    let el2 = |name: &str| {
        let row = rows.iter().find(|row| row.name == name)?;
        Some(row.el2.as_ref()?.instructions as f64)
    };
    // A megabyte's list has 256 pages.
    let page = || Some((el2("reg_unreg_1M")? - el2("reg_unreg_4K")?) / 255.0);
    let all = [
        ("a call without buffers (pta.nop)", el2("pta.nop"), 645.0),
        (
            "a call with a buffer of its own (pta.tmp_inout_4K)",
            el2("pta.tmp_inout_4K"),
            2_330.0,
        ),
        (
            "opening and closing a session (open_close_pta)",
            el2("open_close_pta"),
            1_450.0,
        ),
        (
            "registering and unregistering a page (reg_unreg_4K)",
            el2("reg_unreg_4K"),
            1_490.0,
        ),
        ("each further page (reg_unreg_1M)", page(), 12.7),
        (
            "a tick that falls into a call, beyond the call",
            tick.map(|tick| tick as f64),
            TICK,
        ),
    ];
    let budget = |(what, spent, limit): (&'static str, Option<f64>, f64)| {
        spent.map(|spent| Budget { what, spent, limit })
    };
    all.into_iter().filter_map(budget).collect()
}

#[cfg(test)]
mod tests {
    use super::super::counts::Call;
    use super::*;

    fn timing(name: &str, median: u64) -> Timing {
        Timing {
            name: name.into(),
            calls: 1,
            median,
        }
    }

    const ENTRY: u64 = 0x6000_1400;

    fn call(instructions: u64) -> Call {
        Call {
            core: 0,
            instructions,
            smcs: 1,
        }
    }

    fn counts(count: u64) -> Counts {
        Counts {
            calls: vec![call(count)],
            executions: vec![(ENTRY, 2), (0, count - 2)],
            ..Counts::default()
        }
    }

    fn row(name: &str, el2: u64) -> Row {
        Row {
            name: name.into(),
            calls: 21,
            plain: 999,
            teevisor: 1_234_567,
            el2: Some(El2 {
                instructions: el2,
                traps: 1.04,
            }),
        }
    }

    #[test]
    fn set_ups_join_case_by_case() {
        let (plain, teevisor) = ([timing("a", 1)], [timing("a", 2)]);
        let rows = join(&plain, &teevisor, Some(&[counts(3)]), &[ENTRY]).unwrap();
        assert_eq!((rows[0].plain, rows[0].teevisor), (1, 2));
        let el2 = El2 {
            instructions: 3,
            traps: 2.0,
        };
        assert_eq!(rows[0].el2, Some(el2));
        assert_eq!(
            join(&plain, &teevisor, None, &[ENTRY]).unwrap()[0].el2,
            None
        );
    }

    #[test]
    fn set_ups_with_other_cases_do_not_join() {
        let one = [timing("a", 1)];
        assert_eq!(join(&one, &[timing("b", 1)], None, &[ENTRY]), None);
        assert_eq!(join(&one, &[], None, &[ENTRY]), None);
        assert_eq!(join(&one, &one, Some(&[]), &[ENTRY]), None);
        let two_calls = Counts {
            calls: vec![call(1), call(1)],
            ..Counts::default()
        };
        assert_eq!(join(&one, &one, Some(&[two_calls]), &[ENTRY]), None);
    }

    #[test]
    fn table_is_aligned() {
        let unknown = Row {
            el2: None,
            ..row("a", 0)
        };
        let expected = "\
| case    | calls | no hypervisor |  teevisor |   EL2 | traps |
| ---     |   --: |           --: |       --: |   --: |   --: |
| pta.nop |    21 |           999 | 1,234,567 | 1,000 |   1.0 |
| a       |    21 |           999 | 1,234,567 |     ? |     ? |
";
        assert_eq!(render(&[row("pta.nop", 1_000), unknown]), expected);
    }

    #[test]
    fn budgets_of_what_was_measured() {
        assert_eq!(budgets(&[row("uta.nop", 1)], None), []);
        let rows = [
            row("pta.nop", 646),
            row("reg_unreg_4K", 1_490),
            row("reg_unreg_1M", 1_490 + 255 * 12),
        ];
        let budgets = budgets(&rows, Some(TICK as u64));
        let kept: Vec<bool> = budgets.iter().map(Budget::is_kept).collect();
        assert_eq!(kept, [false, true, true, true]);
        assert_eq!(budgets[2].spent, 12.0);
    }
}
