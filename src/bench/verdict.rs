//! Formats the sentence below a table. It names the programs that are slower than pcopy and those that are
//! faster.

use super::results::{Race, Row};

/// Ratios in this range count as equally fast.
const EQUAL: std::ops::RangeInclusive<f64> = 0.97..=1.03;

/// The number of rounds below which a warning follows the sentence.
const ROUNDS_MIN: usize = 3;

/// The result of the comparison between pcopy and another program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Placing {
    Faster,
    Equal,
    Slower,
    /// The median ratio favours one program, but over a fifth of the rounds favour the other.
    Inconclusive,
}

impl Placing {
    /// Derives the result from the ratios of all rounds and their median. Of five rounds, one may deviate
    /// from the median.
    fn of(ratios: &[f64], median: f64) -> Self {
        // The ratio is rounded as it is printed. Otherwise the same printed ratio could count as equal in one
        // row and as unequal in another.
        let ratio = (median * 100.0).round() / 100.0;
        if EQUAL.contains(&ratio) {
            return Self::Equal;
        }
        let is_faster = ratio > 1.0;
        let deviating = ratios.iter().filter(|&&ratio| (ratio > 1.0) != is_faster).count();
        match (deviating <= ratios.len() / 5, is_faster) {
            (false, _) => Self::Inconclusive,
            (true, true) => Self::Faster,
            (true, false) => Self::Slower,
        }
    }
}

/// Returns the sentence, with remarks on further lines.
pub(super) fn verdict(race: &Race) -> String {
    let Some(base) = race.baseline() else {
        return "pcopy made no correct copy, so there is nothing to compare with".to_owned();
    };
    let others = || race.rows.iter().filter(|row| !row.command.is_pcopy());
    let has_several_own = race.rows.iter().filter(|row| row.command.is_pcopy()).count() > 1;
    let pcopy = if has_several_own { &base.command.label } else { "pcopy" };
    let clauses = clauses(race);
    let invalid: Vec<_> =
        others().filter(|row| !row.is_valid()).map(|row| row.command.tool).collect();
    let mut text = match (clauses.is_empty(), invalid.is_empty()) {
        (true, true) => format!("{pcopy} ran alone"),
        (true, false) => format!("{pcopy} has no valid results to be compared with"),
        (false, _) => format!("{pcopy} is {}", clauses.join("; ")),
    };
    if !invalid.is_empty() {
        text += &format!("; not compared: {}", invalid.join(", "));
    }
    if !clauses.is_empty() && base.runs.len() < ROUNDS_MIN {
        text += &format!("\nfewer than {ROUNDS_MIN} runs are not conclusive; see --runs");
    }
    if has_several_own {
        text += &format!(
            "\nratios are relative to {pcopy}, the fastest row of pcopy, which favours pcopy a little"
        );
    }
    text
}

/// Returns one clause for each kind of result that occurs.
fn clauses(race: &Race) -> Vec<String> {
    let compared: Vec<(&Row, f64, Placing)> = race
        .rows
        .iter()
        .filter(|row| !row.command.is_pcopy())
        .filter_map(|row| {
            let ratio = race.ratio(row)?;
            Some((row, ratio, Placing::of(&race.ratios(row), ratio)))
        })
        .collect();
    let mut clauses = Vec::new();
    for (phrase, wanted) in [
        ("faster than", Placing::Faster),
        ("as fast as", Placing::Equal),
        ("sometimes faster and sometimes slower than", Placing::Inconclusive),
        ("slower than", Placing::Slower),
    ] {
        let matching = compared.iter().filter(|&&(_, _, comparison)| comparison == wanted);
        let names: Vec<_> = matching.map(|&(row, ratio, _)| name(row, ratio)).collect();
        if !names.is_empty() {
            clauses.push(format!("{phrase} {}", names.join(", ")));
        }
    }
    clauses
}

fn name(row: &Row, ratio: f64) -> String {
    let less = if row.command.preserves_less { ", preserves less" } else { "" };
    format!("{} ({ratio:.2}{less})", row.command.tool)
}

#[cfg(test)]
mod tests {
    use super::super::results::Problem;
    use super::super::results::tests::{race, row};
    use super::*;

    #[test]
    fn faster_and_slower_need_nearly_all_rounds_to_agree() {
        use Placing::{Equal, Faster, Inconclusive, Slower};
        for (ratios, median, expected) in [
            (&[1.2, 1.1, 1.3, 0.9, 1.2][..], 1.2, Faster),
            (&[1.2, 0.8, 1.3, 0.9, 1.2], 1.2, Inconclusive),
            (&[0.8, 0.9, 0.7], 0.8, Slower),
            (&[0.8, 0.9, 1.1], 0.9, Inconclusive),
            (&[1.5, 0.5, 1.0], 1.0, Equal),
            (&[1.034], 1.034, Equal),
            (&[1.036], 1.036, Faster),
        ] {
            assert_eq!(Placing::of(ratios, median), expected, "{ratios:?}");
        }
    }

    #[test]
    fn slower_is_reported_as_plainly_as_faster() {
        let mut rows = vec![
            row("pcopy", &[1.0; 3]),
            row("cp", &[2.0; 3]),
            row("tar", &[1.01; 3]),
            row("cpz", &[0.5; 3]),
            row("xcp", &[0.5, 1.5, 1.5]),
            row("fcp", &[1.0; 3]),
        ];
        rows[5].problem = Some(Problem::WrongCopy(String::new()));
        assert_eq!(
            verdict(&race(rows)),
            "pcopy is faster than cp (2.00); as fast as tar (1.01); sometimes faster and \
             sometimes slower than xcp (1.50); slower than cpz (0.50); not compared: fcp"
        );
    }

    #[test]
    fn few_runs_and_less_work_are_mentioned() {
        let mut rows = vec![row("pcopy", &[1.0]), row("xcp", &[2.0])];
        rows[1].command.preserves_less = true;
        assert_eq!(
            verdict(&race(rows)),
            "pcopy is faster than xcp (2.00, preserves less)\n\
             fewer than 3 runs are not conclusive; see --runs"
        );
    }

    #[test]
    fn pcopy_without_valid_results_of_others_is_compared_with_none() {
        let alone = vec![row("pcopy", &[1.0])];
        assert_eq!(verdict(&race(alone)), "pcopy ran alone");
        let mut rows = vec![row("pcopy", &[1.0]), row("cp", &[1.0])];
        rows[1].problem = Some(Problem::Failed(String::new()));
        assert_eq!(
            verdict(&race(rows)),
            "pcopy has no valid results to be compared with; not compared: cp"
        );
    }
}
