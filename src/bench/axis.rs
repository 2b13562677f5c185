//! The marks of an axis, and the words for them.

/// The marks of an axis.
pub(super) fn marks(step: f64, greatest: f64) -> impl Iterator<Item = f64> {
    (0..).map(move |number| f64::from(number) * step).take_while(move |&mark| mark <= greatest)
}

/// A round distance of marks, of which three to six fit below `greatest`.
pub(super) fn step(greatest: f64) -> f64 {
    let power = 10f64.powf((greatest.max(1e-9) / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| greatest / step <= 6.0).unwrap_or(steps[3])
}

/// A mark with as many places as its distance needs.
pub(super) fn short(mark: f64, step: f64) -> String {
    let places = (-step.log10().floor()).max(0.0) as usize;
    format!("{mark:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_few_and_round_marks() {
        for greatest in [0.003, 0.07, 1.0, 4.9, 5.1, 99.0, 123_456.0] {
            let number = marks(step(greatest), greatest).count();
            assert!((3..=7).contains(&number), "{greatest}: {number} marks");
        }
        assert_eq!(
            (step(0.13), short(0.1, 0.05).as_str(), short(4.0, 2.0).as_str()),
            (0.05, "0.10", "4")
        );
    }

    #[test]
    fn neighbouring_marks_have_different_words() {
        for greatest in [0.9, 2.2, 4.9, 37.0, 99.0, 123_456.0, 2.5e9] {
            let step = step(greatest);
            let words: Vec<_> = marks(step, greatest).map(|mark| short(mark, step)).collect();
            assert!(words.windows(2).all(|two| two[0] != two[1]), "{greatest}: {words:?}");
        }
    }
}
