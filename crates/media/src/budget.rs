//! What a call of ffmpeg may use up, from what it has to do. Pure.
//!
//! The estimates are for this kind of work on a slow core; the limits leave a wide margin, because they are there
//! for input that lies about itself, not for a machine that is busy.

use std::time::Duration;

use domain::{Failure, VideoCodec, VideoTarget};
use sandbox::Limits;

/// The work of one call, in the units that it is paid in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Seconds of media, the longest stream.
    pub(crate) seconds: f64,
    /// Megapixels decoded, over all inputs.
    pub(crate) decoded: f64,
    /// Megapixels encoded, times the encoder's slowness (1: x264 medium).
    pub(crate) encoded: f64,
    /// Pictures encoded; tiny ones have a cost too.
    pub(crate) pictures: f64,
    /// Pixels of the largest picture that goes in, times how many such inputs are open at once.
    pub(crate) in_pixels: u64,
    pub(crate) out_pixels: u64,
    /// Bytes that the output may reach.
    pub(crate) bytes: u64,
    /// Threads that the call runs on.
    pub(crate) threads: u32,
}

/// Above this the work is refused before it starts: a month of one core.
const ABSURD: f64 = 30.0 * 86_400.0;

/// How much longer than estimated a call may take.
const MARGIN: f64 = 12.0;

impl Load {
    /// Seconds of one core.
    pub(crate) fn cpu(&self) -> f64 {
        1.0 + self.seconds * 0.04 + self.decoded * 0.02 + self.encoded * 0.05 + self.pictures * 0.0005
    }

    /// `present` is what already lies in the work directory, in bytes.
    pub(crate) fn limits(&self, present: u64) -> Result<Limits, Failure> {
        let cpu = self.cpu();
        if !cpu.is_finite() || cpu > ABSURD {
            return Err(Failure::permanent(format!(
                "This would keep one core busy for about {:.0} days, so it was not started. \
                 Choose a smaller or faster preset, or cut the recording.",
                cpu / 86_400.0
            )));
        }
        let budget = Duration::from_secs_f64(60.0 + cpu * MARGIN);
        Ok(Limits {
            // CPU time is the honest measure and meets its limit first; a loaded machine gets twice the time.
            wall: budget * 2,
            cpu: budget,
            memory: self.memory(),
            file_size: self.bytes,
            // faststart rewrites in place; what is beside the output is small.
            disk: present + self.bytes + (64 << 20),
            processes: 1,
        })
    }

    /// Bytes of address space. Most of it is never touched: each thread reserves an 8 MiB stack and a 64 MiB
    /// heap arena.
    pub(crate) fn memory(&self) -> u64 {
        let threads = u64::from(self.threads.max(1));
        let reserved = (4 * threads + 8) * (72 << 20);
        // A decoder's references and one picture in flight a thread, at 16 bits in the worst case.
        let decoding = self.in_pixels * 3 * (threads + 20);
        // x264 looks 40 to 60 pictures ahead and keeps half-size copies of them.
        let encoding = self.out_pixels * 400;
        (768 << 20) + reserved + decoding + encoding
    }
}

/// How much slower than x264's `medium` a target is encoded.
pub(crate) fn slowness(target: &VideoTarget) -> f64 {
    match (target.codec, target.speed.as_deref()) {
        (VideoCodec::H264, Some("slow")) => 2.0,
        (VideoCodec::H264, Some("slower")) => 4.0,
        (VideoCodec::H264, Some("veryslow")) => 8.0,
        (VideoCodec::H264, Some("placebo")) => 25.0,
        (VideoCodec::H264, _) => 1.0,
        (VideoCodec::Vp9, Some("0")) => 40.0,
        (VideoCodec::Vp9, Some("1")) => 10.0,
        (VideoCodec::Vp9, _) => 4.0,
    }
}

/// Bytes that an encoded stream may reach: the bit rate it is held to, else 1.5 bits a pixel, which is more than
/// a noisy picture takes at any quality worth having.
pub(crate) fn video_bytes(seconds: f64, target: &VideoTarget, pixels: u64, fps: f64) -> u64 {
    let bits = match target.max_kbps {
        Some(kbps) => f64::from(kbps) * 2000.0,
        None => pixels as f64 * fps * 1.5,
    };
    // Headers and index: a hundred bytes a picture.
    bytes(seconds * (bits / 8.0 + fps * 100.0))
}

/// 64 MiB that any output may take, plus `expected`.
pub(crate) fn bytes(expected: f64) -> u64 {
    (64 << 20) + expected.clamp(0.0, 1e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(max_kbps: Option<u32>) -> VideoTarget {
        VideoTarget {
            codec: VideoCodec::H264,
            short_side: 720,
            max_fps: 60,
            crf: 23,
            speed: None,
            keyframe_seconds: 2,
            max_kbps,
        }
    }

    fn load(seconds: f64, width: u64, height: u64, fps: f64) -> Load {
        let megapixels = seconds * fps * (width * height) as f64 / 1e6;
        Load {
            seconds,
            decoded: megapixels,
            encoded: megapixels,
            pictures: seconds * fps,
            in_pixels: width * height,
            out_pixels: width * height,
            bytes: video_bytes(seconds, &target(None), width * height, fps),
            threads: 2,
        }
    }

    /// 60 s of 720p took 81 s of CPU on the machine of performance.md.
    #[test]
    fn an_hour_of_720p_is_allowed_hours_and_not_days() {
        let limits = load(3600.0, 1280, 720, 30.0).limits(0).unwrap();
        assert!(limits.cpu > Duration::from_secs(81 * 60 * 4));
        assert!(limits.wall < Duration::from_secs(7 * 86_400));
    }

    /// A tiny file that claims 24 hours cannot fill the disk: its pixels bound it.
    #[test]
    fn a_tiny_picture_of_24_hours_gets_a_small_disk() {
        let limits = load(86_400.0, 64, 64, 1.0).limits(0).unwrap();
        assert!(limits.disk < 256 << 20, "{}", limits.disk);
        assert!(limits.cpu < Duration::from_secs(24 * 3600));
    }

    /// Two days of 8K are not started at all.
    #[test]
    fn absurd_work_is_refused_before_it_starts() {
        let refused = load(48.0 * 3600.0, 7680, 4320, 60.0).limits(0).unwrap_err();
        assert_eq!(refused.kind, domain::FailureKind::Permanent);
        assert!(refused.message.contains("days"), "{refused}");
    }

    #[test]
    fn a_bit_rate_cap_bounds_the_disk() {
        assert!(video_bytes(600.0, &target(Some(1000)), 1 << 21, 30.0) < (64 << 20) + (160 << 20));
    }
}
