//! Sizes and rates that an encoder takes, chosen from what a recording has.

/// Shrinks to the short side, never enlarges, and makes both sides even: 4:2:0 has one colour sample for two
/// pixels each way, so 161x121 becomes 160x120, and 1x1 the smallest there is, 2x2.
pub(crate) fn fit((width, height): (u32, u32), short_side: u32) -> (u32, u32) {
    let short = width.min(height).max(1);
    if short <= short_side {
        return (even(width), even(height));
    }
    let scale = |side: u32| {
        // To the nearest even number.
        let half = (u64::from(side) * u64::from(short_side) + u64::from(short)) / (2 * u64::from(short));
        u32::try_from(half * 2).unwrap_or(u32::MAX - 1).max(2)
    };
    (scale(width), scale(height))
}

pub(crate) fn even(side: u32) -> u32 {
    (side & !1).max(2)
}

/// The constant rate for an output: the source's own, cleaned of a container's rounding, and at most `max`.
///
/// A variable rate becomes a usual one: meetings and phones say 30 or 60 and drop below it at will, screen
/// recordings pause; only a slide show that changes less than once a second does with 5.
pub(crate) fn rate(average: (u32, u32), variable: bool, max: u32) -> (u32, u32) {
    let max = max.max(1);
    let (num, den) = average;
    if num == 0 || den == 0 {
        return (max.min(if variable { 30 } else { 25 }), 1);
    }
    let fps = f64::from(num) / f64::from(den);
    let rate = match (variable, fps) {
        (true, ..1.0) => (5, 1),
        (true, ..5.0) => (15, 1),
        (true, ..32.0) => (30, 1),
        (true, _) => (60, 1),
        (false, _) => snap(num, den),
    };
    // 60000/1001 is "60" to whoever wrote the limit.
    if u64::from(rate.0) > u64::from(max) * u64::from(rate.1) { (max, 1) } else { rate }
}

/// Matroska's milliseconds make 2997/100 or 30001/1001 of 30000/1001.
fn snap(num: u32, den: u32) -> (u32, u32) {
    let fps = f64::from(num) / f64::from(den);
    let near = |n: u32, d: u32| (fps * f64::from(d) / f64::from(n) - 1.0).abs() < 0.0004;
    let whole = fps.round().clamp(1.0, 1000.0) as u32;
    if near(whole, 1) {
        (whole, 1)
    } else if near(whole * 1000, 1001) {
        (whole * 1000, 1001)
    } else {
        (num, den)
    }
}

/// Frames in `ms`, rounded to the nearest.
pub(crate) fn frames(ms: u64, (num, den): (u32, u32)) -> u64 {
    let den = u128::from(den) * 1000;
    ((u128::from(ms) * u128::from(num) + den / 2) / den) as u64
}

/// The time of frame `n` in microseconds.
pub(crate) fn frame_us(n: u64, (num, den): (u32, u32)) -> i64 {
    let num = u128::from(num);
    ((u128::from(n) * u128::from(den) * 1_000_000 + num / 2) / num) as i64
}

pub(crate) fn fps((num, den): (u32, u32)) -> f64 {
    f64::from(num) / f64::from(den.max(1))
}

/// A rate as filters and options read it.
pub(crate) fn rate_text((num, den): (u32, u32)) -> String {
    if den == 1 { num.to_string() } else { format!("{num}/{den}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Odd sizes and 1x1 cannot become 4:2:0, and an output is never larger than its source.
    #[test]
    fn sizes_are_even_and_never_enlarged() {
        assert_eq!(fit((1, 1), 720), (2, 2));
        assert_eq!(fit((161, 121), 720), (160, 120));
        assert_eq!(fit((1920, 1080), 720), (1280, 720));
        assert_eq!(fit((1080, 1920), 720), (720, 1280));
        assert_eq!(fit((1920, 1080), 480), (854, 480));
        assert_eq!(fit((640, 360), 1080), (640, 360));
        assert_eq!(fit((8000, 2), 720), (8000, 2));
    }

    /// A variable rate becomes constant; a constant one is kept, rid of the container's rounding.
    #[test]
    fn rates_are_usual_ones() {
        assert_eq!(rate((2733, 100), true, 60), (30, 1));
        assert_eq!(rate((30001, 1001), false, 60), (30000, 1001));
        assert_eq!(rate((30000, 1001), false, 60), (30000, 1001));
        assert_eq!(rate((2500, 100), false, 60), (25, 1));
        assert_eq!(rate((50, 1), false, 30), (30, 1));
        assert_eq!(rate((60000, 1001), false, 60), (60000, 1001));
        assert_eq!(rate((0, 1), false, 60), (25, 1));
        assert_eq!(rate((1, 43200), true, 60), (5, 1));
        assert_eq!(rate((289, 12), false, 60), (289, 12));
    }

    #[test]
    fn frame_numbers_and_times_are_each_other() {
        for rate in [(25, 1), (30, 1), (30000, 1001)] {
            for n in [0, 1, 101, 107_892] {
                let ms = (frame_us(n, rate) as u64 + 500) / 1000;
                assert_eq!(frames(ms, rate), n);
            }
        }
    }
}
