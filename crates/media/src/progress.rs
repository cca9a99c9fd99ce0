//! What `-progress` says: blocks of `key=value` lines, each closed by a `progress=` line.

use domain::Progress;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// One block.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tick {
    /// Microseconds of output so far; absent before the first packet.
    pub(crate) out_us: Option<u64>,
    /// Times real time.
    pub(crate) speed: Option<f64>,
    pub(crate) frame: Option<u64>,
}

/// Reads to the end; calls `each` once a block and returns the last one.
pub(crate) async fn read(pipe: impl AsyncRead + Unpin, mut each: impl FnMut(Tick)) -> Tick {
    let mut lines = BufReader::new(pipe).lines();
    let mut block = Tick::default();
    // A broken pipe ends progress like the end does; how ffmpeg fared is told by its exit.
    while let Ok(Some(line)) = lines.next_line().await {
        if block.take(&line) {
            each(block);
        }
    }
    block
}

impl Tick {
    /// Takes one line over; true when it closed a block.
    fn take(&mut self, line: &str) -> bool {
        let Some((key, value)) = line.split_once('=') else { return false };
        // Numbers come padded, and `N/A` is not one.
        let value = value.trim();
        match key {
            "out_time_us" => self.out_us = value.parse().ok().or(self.out_us),
            "speed" => self.speed = value.strip_suffix('x').and_then(|v| v.trim().parse().ok()),
            "frame" => self.frame = value.parse().ok(),
            "progress" => return true,
            _ => {}
        }
        false
    }

    /// As a share of `total_us` of output, of which `before_us` were made by earlier calls.
    pub(crate) fn of(&self, before_us: u64, total_us: u64) -> Progress {
        let total = total_us.max(1);
        let done = (before_us + self.out_us.unwrap_or(0)).min(total);
        let speed = self.speed.filter(|speed| speed.is_finite() && *speed > 0.0);
        Progress {
            permille: (u128::from(done) * 1000 / u128::from(total)) as u16,
            speed_percent: speed.map(|speed| (speed * 100.0) as u32),
            eta_ms: speed.map(|speed| ((total - done) as f64 / 1000.0 / speed) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: &str = "frame=0\nfps=0.00\nout_time_us=N/A\nspeed=N/A\nprogress=continue\n\
        frame=75\nfps=0.00\nstream_0_0_q=29.0\nbitrate= 108.3kbits/s\ntotal_size=48\nout_time_us=2500000\n\
        out_time_ms=2500000\nout_time=00:00:02.500000\ndup_frames=0\ndrop_frames=0\nspeed=4.98x\nprogress=continue\n\
        frame=100\nout_time_us=4000000\nspeed=   5x\nprogress=end\n";

    #[tokio::test]
    async fn blocks_become_progress() {
        let mut seen = Vec::new();
        let last = read(BLOCKS.as_bytes(), |tick| seen.push(tick.of(0, 4_000_000))).await;
        assert_eq!(last.frame, Some(100));
        let permille: Vec<_> = seen.iter().map(|p| p.permille).collect();
        assert_eq!(permille, [0, 625, 1000]);
        assert_eq!(seen[0].speed_percent, None);
        assert_eq!(seen[1].speed_percent, Some(498));
        assert_eq!(seen[1].eta_ms, Some(301));
        assert_eq!(seen[2].eta_ms, Some(0));
    }

    /// ffmpeg can be further than the header promised: never more than the whole.
    #[test]
    fn progress_stays_within_the_whole() {
        let tick = Tick { out_us: Some(9_000_000), speed: Some(f64::INFINITY), frame: None };
        assert_eq!(tick.of(0, 4_000_000), Progress { permille: 1000, speed_percent: None, eta_ms: None });
        assert_eq!(Tick::default().of(0, 0).permille, 0);
    }
}
