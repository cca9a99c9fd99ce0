//! ffmpeg and ffprobe: from bytes to facts, from a job to argv, and what the outputs are worth.
//!
//! Architecture invariant: media never knows where bytes live. It gets local paths and a private work directory
//! of its own for every call, and it starts children through `sandbox` only.
//!
//! Every call of ffmpeg or ffprobe takes its input-side options from `guard`, and reaches its inputs through
//! names that `guard` made up: nothing a user chose is ever part of an argv.

mod boxes;
mod container;
mod describe;
mod ebml;
mod facts;
mod guard;
mod packets;
mod probe;
mod riff;
mod tools;
mod verdict;
mod windows;

mod argv;
mod budget;
mod check;
mod compose;
mod convert;
mod cost;
mod encode;
mod front;
mod grid;
mod loudness;
mod making;
mod mix;
mod picture;
mod plan;
mod progress;
mod run;
mod samples;
mod size;
mod sound;
mod stream;
mod thumbs;
mod timeline;
mod vtt;
mod waveform;

pub use convert::{Made, MadeFile, Source};
pub use cost::cost;
pub use front::{Front, behind_data, to_front};
pub use guard::{MAX_DURATION, MAX_PIXELS, MAX_STREAMS};
pub use making::{FOLLOWED, Making};
pub use mix::MixInput;
pub use stream::{HEAD, copies, streams};
pub use tools::{Build, Check, Error, Need, Tools};
