use crate::Key;

/// What whoever fetches the object by HTTP is told that it is, by its key's extension: a browser plays what is called a
/// video, and downloads what is called nothing.
pub(super) fn kind(key: &Key) -> &'static str {
    let file = key.as_str().rsplit('/').next().unwrap_or_default();
    let Some((_, extension)) = file.rsplit_once('.') else { return UNKNOWN };
    match extension.to_ascii_lowercase().as_str() {
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "mov" => "video/quicktime",
        "ts" | "mts" => "video/mp2t",
        "m4a" => "audio/mp4",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "ogg" | "opus" => "audio/ogg",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "vtt" => "text/vtt; charset=utf-8",
        "json" => "application/json",
        _ => UNKNOWN,
    }
}

const UNKNOWN: &str = "application/octet-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_says_what_it_is() {
        let of = |key: &str| kind(&Key::foreign(key).unwrap());
        assert_eq!(of("3k/3kq0/mp4-720p-9f2c41ab.mp4"), "video/mp4");
        assert_eq!(of("a/thumbnails.tiles.vtt"), "text/vtt; charset=utf-8");
        assert_eq!(of("A.MOV"), "video/quicktime");
        for unknown in ["a", "a.b/c", "a.html", "x.svg", ".mp4/x"] {
            assert_eq!(of(unknown), UNKNOWN, "{unknown}");
        }
    }
}
