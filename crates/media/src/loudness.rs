//! How loud a mix is, and what brings it to a target. Pure, but for the text that `ametadata` wrote.

use domain::Tenths;

/// What `ebur128=peak=true` found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loudness {
    /// LUFS.
    pub(crate) integrated: f64,
    /// LU.
    pub(crate) range: f64,
    /// dBTP.
    pub(crate) true_peak: f64,
}

/// How the target is reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    /// One gain over the whole length.
    Linear(Loudness),
    /// `loudnorm` follows the level, because one gain would push peaks over the limit.
    Dynamic(Loudness),
    /// Nothing there to be louder.
    Silent,
}

/// dBTP that no output exceeds: EBU R 128 says -1, and lossy codecs overshoot by up to a half.
const TRUE_PEAK: f64 = -1.5;
/// The widest range that every version of loudnorm accepts as a target; a wider recording is compressed.
const RANGE: f64 = 20.0;

/// The last values in a file of `ametadata=mode=print`; nothing when there are none.
pub(crate) fn parse(text: &str) -> Option<Loudness> {
    let last = |key: &str| {
        text.lines().rev().find_map(|line| {
            line.strip_prefix("lavfi.r128.")?.strip_prefix(key)?.strip_prefix('=')?.trim().parse::<f64>().ok()
        })
    };
    // The highest so far over all channels; older builds give it for each channel only.
    let peak = last("true_peak")
        .or_else(|| (0..8).filter_map(|channel| last(&format!("true_peaks_ch{channel}"))).reduce(f64::max))?;
    Some(Loudness { integrated: last("I")?, range: last("LRA")?, true_peak: 20.0 * peak.log10() })
}

/// loudnorm's own condition, asked before it decides in silence.
pub(crate) fn way(measured: Loudness, target: Tenths) -> Way {
    // -70 LUFS is the absolute gate: below it nothing was measured.
    if !measured.integrated.is_finite() || measured.integrated <= -69.9 || !measured.true_peak.is_finite() {
        return Way::Silent;
    }
    let gain = clamp(target) - measured.integrated;
    if measured.true_peak + gain <= TRUE_PEAK && measured.range <= RANGE {
        Way::Linear(measured)
    } else {
        Way::Dynamic(measured)
    }
}

impl Way {
    /// Filters that end at 48 kHz (loudnorm's dynamic mode works at 192).
    pub(crate) fn filters(&self, target: Tenths) -> Option<String> {
        let (measured, linear) = match self {
            Way::Silent => return None,
            Way::Linear(measured) => (measured, true),
            Way::Dynamic(measured) => (measured, false),
        };
        Some(format!(
            "loudnorm=I={:.1}:TP={TRUE_PEAK:.1}:LRA={RANGE:.0}:measured_I={:.2}:measured_TP={:.2}:measured_LRA={:.2}:\
             measured_thresh={:.2}:linear={linear},aresample=48000",
            clamp(target),
            measured.integrated.clamp(-99.0, -0.01),
            measured.true_peak.clamp(-99.0, 98.0),
            // Zero reads as "not measured".
            measured.range.clamp(0.01, 99.0),
            // The relative gate stands 10 LU below what passed the absolute one.
            (measured.integrated - 10.0).clamp(-99.0, 0.0),
        ))
    }

    pub(crate) fn how(&self) -> &'static str {
        match self {
            Way::Silent => "as it is",
            Way::Linear(_) => "loudnorm linear",
            Way::Dynamic(_) => "loudnorm dynamic",
        }
    }

    pub(crate) fn why(&self, target: Tenths) -> String {
        let target = clamp(target);
        match self {
            Way::Silent => "the mix is silent: there is nothing to make louder".into(),
            Way::Linear(m) => format!(
                "one gain of {:+.1} dB brings {:.1} LUFS to {target:.1}",
                target - m.integrated,
                m.integrated
            ),
            Way::Dynamic(m) if m.range > RANGE => {
                format!("its loudness range of {:.1} LU is wider than {RANGE:.0}", m.range)
            }
            Way::Dynamic(m) => format!(
                "one gain to {target:.1} LUFS would push its peaks from {:.1} to {:.1} dBTP, over {TRUE_PEAK:.1}",
                m.true_peak,
                m.true_peak + target - m.integrated
            ),
        }
    }
}

/// What loudnorm takes.
fn clamp(target: Tenths) -> f64 {
    target.as_f64().clamp(-70.0, -5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_values_count() {
        let text = "frame:0    pts:0 pts_time:0\nlavfi.r128.M=-120.7\nlavfi.r128.I=-70.0\nlavfi.r128.LRA=0.0\n\
            lavfi.r128.LRA.low=0.0\nlavfi.r128.true_peaks_ch0=0.1\nlavfi.r128.true_peak=0.1\nframe:1 pts:4800\n\
            lavfi.r128.M=nan\nlavfi.r128.I=-21.5\nlavfi.r128.LRA=2.58\nlavfi.r128.LRA.low=-23.8\n\
            lavfi.r128.true_peaks_ch0=0.125\nlavfi.r128.true_peak=0.125\n";
        let loudness = parse(text).unwrap();
        assert_eq!((loudness.integrated, loudness.range), (-21.5, 2.58));
        assert!((loudness.true_peak + 18.06).abs() < 0.01);
        assert_eq!(parse("frame:0"), None);
    }

    /// loudnorm goes dynamic without a word when the true peak would exceed the target, so it is asked here.
    #[test]
    fn a_gain_that_would_clip_is_dynamic() {
        let quiet = Loudness { integrated: -30.0, range: 5.0, true_peak: -20.0 };
        assert!(matches!(way(quiet, Tenths(-160)), Way::Linear(_)));
        let peaky = Loudness { integrated: -30.0, range: 5.0, true_peak: -6.0 };
        assert!(matches!(way(peaky, Tenths(-160)), Way::Dynamic(_)));
        let silent = Loudness { integrated: -70.0, range: 0.0, true_peak: f64::NEG_INFINITY };
        assert_eq!(way(silent, Tenths(-160)), Way::Silent);
        insta::assert_snapshot!("loudness__linear", way(quiet, Tenths(-160)).filters(Tenths(-160)).unwrap());
        insta::assert_snapshot!("loudness__why", way(peaky, Tenths(-165)).why(Tenths(-165)));
    }
}
