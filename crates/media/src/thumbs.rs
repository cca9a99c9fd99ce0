//! Poster, sprite sheet, and the WebVTT that maps time to tiles.

use std::path::Path;

use domain::{Failure, MediaFacts, Progress, Role, Sprite, StreamChoice, StreamFacts, VideoFacts};

use crate::argv::{self, Argv};
use crate::budget::{self, Load};
use crate::convert::{self, Made, MadeFile, Source};
use crate::picture::{Into, picture};
use crate::progress::Tick;
use crate::{Tools, check, run, size, vtt};

impl Tools {
    pub(crate) async fn thumbnails(
        &self,
        work: &Path,
        source: &Source<'_>,
        facts: &MediaFacts,
        poster_width: u32,
        sprite: &Sprite,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Made, Failure> {
        let (stream, video) =
            facts.video().and_then(|stream| Some((stream, stream.video.as_ref()?))).ok_or_else(|| {
                Failure::permanent("The recording has no video, so there is nothing to make thumbnails of.")
            })?;
        let tonemap = self.tonemaps(work, facts).await?;
        let mut sheet = sheet(stream, video, sprite)?;

        let poster_size = width_to(video.display_size(), poster_width);
        for at_ms in [poster_at(stream.duration_ms), 0] {
            let args = poster(stream, video, poster_size, at_ms, tonemap);
            let limits = load(stream, video, &sheet, self.parallel().0).limits(run::present(work))?;
            self.ffmpeg(work, args, &[source.path], limits, &|_| {}).await?;
            if whole(&work.join("poster.jpg")) {
                break;
            }
            // What stands in the middle may be unreadable, or the index may lie: the start will do.
        }
        let total_us = stream.duration_ms.saturating_mul(1000);
        let each = |tick: Tick| progress(tick.of(0, total_us));
        let limits = load(stream, video, &sheet, self.parallel().0).limits(run::present(work))?;
        let args = tiles(stream, video, &sheet, tonemap);
        let mut ended = self.ffmpeg(work, args, &[source.path], limits, &each).await?;
        if !whole(&work.join("sprite.jpg")) && sheet.keyframes_only {
            // A single key frame that falls between two tiles leaves none at all: then every picture counts.
            sheet.keyframes_only = false;
            let args = tiles(stream, video, &sheet, tonemap);
            ended = self.ffmpeg(work, args, &[source.path], limits, &each).await?;
        }
        if !whole(&work.join("poster.jpg")) || !whole(&work.join("sprite.jpg")) {
            return Err(Failure::permanent(format!(
                "No picture of this recording could be read: {}.",
                run::complaint(&ended.stderr)
            )));
        }
        std::fs::write(work.join("sprite.vtt"), vtt::tiles("sprite.jpg", &sheet, stream.duration_ms))
            .map_err(|error| run::disk(&error))?;

        let file = |role, name: &str, extension: &str| MadeFile {
            role,
            path: work.join(name),
            extension: extension.into(),
        };
        let why = if sheet.keyframes_only {
            format!("{} tiles, from key frames alone: they are close enough", sheet.count)
        } else {
            format!("{} tiles, from every picture: key frames are too far apart", sheet.count)
        };
        Ok(Made {
            files: vec![
                file(Role::Poster, "poster.jpg", "jpg"),
                file(Role::Sprite, "sprite.jpg", "jpg"),
                file(Role::Tiles, "sprite.vtt", "vtt"),
            ],
            facts: None,
            choices: vec![StreamChoice { stream: stream.index, how: "mjpeg".into(), why }],
            partial: source
                .damaged()
                .map(|reason| format!("Made of what could be read: {}.", reason.trim_end_matches('.'))),
        })
    }
}

/// How the tiles lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sheet {
    pub(crate) tile: (u32, u32),
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    pub(crate) count: u32,
    /// Seconds that one tile stands for.
    pub(crate) interval: u32,
    /// Key frames are closer than tiles, so nothing else needs decoding: on a long recording the difference
    /// between seconds and minutes.
    pub(crate) keyframes_only: bool,
}

fn sheet(stream: &StreamFacts, video: &VideoFacts, sprite: &Sprite) -> Result<Sheet, Failure> {
    let ms = stream.duration_ms.max(1);
    let most = u64::from(sprite.max_tiles.max(1));
    let interval = ms.div_ceil(most * 1000).max(u64::from(sprite.min_interval_seconds)).max(1);
    let count = ms.div_ceil(interval * 1000).clamp(1, most) as u32;
    let columns = sprite.columns.clamp(1, count);
    let rows = count.div_ceil(columns);
    let tile = width_to(video.display_size(), sprite.tile_width);
    // JPEG counts to 65535; half of it keeps the sheet below what browsers decode.
    if u64::from(tile.0) * u64::from(columns) > 32_768 || u64::from(tile.1) * u64::from(rows) > 32_768 {
        return Err(Failure::permanent(format!(
            "The sprite sheet would be {}x{} tiles of {}x{} pixels, more than 32768 pixels to a side. \
             Use fewer or smaller tiles.",
            columns, rows, tile.0, tile.1
        )));
    }
    let keyframes_only = video.keyframe_interval_ms.is_some_and(|keyframe| keyframe <= interval * 1000);
    Ok(Sheet { tile, columns, rows, count, interval: interval as u32, keyframes_only })
}

/// A tenth in, past the fade-in or the lens cap, but at least a second where there is one.
fn poster_at(duration_ms: u64) -> u64 {
    match duration_ms {
        ..2000 => 0,
        ms => (ms / 10).max(1000),
    }
}

/// Scaled to a width, never enlarged.
fn width_to((width, height): (u32, u32), target: u32) -> (u32, u32) {
    if width <= target {
        return (size::even(width), size::even(height));
    }
    let scaled = u64::from(height) * u64::from(target) / u64::from(width.max(1));
    (size::even(target), size::even(scaled as u32))
}

/// `thumbnail` takes the most usual of some pictures, which is seldom the black one between two shots. It holds
/// them all, so it stands behind the scaling.
fn poster(
    stream: &StreamFacts,
    video: &VideoFacts,
    (w, h): (u32, u32),
    at_ms: u64,
    tonemap: bool,
) -> Vec<String> {
    let picture = picture(stream, video, Into::Size(w, h), tonemap);
    let seek = argv::micros(at_ms as i64 * 1000);
    let mut input = if at_ms > 0 { vec!["-ss", seek.as_str()] } else { vec![] };
    input.extend(picture.input);
    let mut filters = picture.format("yuvj420p").filters;
    filters.push("thumbnail=25".into());
    jpeg(Argv::new().source(&input, 0), stream, &filters, "poster.jpg")
}

/// `fps` answers each interval with the picture in its middle and fills gaps; `eof_action=pass` lets the last,
/// shorter interval have its tile too.
fn tiles(stream: &StreamFacts, video: &VideoFacts, sheet: &Sheet, tonemap: bool) -> Vec<String> {
    let picture = picture(stream, video, Into::Size(sheet.tile.0, sheet.tile.1), tonemap);
    let mut input = if sheet.keyframes_only { vec!["-skip_frame", "nokey"] } else { vec![] };
    input.extend(picture.input);
    let rate = format!("fps=1/{}:start_time=0:eof_action=pass", sheet.interval);
    let picture = picture.format("yuvj420p");
    let mut filters = picture.filters;
    // Scaling what `fps` throws away would be most of the work, but the graph is kept only behind `scale`.
    let first = if picture.input.is_empty() { 0 } else { filters.len() };
    filters.insert(first, rate);
    filters.push(format!("tile={}x{}", sheet.columns, sheet.rows));
    jpeg(Argv::new().source(&input, 0), stream, &filters, "sprite.jpg")
}

fn jpeg(argv: Argv, stream: &StreamFacts, filters: &[String], name: &str) -> Vec<String> {
    argv.args(&["-map", &format!("0:{}", stream.index), "-filter:v", &filters.join(",")])
        .args(&["-frames:v", "1", "-c:v", "mjpeg", "-q:v", "4"])
        .strip()
        .output("image2pipe", name)
}

pub(crate) fn whole(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| check::picture(&bytes))
}

fn load(stream: &StreamFacts, video: &VideoFacts, sheet: &Sheet, threads: u32) -> Load {
    let in_pixels = u64::from(video.width) * u64::from(video.height);
    let tile = u64::from(sheet.tile.0) * u64::from(sheet.tile.1);
    let out_pixels = tile * u64::from(sheet.columns) * u64::from(sheet.rows);
    Load {
        seconds: stream.duration_ms as f64 / 1000.0,
        decoded: stream.packets as f64 * in_pixels as f64 / 1e6,
        encoded: out_pixels as f64 / 1e6,
        pictures: f64::from(sheet.count),
        in_pixels,
        // Thirty pictures as large as the poster wait in `thumbnail`.
        out_pixels: out_pixels.max(in_pixels) / 8,
        bytes: budget::bytes(out_pixels as f64),
        threads,
    }
}

/// What thumbnails decode, for `cost`.
pub(crate) fn pixels(facts: &MediaFacts) -> u64 {
    facts.video().map_or(0, |stream| convert::decoded(facts, stream.index).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argv::shown;
    use crate::plan::samples;

    const SPRITE: Sprite = Sprite { tile_width: 160, columns: 10, max_tiles: 100, min_interval_seconds: 2 };

    fn of(ms: u64, keyframe_ms: Option<u64>) -> (StreamFacts, Sheet) {
        let mut stream = samples::video();
        stream.duration_ms = ms;
        stream.video.as_mut().unwrap().keyframe_interval_ms = keyframe_ms;
        let sheet = sheet(&stream, stream.video.as_ref().unwrap(), &SPRITE).unwrap();
        (stream, sheet)
    }

    /// A recording of one picture has one tile, and the tiles of a long one are spread evenly.
    #[test]
    fn tiles_are_as_many_as_the_recording_has_intervals() {
        assert_eq!((of(40, None).1.count, of(40, None).1.columns), (1, 1));
        assert_eq!(of(10_000, None).1.count, 5);
        assert_eq!(of(10_001, None).1.count, 6);
        let hour = of(3_600_000, None).1;
        assert_eq!((hour.interval, hour.count, hour.columns, hour.rows), (36, 100, 10, 10));
        let day = of(86_400_000, None).1;
        assert_eq!((day.interval, day.count), (864, 100));
    }

    /// Where key frames are closer than tiles nothing else is decoded.
    #[test]
    fn a_long_recording_is_read_by_its_key_frames() {
        let (stream, sheet) = of(3_600_000, Some(2000));
        let args = tiles(&stream, stream.video.as_ref().unwrap(), &sheet, true);
        insta::assert_snapshot!("thumbs__sprite", shown(&args));
        assert!(!of(3_600_000, Some(60_000)).1.keyframes_only);
        let args = poster(&stream, stream.video.as_ref().unwrap(), (640, 360), 360_000, true);
        insta::assert_snapshot!("thumbs__poster", shown(&args));
    }

    #[test]
    fn a_sheet_beyond_what_a_jpeg_holds_is_refused() {
        let stream = samples::video();
        let sprite = Sprite { tile_width: 1280, columns: 100, max_tiles: 10_000, min_interval_seconds: 1 };
        let mut long = stream.clone();
        long.duration_ms = 10_000_000;
        assert!(super::sheet(&long, long.video.as_ref().unwrap(), &sprite).is_err());
    }
}
