use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

use super::Rules;
use crate::{Name, partial};

/// The name that stands for `text` at a destination: `/` parts folders, everything else that the destination or a protocol
/// could choke on is replaced. The same text always gives the same name, and a name that comes out goes in unchanged.
///
/// Two texts may give one name: [`Claims`](super::Claims) finds them.
pub fn sanitise(text: &str, rules: &Rules) -> Name {
    let mut segments: Vec<String> =
        text.split('/').filter(|s| !s.is_empty()).map(|s| segment(s, rules)).collect();
    if segments.is_empty() {
        segments.push("_".into());
    }
    let mut joined = segments.join("/");
    if joined.len() > rules.max_path.max(MIN_PATH) {
        joined = shortened(&segments, rules);
    }
    Name::parse(&joined).unwrap_or_else(|e| unreachable!("{e}"))
}

/// One segment: for a word of somebody's metadata that must not make folders.
pub fn segment(text: &str, rules: &Rules) -> String {
    let max = rules.max_segment.clamp(MIN_SEGMENT, crate::name::MAX_SEGMENT);
    // Composed, as all but old Macs write it: `é` in two characters would be another file on most servers. Replacing may put
    // characters side by side that compose, hence once more at the end.
    let replaced: String = text.nfc().map(|c| if forbidden(c, rules) { '_' } else { c }).nfc().collect();
    let mut name = trimmed(&replaced, rules).to_owned();
    if name.is_empty() || name.chars().all(|c| c == '.') {
        name = "_".into();
    }
    // An option, to whoever lists the folder in a shell.
    if let Some(rest) = name.strip_prefix('-') {
        name = format!("_{rest}");
    }
    if partial::is_partial(&name) || rules.windows && reserved(&name) {
        name.insert(0, '_');
    }
    if name.len() > max {
        name = cut(&name, text, max);
    }
    name
}

/// `a/b.mp4`, 2: `a/b (2).mp4`.
pub fn numbered(name: &Name, number: u32, rules: &Rules) -> Name {
    let max = rules.max_segment.clamp(MIN_SEGMENT, crate::name::MAX_SEGMENT);
    let (stem, extension) = parted(name.file());
    let tail = format!(" ({number}){extension}");
    let stem = floor(stem, max.saturating_sub(tail.len()));
    name.beside(&format!("{stem}{tail}")).unwrap_or_else(|_| name.clone())
}

/// Bytes. Less leaves no room for a hash and an extension.
const MIN_SEGMENT: usize = 32;
const MIN_PATH: usize = 128;
/// Bytes, with the dot. What is longer is no extension.
const MAX_EXTENSION: usize = 16;

fn forbidden(c: char, rules: &Rules) -> bool {
    let windows = rules.windows && matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\\');
    // Invisible, or turning the direction of writing: `gpj.exe` that reads as `exe.jpg`.
    let tricks = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    // Looks like a slash or is one.
    let slashes = matches!(c, '/' | '\u{2044}' | '\u{2215}' | '\u{fffd}');
    windows || tricks || slashes || c.is_control()
}

/// Spaces at either end are lost by some server, and mistaken by every person; dots at the end are lost by Windows.
fn trimmed<'a>(text: &'a str, rules: &Rules) -> &'a str {
    let text = text.trim();
    if rules.windows { text.trim_end_matches(|c: char| c == '.' || c.is_whitespace()) } else { text }
}

/// Names of devices, whatever follows the first dot.
fn reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    let Some(port) = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")) else { return false };
    let mut digits = port.chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

/// A name cut to `max` bytes, keeping its extension and told apart by a hash from others with the same beginning.
fn cut(name: &str, whole: &str, max: usize) -> String {
    let (stem, extension) = parted(name);
    let tail = format!("~{}{extension}", short_hash(whole));
    format!("{}{tail}", floor(stem, max.saturating_sub(tail.len())))
}

fn parted(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= MAX_EXTENSION => name.split_at(at),
        _ => (name, ""),
    }
}

fn floor(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text)[..4].iter().map(|b| format!("{b:02x}")).collect()
}

/// A path that is too long becomes one folder, named by a hash of all folders that were asked for, and the file.
fn shortened(segments: &[String], rules: &Rules) -> String {
    let max = rules.max_path.max(MIN_PATH);
    let (file, folders) = segments.split_last().map_or(("_", &[][..]), |(f, rest)| (f.as_str(), rest));
    let folder = folders.first().map(|first| {
        let first = floor(first, 16).trim_end();
        format!("{first}~{}", short_hash(&folders.join("/")))
    });
    let room = max - folder.as_ref().map_or(0, |f| f.len() + 1);
    let file = if file.len() > room { cut(file, &segments.join("/"), room) } else { file.to_owned() };
    folder.map_or(file.clone(), |folder| format!("{folder}/{file}"))
}
