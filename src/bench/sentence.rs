//! Who has won against whom, losses as plainly as wins.

use super::rows::{Race, Row};

/// Between these two ratios nobody has won.
const EVEN: std::ops::RangeInclusive<f64> = 0.97..=1.03;

/// From so many rounds on their agreement says something.
const ENOUGH: usize = 3;

/// What a row's ratios say of pcopy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Wins,
    Even,
    Loses,
    /// The median is on one side, and too many rounds are on the other.
    Open,
}

/// Of five rounds one may have gone the other way.
fn verdict(ratios: &[f64], ratio: f64) -> Verdict {
    // As it is shown, so that nobody loses with the number of somebody who is even.
    let shown = (ratio * 100.0).round() / 100.0;
    if EVEN.contains(&shown) {
        return Verdict::Even;
    }
    let wins = shown > 1.0;
    let against = ratios.iter().filter(|&&ratio| (ratio > 1.0) != wins).count();
    match (against <= ratios.len() / 5, wins) {
        (false, _) => Verdict::Open,
        (true, true) => Verdict::Wins,
        (true, false) => Verdict::Loses,
    }
}

/// The sentence below a table.
pub(super) fn sentence(race: &Race) -> String {
    let Some(base) = race.base() else {
        return "pcopy made no right copy, so there is nothing to compare with".to_owned();
    };
    let peers = || race.rows.iter().filter(|row| row.line.tool != "pcopy");
    let several = race.rows.iter().filter(|row| row.line.tool == "pcopy").count() > 1;
    let who = if several { &base.line.label } else { "pcopy" };
    let parts = parts(race);
    let unfair: Vec<_> = peers().filter(|row| !row.is_fair()).map(|row| row.line.tool).collect();
    let mut text = match (parts.is_empty(), unfair.is_empty()) {
        (true, true) => format!("{who} ran alone"),
        (true, false) => format!("{who} has nobody to be compared with"),
        (false, _) => format!("{who} {}", parts.join("; it ")),
    };
    if !unfair.is_empty() {
        text += &format!("; not compared: {}", unfair.join(", "));
    }
    if !parts.is_empty() && base.runs.len() < ENOUGH {
        text += &format!("\nfewer than {ENOUGH} runs may be chance: more with --runs");
    }
    if several {
        text += &format!(
            "\nratios are to {who}, the fastest of pcopy's rows, which flatters pcopy a little"
        );
    }
    text
}

/// What pcopy does, and against whom.
fn parts(race: &Race) -> Vec<String> {
    let compared: Vec<(&Row, f64, Verdict)> = race
        .rows
        .iter()
        .filter(|row| row.line.tool != "pcopy")
        .filter_map(|row| {
            let ratio = race.ratio(row)?;
            Some((row, ratio, verdict(&race.ratios(row), ratio)))
        })
        .collect();
    let mut parts = Vec::new();
    for (what, wanted) in [
        ("wins against", Verdict::Wins),
        ("is even with", Verdict::Even),
        ("sometimes wins and sometimes loses against", Verdict::Open),
        ("loses against", Verdict::Loses),
    ] {
        let those = compared.iter().filter(|&&(_, _, verdict)| verdict == wanted);
        let whom: Vec<_> = those.map(|&(row, ratio, _)| name(row, ratio)).collect();
        if !whom.is_empty() {
            parts.push(format!("{what} {}", whom.join(", ")));
        }
    }
    parts
}

fn name(row: &Row, ratio: f64) -> String {
    let less = if row.line.keeps_less { ", keeps less" } else { "" };
    format!("{} ({ratio:.2}{less})", row.line.tool)
}

#[cfg(test)]
mod tests {
    use super::super::rows::Trouble;
    use super::super::rows::tests::{race, row};
    use super::*;

    #[test]
    fn a_win_or_a_loss_is_one_in_nearly_all_rounds() {
        use Verdict::{Even, Loses, Open, Wins};
        for (ratios, ratio, expected) in [
            (&[1.2, 1.1, 1.3, 0.9, 1.2][..], 1.2, Wins),
            (&[1.2, 0.8, 1.3, 0.9, 1.2], 1.2, Open),
            (&[0.8, 0.9, 0.7], 0.8, Loses),
            (&[0.8, 0.9, 1.1], 0.9, Open),
            (&[1.5, 0.5, 1.0], 1.0, Even),
            (&[1.034], 1.034, Even),
            (&[1.036], 1.036, Wins),
        ] {
            assert_eq!(verdict(ratios, ratio), expected, "{ratios:?}");
        }
    }

    #[test]
    fn losses_are_told_like_wins() {
        let mut rows = vec![
            row("pcopy", &[1.0; 3]),
            row("cp", &[2.0; 3]),
            row("tar", &[1.01; 3]),
            row("cpz", &[0.5; 3]),
            row("xcp", &[0.5, 1.5, 1.5]),
            row("fcp", &[1.0; 3]),
        ];
        rows[5].trouble = Some(Trouble::Wrong(String::new()));
        assert_eq!(
            sentence(&race(rows)),
            "pcopy wins against cp (2.00); it is even with tar (1.01); it sometimes wins and \
             sometimes loses against xcp (1.50); it loses against cpz (0.50); not compared: fcp"
        );
    }

    #[test]
    fn few_runs_and_less_work_are_told() {
        let mut rows = vec![row("pcopy", &[1.0]), row("xcp", &[2.0])];
        rows[1].line.keeps_less = true;
        assert_eq!(
            sentence(&race(rows)),
            "pcopy wins against xcp (2.00, keeps less)\n\
             fewer than 3 runs may be chance: more with --runs"
        );
    }

    #[test]
    fn who_is_alone_has_nobody_beside_him() {
        let alone = vec![row("pcopy", &[1.0])];
        assert_eq!(sentence(&race(alone)), "pcopy ran alone");
        let mut rows = vec![row("pcopy", &[1.0]), row("cp", &[1.0])];
        rows[1].trouble = Some(Trouble::Failed(String::new()));
        assert_eq!(sentence(&race(rows)), "pcopy has nobody to be compared with; not compared: cp");
    }
}
