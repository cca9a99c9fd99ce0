//! Names that people gave to files, made inert: a recording's name is a label, never a path or an option.

use std::path::Path;

/// The label for a file at `relative`: segments joined by `/`, with control characters and bytes that are not
/// UTF-8 written as `%XX`, so that no name can forge a log line or a terminal command.
pub fn label(relative: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let segments = relative.components().filter_map(|c| match c {
        std::path::Component::Normal(s) => Some(escape(s.as_bytes())),
        _ => None,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// What to call a recording until somebody gives it a title: the file's name without its extension.
pub fn title(label: &str) -> String {
    let file = label.rsplit('/').next().unwrap_or(label);
    match file.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => file.to_owned(),
    }
}

/// The label's extension if it is an ordinary one (1 to 8 of a-z and 0-9), in lower case.
pub fn extension(label: &str) -> Option<String> {
    let file = label.rsplit('/').next()?;
    let (stem, extension) = file.rsplit_once('.')?;
    let plain = (1..=8).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && !stem.is_empty()).then(|| extension.to_ascii_lowercase())
}

/// Resolves a file that a manifest names next to itself; `None` if it points anywhere else.
pub fn sibling(manifest: &str, file: &str) -> Option<String> {
    let file = file.strip_prefix("./").unwrap_or(file);
    let plain = !file.is_empty()
        && !file.starts_with('/')
        && file.split('/').all(|s| !s.is_empty() && s != "." && s != "..");
    let folder = manifest.rsplit_once('/').map_or("", |(folder, _)| folder);
    let file = escape(file.as_bytes());
    plain.then(|| if folder.is_empty() { file } else { format!("{folder}/{file}") })
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_inert(c) {
                out.push(c);
            } else {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|b| push_hex(&mut out, b));
            }
        }
        chunk.invalid().iter().for_each(|b| push_hex(&mut out, *b));
    }
    out
}

fn push_hex(out: &mut String, byte: u8) {
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from(b"0123456789ABCDEF"[usize::from(nibble)]));
    }
}

/// Neither a control character nor one that reorders the text around it (bidirectional overrides).
fn is_inert(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    /// Object keys with `..`, CRLF, RTL, leading `-`, `concat:` are never a path, never an option.
    #[test]
    fn hostile_names_become_inert_labels() {
        let of = |bytes: &[u8]| label(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(of(b"cam1/a b.mp4"), "cam1/a b.mp4");
        assert_eq!(of(b"../../etc/passwd"), "etc/passwd");
        assert_eq!(of(b"a\r\nb\x1b[31m.mp4"), "a%0D%0Ab%1B[31m.mp4");
        assert_eq!(of(b"\xff\xfe.mp4"), "%FF%FE.mp4");
        assert_eq!(of("gpj.\u{202e}4pm".as_bytes()), "gpj.%E2%80%AE4pm");
        assert_eq!(of(b"-i concat:x.mp4"), "-i concat:x.mp4");
        assert_eq!(extension("a/b.MP4"), Some("mp4".into()));
        assert_eq!(extension("a/b.m;p4"), None);
        assert_eq!(extension("a/.hidden"), None);
        assert_eq!(title("x/Weekly call.v2.webm"), "Weekly call.v2");
    }

    #[test]
    fn a_manifest_reaches_only_its_own_folder() {
        assert_eq!(sibling("call/session.json", "ana.webm"), Some("call/ana.webm".into()));
        assert_eq!(sibling("session.json", "t/ana.webm"), Some("t/ana.webm".into()));
        for outside in ["../x.webm", "/etc/passwd", "a/../../x", "", "a//b"] {
            assert_eq!(sibling("call/session.json", outside), None, "{outside}");
        }
    }
}
