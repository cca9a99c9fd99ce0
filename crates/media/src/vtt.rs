//! WebVTT that maps time to tiles of a sprite sheet (`sprite.jpg#xywh=x,y,w,h`, a media fragment).

use std::fmt::Write;

use crate::thumbs::Sheet;

pub(crate) fn tiles(image: &str, sheet: &Sheet, duration_ms: u64) -> String {
    let mut text = "WEBVTT\n".to_owned();
    let (w, h) = sheet.tile;
    for n in 0..sheet.count {
        let from = u64::from(n) * u64::from(sheet.interval) * 1000;
        let to = if n + 1 == sheet.count {
            duration_ms.max(from + 1)
        } else {
            from + u64::from(sheet.interval) * 1000
        };
        let (x, y) = (n % sheet.columns * w, n / sheet.columns * h);
        write!(text, "\n{} --> {}\n{image}#xywh={x},{y},{w},{h}\n", time(from), time(to))
            .expect("a String takes it");
    }
    text
}

fn time(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_cover_the_recording_and_name_its_tiles() {
        let sheet =
            Sheet { tile: (160, 90), columns: 2, rows: 2, count: 3, interval: 2, keyframes_only: false };
        insta::assert_snapshot!("vtt__cues", tiles("sprite.jpg", &sheet, 5_250));
    }

    #[test]
    fn hours_are_written_out() {
        assert_eq!(time(100 * 3_600_000 + 62_003), "100:01:02.003");
    }
}
