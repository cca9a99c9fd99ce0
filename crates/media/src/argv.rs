//! An ffmpeg command line as a value: the guard's options first, then ours, in the order ffmpeg wants them.

use ffmpeg_sidecar::ffmpeg_time_duration::FfmpegTimeDuration;

use crate::guard;

/// Options before an `-i` belong to that input and options before an output to that output, so this is built
/// from left to right and never reordered.
#[derive(Debug, Clone)]
pub(crate) struct Argv(Vec<String>);

impl Argv {
    pub(crate) fn new() -> Argv {
        let mut args = guard::ffmpeg();
        // -y: a work directory may hold what an earlier attempt of the same job left.
        args.extend(["-y", "-nostats", "-progress", "pipe:1"].map(str::to_owned));
        Argv(args)
    }

    /// One recording, under the name that [`guard::link`] gave it.
    pub(crate) fn source(self, options: &[&str], number: usize) -> Argv {
        self.source_named(options, &format!("in{number}"))
    }

    /// A recording's streams under another name of ours.
    pub(crate) fn source_named(self, options: &[&str], name: &str) -> Argv {
        let mut this = self.args(options);
        this.0.extend(guard::input());
        this.arg("-i").arg(&format!("file:{name}"))
    }

    /// A file that we wrote ourselves. A list opens further files, so nothing else may ever be read this way; it
    /// names files beside it, and mp4 only.
    pub(crate) fn ours(self, demuxer: &str, name: &str) -> Argv {
        self.args(&["-protocol_whitelist", "file", "-format_whitelist", "concat,matroska,mov,mp4"]).args(&[
            "-f",
            demuxer,
            "-i",
            &format!("file:{name}"),
        ])
    }

    pub(crate) fn arg(mut self, arg: &str) -> Argv {
        self.0.push(arg.to_owned());
        self
    }

    pub(crate) fn args<S: AsRef<str>>(mut self, args: &[S]) -> Argv {
        self.0.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Text inside a file (titles, comments, chapter names) is not ours to vouch for: none of it is carried over.
    pub(crate) fn strip(self) -> Argv {
        self.args(&["-map_metadata", "-1", "-map_chapters", "-1", "-sn", "-dn"])
    }

    pub(crate) fn done(self) -> Vec<String> {
        self.0
    }

    /// The muxer is named: ffmpeg must not guess it from the file's name.
    pub(crate) fn output(self, muxer: &str, name: &str) -> Vec<String> {
        self.args(&["-f", muxer]).arg(&format!("file:{name}")).0
    }
}

/// A time as ffmpeg's options read it, exact to the microsecond.
pub(crate) fn micros(us: i64) -> String {
    format!("{:#}", FfmpegTimeDuration::from_micros(us))
}

/// Argv as snapshots show it: one line, the guard's long lists by name.
#[cfg(test)]
pub(crate) fn shown(args: &[String]) -> String {
    let mut rest = args.strip_prefix(guard::ffmpeg().as_slice()).expect("every argv starts with the guard");
    let mut text = "<guard>".to_owned();
    let input = guard::input();
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(input.as_slice()) {
            text += " <guard>";
            rest = after;
        } else {
            text += " ";
            text += first;
            rest = &rest[1..];
        }
    }
    text
}
