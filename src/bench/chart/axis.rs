//! Computes the ticks of an axis and their labels.

/// Returns the positions of the ticks: multiples of `step` from 0 to at most `greatest`.
pub(super) fn ticks(step: f64, greatest: f64) -> impl Iterator<Item = f64> {
    (0..).map(move |number| f64::from(number) * step).take_while(move |&tick| tick <= greatest)
}

/// Returns the distance between ticks: 1, 2 or 5 times a power of ten, so that an axis from 0 to `greatest`
/// has three to seven ticks.
pub(super) fn tick_step(greatest: f64) -> f64 {
    let power = 10f64.powf((greatest.max(1e-9) / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| greatest / step <= 6.0).unwrap_or(steps[3])
}

/// Returns the label of a tick, with as many decimal places as `step` has.
pub(super) fn tick_label(tick: f64, step: f64) -> String {
    let places = (-step.log10().floor()).max(0.0) as usize;
    format!("{tick:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_three_to_seven_round_ticks() {
        for greatest in [0.003, 0.07, 1.0, 4.9, 5.1, 99.0, 123_456.0] {
            let number = ticks(tick_step(greatest), greatest).count();
            assert!((3..=7).contains(&number), "{greatest}: {number} ticks");
        }
        assert_eq!(
            (tick_step(0.13), tick_label(0.1, 0.05).as_str(), tick_label(4.0, 2.0).as_str()),
            (0.05, "0.10", "4")
        );
    }

    #[test]
    fn neighbouring_ticks_have_different_labels() {
        for greatest in [0.9, 2.2, 4.9, 37.0, 99.0, 123_456.0, 2.5e9] {
            let step = tick_step(greatest);
            let labels: Vec<_> = ticks(step, greatest).map(|tick| tick_label(tick, step)).collect();
            assert!(labels.windows(2).all(|two| two[0] != two[1]), "{greatest}: {labels:?}");
        }
    }
}
