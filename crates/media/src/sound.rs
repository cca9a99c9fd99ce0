//! Command lines that mix a session's voices. Pure.

use domain::{AudioTarget, Container};

use crate::argv::Argv;
use crate::convert::FILL;
use crate::encode;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Voices {
    pub(crate) inputs: Vec<Voice>,
    /// 1 or 2.
    pub(crate) channels: u16,
    pub(crate) total_ms: u64,
    pub(crate) target: AudioTarget,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Voice {
    pub(crate) input: usize,
    pub(crate) stream: u32,
    pub(crate) channels: u16,
    pub(crate) offset_ms: u64,
    /// Milliseconds of the track until its participant left.
    pub(crate) length_ms: Option<u64>,
}

pub(crate) const MEASURED: &str = "loudness.txt";

/// Peaks stay below -1 dBFS; no makeup gain (`level=0`), or a quiet mix would get louder.
const LIMITER: &str = "alimiter=limit=0.891:level=0";

/// Encodes the mix to `output` in `container`; `loudness` are filters that bring it to its target.
///
/// What is joined with a picture lies in the same container before: mp4 says how much of AAC's first packet is the
/// encoder's priming, Matroska does not, and through it every voice came 21 ms late.
pub(crate) fn mixed(
    voices: &Voices,
    loudness: Option<&str>,
    container: Container,
    output: &str,
) -> Vec<String> {
    let loudness = loudness.map(|filters| format!(",{filters}")).unwrap_or_default();
    let total = seconds(voices.total_ms);
    let layout = layout(voices);
    let graph = format!(
        "{}{loudness},aformat=sample_fmts=fltp:channel_layouts={layout},{LIMITER},apad=whole_dur={total},\
         atrim=end={total}[a]",
        graph(voices)
    );
    inputs(voices)
        .args(&["-filter_complex", &graph, "-map", "[a]"])
        .args(&encode::audio(&voices.target, voices.channels))
        .strip()
        .args(encode::muxer_options(container))
        .output(encode::muxer(container), output)
}

/// Writes the mix's loudness, a block each tenth of a second; the last one counts. `ebur128` costs a fifth of
/// measuring with loudnorm.
pub(crate) fn measure(voices: &Voices) -> Vec<String> {
    let graph =
        format!("{},ebur128=peak=true:metadata=1,ametadata=mode=print:file={MEASURED}[a]", graph(voices));
    inputs(voices)
        .args(&["-filter_complex", &graph, "-map", "[a]"])
        .strip()
        .args(&["-f", "null"])
        .arg("-")
        .done()
}

fn inputs(voices: &Voices) -> Argv {
    voices.inputs.iter().fold(Argv::new(), |argv, voice| argv.source(&["-vn"], voice.input))
}

/// `amix` ignores `-itsoffset`, so the offset is `adelay`, and what stands before it fills holes. `normalize=0`: by
/// default a voice gets quieter with every silent neighbour and jumps when one leaves.
fn graph(voices: &Voices) -> String {
    let layout = layout(voices);
    let mut graph = String::new();
    for (n, voice) in voices.inputs.iter().enumerate() {
        graph += &format!("[{n}:{}]{FILL}", voice.stream);
        if voice.channels == 1 && voices.channels == 2 {
            // Resampling would put -3 dB on either side.
            graph += ",pan=stereo|c0=c0|c1=c0";
        }
        graph += &format!(",aformat=sample_fmts=fltp:channel_layouts={layout}");
        if let Some(length) = voice.length_ms {
            graph += &format!(",atrim=end={}", seconds(length));
        }
        if voice.offset_ms > 0 {
            graph += &format!(",adelay={}:all=1", voice.offset_ms);
        }
        graph += &format!("[a{n}];");
    }
    let labels: String = (0..voices.inputs.len()).map(|n| format!("[a{n}]")).collect();
    match voices.inputs.len() {
        1 => graph + &labels + "anull",
        n => graph + &format!("{labels}amix=inputs={n}:normalize=0:duration=longest"),
    }
}

fn layout(voices: &Voices) -> &'static str {
    if voices.channels == 2 { "stereo" } else { "mono" }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}
