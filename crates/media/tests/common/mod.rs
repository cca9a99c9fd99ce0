//! Small media, made once with the installed ffmpeg and kept under `target/fixtures`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// The file `name`, made by `make` when nobody did yet. Two tests that make it at once both make it whole.
pub fn made(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = fixtures().join(name);
    if path.exists() { path } else { remade(name, make) }
}

/// `made` by one ffmpeg command: its words between the inputs' start and the output's name. Other words are
/// another file.
pub fn ffmpeg(name: &str, words: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    made(&format!("{:016x}-{name}", hasher.finish()), |path| run(words, path))
}

/// A file with these bytes.
pub fn bytes(name: &str, bytes: &[u8]) -> PathBuf {
    remade(name, |path| std::fs::write(path, bytes).expect("target is writable"))
}

/// Another fixture's bytes, changed.
pub fn changed(name: &str, from: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> PathBuf {
    bytes(name, &change(std::fs::read(from).expect("the fixture is there")))
}

fn remade(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let work = tempfile::tempdir_in(fixtures()).expect("target is writable");
    // The name keeps its extension, from which ffmpeg chooses the muxer.
    let (new, path) = (work.path().join(name), fixtures().join(name));
    make(&new);
    std::fs::rename(&new, &path).expect("the fixture was made");
    path
}

fn fixtures() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fixtures");
    std::fs::create_dir_all(&dir).expect("target is writable");
    dir.canonicalize().expect("it was just made")
}

#[expect(clippy::disallowed_methods, reason = "fixtures")]
pub fn run(words: &str, output: &Path) {
    let status = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-v", "error", "-y"])
        .args(words.split_whitespace())
        .arg(output)
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success(), "ffmpeg {words}");
}

/// Four seconds of a moving picture and a tone.
pub fn plain() -> PathBuf {
    ffmpeg(
        "plain.mp4",
        &format!("{PICTURE} {TONE} -c:v libx264 -preset ultrafast -g 50 -c:a aac -movflags +faststart"),
    )
}

pub const PICTURE: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=4";
pub const TONE: &str = "-f lavfi -i sine=frequency=440:duration=4";

/// A PNG in a mov that says 16000x16000: in the sample entry, and in its own header.
pub fn huge_picture() -> PathBuf {
    let small =
        ffmpeg("small-png.mov", "-f lavfi -i color=size=16x16:rate=1:duration=1 -pix_fmt rgb24 -c:v png");
    changed("huge-png.mov", &small, |mut bytes| {
        let at = |bytes: &[u8], word: &[u8]| {
            bytes.windows(word.len()).position(|w| w == word).expect("it is a PNG")
        };
        let header = at(&bytes, b"IHDR");
        for dimension in [header + 4, header + 8] {
            bytes[dimension..dimension + 4].copy_from_slice(&16_000u32.to_be_bytes());
        }
        let crc = crc32(&bytes[header..header + 17]);
        bytes[header + 17..header + 21].copy_from_slice(&crc.to_be_bytes());
        // The sample entry: 4 bytes of type, then 24 of fields, then width and height.
        let stsd = at(&bytes, b"stsd");
        let entry = stsd + at(&bytes[stsd..], b"png ");
        bytes[entry + 28..entry + 30].copy_from_slice(&16_000u16.to_be_bytes());
        bytes[entry + 30..entry + 32].copy_from_slice(&16_000u16.to_be_bytes());
        bytes
    })
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
    })
}
