use std::path::Path;
use std::time::Duration;

use domain::{Failure, Probe, StreamKind, Verdict};
use sandbox::{Exit, Limits};
use tokio::io::AsyncReadExt;

use crate::container::{self, Container, Kind};
use crate::describe::{Description, Stream};
use crate::packets::{Decoded, Scan};
use crate::windows::{self, Work};
use crate::{Check, Tools, facts, guard, samples, verdict};

impl Tools {
    /// What `source` is, and what it is worth. `work` is a private directory; nothing is left in it but a link.
    ///
    /// Reads the container's own tables, has ffprobe describe the streams, measures every packet, and decodes as
    /// much as [`crate::Check`] says. A bad file is an answer (`Unsupported` or `Damaged`); an error is our own
    /// trouble only.
    pub async fn probe(&self, work: &Path, source: &Path) -> Result<Probe, Failure> {
        let container = read_container(source).await?;
        if let Kind::Not(reason) = &container.kind {
            return Ok(unsupported(*reason));
        }
        let child = Child { tools: self, work, source, input: guard::link(work, 0, source).map_err(ours)? };
        let described = child.describe(Packets::Unread).await?;
        let description = match described {
            Ok(description) => description,
            Err(end) => return child.explain(&container, end).await,
        };
        if let Some(reason) = verdict::refuse(&container, &description) {
            return Ok(match &container.short {
                Some(short) if description.streams.is_empty() => damaged(short),
                _ => unsupported(reason),
            });
        }
        let mut scan = Scan::default();
        let end = child.measure(&container, &mut scan).await?;
        if let Exit::Budget(budget) = end {
            return Ok(unsupported(format!("it cannot be read within its budget: {budget}")));
        }
        let decoded = child.decode(&description, &scan).await?;
        let facts = facts::facts(&container, &description, &scan, &decoded);
        let mut verdict = verdict::judge(&container, &facts, &scan, &decoded);
        if let Some(reason) =
            decoded.crashed.or(crash(end)).or(cut_adts(&facts.format, source, &scan).map_err(ours)?)
        {
            verdict = worse(verdict, reason);
        }
        Ok(Probe { verdict, facts: Some(facts) })
    }

    /// What an output of ours is: as [`Tools::probe`] with [`crate::Check::None`] finds it, and in a fraction of its time where it is
    /// an MP4 (see [`samples`]).
    pub(crate) async fn probe_output(&self, work: &Path, output: &Path) -> Result<Probe, Failure> {
        match self.probe_mp4(work, output).await? {
            Some(probe) => Ok(probe),
            None => self.clone().with_check(Check::None).probe(work, output).await,
        }
    }

    /// Nothing where it has to be measured packet by packet.
    pub(crate) async fn probe_mp4(&self, work: &Path, output: &Path) -> Result<Option<Probe>, Failure> {
        let container = read_container(output).await?;
        if !matches!(&container.kind, Kind::Mov(boxes) if boxes.index && !boxes.fragmented)
            || container.short.is_some()
        {
            return Ok(None);
        }
        let path = output.to_owned();
        let read = tokio::task::spawn_blocking(move || samples::read(&path)).await;
        let read = read
            .map_err(|error| Failure::permanent(format!("reading an output's index failed: {error}")))?
            .map_err(ours)?;
        let Some(scan) = read else { return Ok(None) };
        let child =
            Child { tools: self, work, source: output, input: guard::link(work, 0, output).map_err(ours)? };
        let Ok(description) = child.describe(Packets::Counted(container.len)).await? else { return Ok(None) };
        if verdict::refuse(&container, &description).is_some() || !samples::agree(&scan, &description) {
            tracing::debug!("measured packet by packet");
            return Ok(None);
        }
        let decoded = Decoded::default();
        let facts = facts::facts(&container, &description, &scan, &decoded);
        let verdict = verdict::judge(&container, &facts, &scan, &decoded);
        Ok(Some(Probe { verdict, facts: Some(facts) }))
    }
}

/// What is done with packets while streams are described.
enum Packets {
    Unread,
    /// All are read, of a file of so many bytes.
    Counted(u64),
}

/// Bytes of description kept: 64 streams with the longest tags that anybody reads.
const MAX_DESCRIPTION: usize = 4 << 20;
/// Bytes of one line of packets or frames; ffprobe's are below 500.
const MAX_LINE: usize = 64 << 10;
const DESCRIBE: Duration = Duration::from_secs(60);
/// Bytes a second that reading a whole recording reaches at least.
const SLOWEST_READ: u64 = 10 << 20;
/// A check in windows is built to take seconds; one of everything takes what it takes, within an hour.
const CHECK: Duration = Duration::from_secs(120);
const FULL_CHECK: Duration = Duration::from_secs(3600);
/// Address space of ffprobe (its libraries alone map 300 MB) without pictures.
const MEMORY: u64 = 1 << 30;
/// Bytes a pixel for decoding: 10-bit 4:2:0 takes 3, and a decoder holds 16 references and its threads' pictures.
const BYTES_A_PIXEL: u64 = 64;

/// Threads that decode one stream of a check: it is bounded to seconds, and `cost` counts it as small.
const MAX_THREADS: u32 = 2;
/// Address space that a thread takes before it does anything: the C library's arena and a stack. Too little of it
/// looks like a recording that does not decode.
const THREAD: u64 = 72 << 20;

const DECODED: &str = "packet=stream_index,pts_time,dts_time,duration_time,size,flags:frame=stream_index,\
    best_effort_timestamp_time,pkt_dts_time,duration_time,pkt_duration_time,nb_samples,width,height";

/// The calls of ffprobe for one source.
struct Child<'a> {
    tools: &'a Tools,
    work: &'a Path,
    source: &'a Path,
    /// The source as argv names it.
    input: String,
}

impl Child<'_> {
    /// The streams as ffprobe describes them, or how it ended instead.
    async fn describe(&self, packets: Packets) -> Result<Result<Description, Exit>, Failure> {
        let mut args = guard::ffprobe();
        args.extend(words("-threads 1 -show_format -show_streams"));
        let mut wall = DESCRIBE;
        if let Packets::Counted(bytes) = packets {
            args.push("-count_packets".to_owned());
            wall = reading(bytes);
        }
        args.extend(words("-of json -i"));
        args.push(self.input.clone());
        let spec =
            self.tools.spec(&self.tools.ffprobe, args, self.work, &[self.source], limits(wall, MEMORY));
        let output = self.tools.sandbox.run(spec, MAX_DESCRIPTION).await.map_err(not_started)?;
        tracing::debug!(exit = %output.exit, max_rss = output.usage.max_rss, "described");
        starts(output.exit, &output.stderr_tail)?;
        if !output.exit.success() || output.stdout_truncated {
            return Ok(Err(output.exit));
        }
        Ok(Description::parse(&output.stdout).ok_or(output.exit))
    }

    async fn measure(&self, container: &Container, scan: &mut Scan) -> Result<Exit, Failure> {
        let mut args = guard::ffprobe();
        args.extend(words("-threads 1 -show_packets -show_entries"));
        args.push("packet=stream_index,pts_time,dts_time,duration_time,size,pos,flags".to_owned());
        self.lines(args, limits(reading(container.len), MEMORY), scan).await
    }

    /// Decodes what the plan says: video and audio apart, so that neither attachments nor subtitles are decoded.
    async fn decode(&self, description: &Description, scan: &Scan) -> Result<Decoded, Failure> {
        let mut decoded = Decoded::default();
        let [video, audio] = [StreamKind::Video, StreamKind::Audio].map(|kind| load(description, scan, kind));
        let plays = |stream: &Stream| matches!(stream.kind(), StreamKind::Video | StreamKind::Audio);
        if description.streams.iter().all(plays) && windows::at_once(self.tools.check, &[video.0, audio.0]) {
            let mut scan = Scan::default();
            let end = self.decode_some(&video.1.and(&audio.1), None, None, &mut scan).await?;
            // What is wrong is told by what each kind comes to alone.
            if end.success() {
                decoded.add(scan, true);
                return Ok(decoded);
            }
        }
        for ((work, load), selector) in [(video, "V"), (audio, "a")] {
            if work.cost == 0 {
                continue;
            }
            for interval in windows::plan(self.tools.check, &work).runs() {
                let everything = interval.is_none();
                // Out of budget is no fault of the recording: what was decoded until then is judged. A run of its
                // own for each window, because after a seek all that precedes a key frame is to be left out.
                let mut scan = Scan::default();
                let end = self.decode_some(&load, Some(selector), interval, &mut scan).await?;
                decoded.crashed = decoded.crashed.or(crash(end));
                decoded.add(scan, everything && end.success());
            }
        }
        Ok(decoded)
    }

    /// Decodes the streams that are selected (all of them without a selector) in an interval (or everything).
    async fn decode_some(
        &self,
        load: &Load,
        selector: Option<&str>,
        interval: Option<String>,
        scan: &mut Scan,
    ) -> Result<Exit, Failure> {
        // One stream may use a second core; many of them are many decoders already.
        let threads = if load.alone { self.tools.threads.min(MAX_THREADS) } else { 1 };
        let memory = MEMORY + load.pictures + u64::from(threads) * load.streams * THREAD;
        let mut args = guard::ffprobe();
        args.extend(words("-err_detect explode -threads"));
        args.push(threads.to_string());
        args.extend(selector.into_iter().flat_map(|it| ["-select_streams".to_owned(), it.to_owned()]));
        args.extend(interval.into_iter().flat_map(|it| ["-read_intervals".to_owned(), it]));
        args.extend(words("-show_packets -show_frames -show_entries"));
        args.push(DECODED.to_owned());
        let wall = if self.tools.check == Check::Full { FULL_CHECK } else { CHECK };
        self.lines(args, limits(wall, memory), scan).await
    }

    /// Runs ffprobe with line output and feeds the lines to `scan`.
    async fn lines(&self, mut args: Vec<String>, limits: Limits, scan: &mut Scan) -> Result<Exit, Failure> {
        args.extend(words("-of compact -i"));
        args.push(self.input.clone());
        let spec = self.tools.spec(&self.tools.ffprobe, args, self.work, &[self.source], limits);
        let mut child = self.tools.sandbox.spawn(spec).map_err(not_started)?;
        let mut stdout =
            child.take_stdout().ok_or_else(|| Failure::permanent("ffprobe has no standard output"))?;
        let (mut buffer, mut rest) = (vec![0; 64 << 10], Vec::new());
        // The end of the pipe is the end of the lines, however it came about; the exit tells the rest.
        while let Ok(n @ 1..) = stdout.read(&mut buffer).await {
            for piece in buffer[..n].split_inclusive(|b| *b == b'\n') {
                if rest.len() < MAX_LINE {
                    rest.extend_from_slice(piece);
                }
                if piece.ends_with(b"\n") {
                    scan.line(String::from_utf8_lossy(&rest).trim_end());
                    rest.clear();
                }
            }
        }
        scan.finish();
        let finished = child.wait().await;
        tracing::debug!(exit = %finished.exit, cpu = ?finished.usage.user_cpu, max_rss = finished.usage.max_rss, "read");
        starts(finished.exit, &finished.stderr_tail)?;
        Ok(finished.exit)
    }

    /// Why ffprobe would not describe it, found out without opening any decoder.
    async fn explain(&self, container: &Container, end: Exit) -> Result<Probe, Failure> {
        if matches!(&container.kind, Kind::Mov(boxes) if boxes.encrypted()) {
            return Ok(unsupported("it is encrypted (CENC or DRM): it needs its key"));
        }
        if let Exit::Budget(budget) = end {
            return Ok(unsupported(format!("it cannot be described within its budget: {budget}")));
        }
        if let Some(reason) = crash(end) {
            return Ok(unsupported(reason));
        }
        let (streams, codecs) = self.name_streams().await?;
        if streams > guard::MAX_STREAMS as usize {
            return Ok(unsupported(verdict::too_many(streams)));
        }
        if let Some(codec) = codecs.iter().find(|codec| !guard::decodes(codec)) {
            return Ok(unsupported(format!("codec {codec} is not one that we decode")));
        }
        if let Some(short) = &container.short {
            return Ok(damaged(short));
        }
        Ok(match &container.kind {
            Kind::Mov(boxes) if !boxes.index && !boxes.data => unsupported("an mp4 header without any media"),
            Kind::Mov(_) => damaged("it begins like an mp4, and its structure cannot be read"),
            Kind::Matroska(_) => damaged("it begins like Matroska, and its structure cannot be read"),
            _ => unsupported("no container and codecs that recordings use"),
        })
    }

    /// How many streams there are, and their codecs.
    async fn name_streams(&self) -> Result<(usize, Vec<String>), Failure> {
        let mut args = guard::ffmpeg();
        args.extend(guard::naming());
        args.push("-i".to_owned());
        args.push(self.input.clone());
        // framecrc begins with a header line for each stream; nothing is read after it.
        args.extend(words("-map 0:v? -map 0:a? -map 0:s? -c copy -t 0 -f framecrc pipe:1"));
        let spec =
            self.tools.spec(&self.tools.ffmpeg, args, self.work, &[self.source], limits(DESCRIBE, MEMORY));
        let output = self.tools.sandbox.run(spec, MAX_DESCRIPTION).await.map_err(not_started)?;
        starts(output.exit, &output.stderr_tail)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let codecs: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#codec_id ")?.split_once(": "))
            .map(|(_, codec)| crate::describe::inert(codec))
            .collect();
        Ok((codecs.len(), codecs))
    }
}

/// What one run of ffprobe has to hold.
struct Load {
    streams: u64,
    /// There is no other of its kind.
    alone: bool,
    /// Bytes of address space that pictures may take.
    pictures: u64,
}

impl Load {
    fn and(&self, other: &Load) -> Load {
        Load {
            streams: self.streams + other.streams,
            alone: self.alone && other.alone,
            pictures: self.pictures + other.pictures,
        }
    }
}

/// What decoding all streams of a kind costs, and takes.
fn load(description: &Description, scan: &Scan, kind: StreamKind) -> (Work, Load) {
    let mut work = Work { start: i64::MAX, ..Work::default() };
    let (mut end, mut pixels) = (i64::MIN, 0);
    let mut intervals = Vec::new();
    for stream in description.streams.iter().filter(|s| s.kind() == kind) {
        let Some(seen) = scan.streams.get(&stream.index) else { continue };
        let each = if kind == StreamKind::Video { windows::picture(stream.pixels()) } else { windows::SOUND };
        work.cost = work.cost.saturating_add(each.saturating_mul(seen.packets.count));
        work.start = work.start.min(seen.packets.first.unwrap_or(0));
        end = end.max(seen.packets.end().unwrap_or(0));
        pixels += stream.pixels();
        intervals.push(seen.key_interval());
    }
    work.duration = end.saturating_sub(work.start).max(0);
    let streams = intervals.len() as u64;
    work.key_interval =
        intervals.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let pictures = pixels.min(guard::MAX_PIXELS) * BYTES_A_PIXEL;
    (work, Load { streams, alone: streams <= 1, pictures })
}

async fn read_container(source: &Path) -> Result<Container, Failure> {
    let path = source.to_owned();
    tokio::task::spawn_blocking(move || container::read(&path))
        .await
        .map_err(|error| Failure::permanent(format!("reading the recording's headers failed: {error}")))?
        .map_err(ours)
}

/// ADTS has no index: whether its last frame is whole stands in that frame's header.
fn cut_adts(format: &str, source: &Path, scan: &Scan) -> std::io::Result<Option<String>> {
    let Some((offset, there)) = scan.streams.get(&0).and_then(|seen| seen.last).filter(|_| format == "aac")
    else {
        return Ok(None);
    };
    let promised = container::adts_frame(source, offset)?.unwrap_or(0);
    Ok((promised > there).then(|| format!("it is cut: its last frame holds {there} of {promised} bytes")))
}

fn crash(end: Exit) -> Option<String> {
    match end {
        Exit::Signal(signal) => Some(format!("it makes ffprobe crash (signal {signal})")),
        _ => None,
    }
}

/// How long reading so many bytes may take.
fn reading(bytes: u64) -> Duration {
    DESCRIBE + Duration::from_secs(bytes / SLOWEST_READ)
}

fn limits(wall: Duration, memory: u64) -> Limits {
    Limits {
        wall,
        // Two cores at most over the whole time; decoding is meant to take seconds.
        cpu: wall * 2,
        memory,
        // ffprobe writes to its pipe only; what else lies in the work directory is the caller's.
        file_size: 1 << 20,
        disk: u64::MAX,
        processes: 1,
    }
}

/// The shell's codes for "cannot be executed" and "not found", which the dynamic linker uses too: the program is
/// at fault, not the recording.
fn starts(exit: Exit, stderr: &str) -> Result<(), Failure> {
    match exit {
        Exit::Code(126 | 127) => Err(Failure::permanent(format!(
            "ffprobe or ffmpeg does not start: {}. Run `videorec doctor`",
            stderr.trim()
        ))),
        _ => Ok(()),
    }
}

fn not_started(error: sandbox::Error) -> Failure {
    match error {
        sandbox::Error::Start { .. } | sandbox::Error::Path { .. } | sandbox::Error::Dir { .. } => {
            Failure::temporary(error.to_string())
        }
        _ => Failure::permanent(error.to_string()),
    }
}

fn ours(error: std::io::Error) -> Failure {
    Failure::temporary(format!(
        "cannot read the recording's local copy: {error}. Check the work directory's disk"
    ))
}

fn worse(verdict: Verdict, reason: String) -> Verdict {
    match verdict {
        Verdict::Good => Verdict::Damaged { reason },
        Verdict::Damaged { reason: first } => Verdict::Damaged { reason: format!("{first}; {reason}") },
        unsupported => unsupported,
    }
}

fn unsupported(reason: impl Into<String>) -> Probe {
    Probe { verdict: Verdict::Unsupported { reason: reason.into() }, facts: None }
}

fn damaged(reason: &str) -> Probe {
    Probe { verdict: Verdict::Damaged { reason: reason.to_owned() }, facts: None }
}

fn words(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().map(str::to_owned)
}
