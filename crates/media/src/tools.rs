use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::{Limits, Sandbox, Spec, Stdin};

/// The two programs and how to run them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tools {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) ffprobe: PathBuf,
    pub(crate) sandbox: Sandbox,
    /// Threads that one child may use for decoding or encoding.
    pub(crate) threads: u32,
    pub(crate) check: Check,
}

/// How much of a recording is decoded to learn whether it decodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// All of a short recording; head, middle and tail of a long one. A few seconds of CPU at most.
    #[default]
    Windows,
    /// Everything. Takes as long as decoding takes, within the probe's time budget.
    Full,
    /// Nothing: the packets alone decide.
    None,
}

/// Why the tools cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no `{program}` in {searched}: install ffmpeg ({}), or name the program's path in the configuration",
        INSTALL
    )]
    NotFound { program: &'static str, searched: String },
    #[error("`{}` is not a program that can be run: name an executable file", .path.display())]
    NotAProgram { path: PathBuf },
    #[error("`{}` does not answer like ffmpeg: {reason}", .path.display())]
    Strange { path: PathBuf, reason: String },
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
}

/// What `videorec doctor` says of the installed ffmpeg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// As ffmpeg calls itself, e.g. `5.1.9-0+deb12u1` or `n7.1`.
    pub version: String,
    pub needs: Vec<Need>,
}

/// One part of ffmpeg that we use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `encoder`, `decoder` or `filter`.
    pub kind: &'static str,
    pub name: &'static str,
    /// What does not work without it.
    pub purpose: &'static str,
    pub present: bool,
}

const INSTALL: &str = "Debian and Ubuntu: `apt install ffmpeg`; Fedora: `dnf install ffmpeg-free`; macOS: `brew install ffmpeg`";

/// Looked in after the caller's own PATH.
const USUAL: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];

impl Tools {
    /// Takes the given programs, else the first of that name in `path` (the caller's `PATH`; media reads no
    /// environment), /usr/bin, /usr/local/bin and /opt/homebrew/bin. One thread and [`Check::Windows`] until told
    /// otherwise.
    pub fn new(
        sandbox: Sandbox,
        ffmpeg: Option<PathBuf>,
        ffprobe: Option<PathBuf>,
        path: Option<&OsStr>,
    ) -> Result<Tools, Error> {
        let ffmpeg = program("ffmpeg", ffmpeg, path)?;
        let ffprobe = program("ffprobe", ffprobe, path)?;
        Ok(Tools { ffmpeg, ffprobe, sandbox, threads: 1, check: Check::default() })
    }

    /// Threads that one child may use; at least 1.
    pub fn with_threads(self, threads: u32) -> Tools {
        Tools { threads: threads.max(1), ..self }
    }

    pub fn with_check(self, check: Check) -> Tools {
        Tools { check, ..self }
    }

    /// A child of ours: argv behind the guard's, one private directory, and the files it may read.
    pub(crate) fn spec(
        &self,
        program: &Path,
        args: Vec<String>,
        work: &Path,
        read: &[&Path],
        limits: Limits,
    ) -> Spec {
        Spec {
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            dir: work.to_owned(),
            read: read.iter().map(|path| path.to_path_buf()).collect(),
            limits,
            stdin: Stdin::Null,
        }
    }

    /// Asks the installed ffmpeg what it is and what of our needs it lacks. `work` is an empty directory.
    pub async fn build(&self, work: &Path) -> Result<Build, Error> {
        build(self, work).await
    }
}

fn program(name: &'static str, given: Option<PathBuf>, path: Option<&OsStr>) -> Result<PathBuf, Error> {
    if let Some(path) = given {
        let path = std::path::absolute(&path).unwrap_or(path);
        return if is_program(&path) { Ok(path) } else { Err(Error::NotAProgram { path }) };
    }
    let folders: Vec<PathBuf> = path
        .map(|path| std::env::split_paths(path).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        // A relative entry would mean another program in every working directory.
        .filter(|folder| folder.is_absolute())
        .chain(USUAL.iter().map(PathBuf::from))
        .collect();
    folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path)).ok_or_else(|| {
        let searched: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Error::NotFound { program: name, searched: searched.join(", ") }
    })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What we ask of ffmpeg, and what is lost without it.
const NEEDS: &[(&str, &str, &str)] = &[
    ("encoder", "libx264", "H.264 outputs"),
    ("encoder", "libvpx-vp9", "VP9 outputs"),
    ("encoder", "aac", "AAC audio"),
    ("encoder", "libopus", "Opus audio"),
    ("encoder", "libmp3lame", "MP3 outputs"),
    ("encoder", "flac", "FLAC outputs"),
    ("encoder", "pcm_s16le", "WAV outputs"),
    ("encoder", "mjpeg", "posters and sprite sheets"),
    ("encoder", "png", "waveform pictures"),
    ("decoder", "h264", "H.264 recordings"),
    ("decoder", "hevc", "HEVC recordings (iPhones)"),
    ("decoder", "vp8", "WebRTC recordings"),
    ("decoder", "vp9", "WebRTC recordings"),
    ("decoder", "libdav1d", "AV1 recordings"),
    ("decoder", "aac", "AAC audio"),
    ("decoder", "opus", "WebRTC audio"),
    ("decoder", "mp3float", "MP3 audio"),
    ("filter", "scale", "every size but the source's own"),
    ("filter", "fps", "constant frame rates"),
    ("filter", "tpad", "composition of sessions"),
    ("filter", "xstack", "composition of sessions"),
    ("filter", "amix", "mixing audio tracks"),
    ("filter", "adelay", "mixing audio tracks"),
    ("filter", "aresample", "audio with gaps"),
    ("filter", "alimiter", "mixing audio tracks"),
    ("filter", "ebur128", "measuring loudness"),
    ("filter", "loudnorm", "applying loudness"),
    ("filter", "zscale", "HDR recordings in SDR outputs"),
    ("filter", "tonemap", "HDR recordings in SDR outputs"),
    ("filter", "tile", "sprite sheets"),
    ("filter", "showwavespic", "waveform pictures"),
];

async fn build(tools: &Tools, work: &Path) -> Result<Build, Error> {
    let banner = ask(tools, work, "-version").await?;
    let version = version(&banner).ok_or_else(|| Error::Strange {
        path: tools.ffmpeg.clone(),
        reason: "its -version names none".to_owned(),
    })?;
    let mut lists = Vec::new();
    for (kind, option) in [("encoder", "-encoders"), ("decoder", "-decoders"), ("filter", "-filters")] {
        lists.push((kind, ask(tools, work, option).await?));
    }
    let needs = NEEDS
        .iter()
        .map(|&(kind, name, purpose)| {
            let present = lists.iter().any(|(list, text)| *list == kind && lists_name(text, name));
            Need { kind, name, purpose, present }
        })
        .collect();
    Ok(Build { version, needs })
}

async fn ask(tools: &Tools, work: &Path, option: &str) -> Result<String, Error> {
    let args = ["-nostdin", "-hide_banner", option].map(str::to_owned).to_vec();
    let limits = Limits {
        wall: Duration::from_secs(20),
        cpu: Duration::from_secs(20),
        memory: 1 << 30,
        file_size: 1 << 20,
        disk: u64::MAX,
        processes: 1,
    };
    let output = tools.sandbox.run(tools.spec(&tools.ffmpeg, args, work, &[], limits), 1 << 20).await?;
    if !output.exit.success() {
        let reason = format!("`{option}` {}: {}", output.exit, output.stderr_tail.trim());
        return Err(Error::Strange { path: tools.ffmpeg.clone(), reason });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `ffmpeg version 5.1.9-0+deb12u1 Copyright (c) ...`
fn version(banner: &str) -> Option<String> {
    banner.strip_prefix("ffmpeg version ")?.split_whitespace().next().map(str::to_owned)
}

/// A line is flags, name, description: ` V....D libx264              libx264 H.264 / AVC ...`
fn lists_name(list: &str, name: &str) -> bool {
    list.lines().any(|line| line.split_whitespace().nth(1) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_word_after_version() {
        let banner =
            "ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026 the FFmpeg developers\nbuilt with gcc";
        assert_eq!(version(banner).as_deref(), Some("5.1.9-0+deb12u1"));
        assert_eq!(version("ffmpeg version n7.1 Copyright").as_deref(), Some("n7.1"));
        assert_eq!(version("usage: something else"), None);
    }

    #[test]
    fn a_list_names_what_its_second_column_says() {
        let list = " V..... = Video\n ------\n V....D libx264              libx264 H.264 (codec h264)\n";
        assert!(lists_name(list, "libx264"));
        assert!(!lists_name(list, "h264"));
    }

    #[test]
    fn a_missing_program_says_how_to_install_it() {
        let error = program("ffmpeg-of-tomorrow", None, Some(OsStr::new("relative:/nowhere"))).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("/nowhere, /usr/bin"), "{said}");
        assert!(said.contains("apt install ffmpeg"), "{said}");
        assert!(!said.contains("relative"), "{said}");
    }
}
