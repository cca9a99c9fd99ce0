//! Outputs that are uploaded while they are made, in the flow as a whole.
#![expect(clippy::disallowed_methods, reason = "makes a recording with ffmpeg")]

mod support;

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use domain::{Digest, RecordingId, Rendition};
use storage::{Fault, Faulty, Key, Memory, Op, Store as _};
use support::{Hands, library, runner};
use tokio_util::sync::CancellationToken;
use worker::{Found, Intake, LIBRARY_STORE, Library, Options, Steps, Stores, Taken};

const NOTHING: &str = "version: 1\nrules: []\n";
const WEB: &str = "version: 1
presets:
  web:
    kind: video
    container: mp4
    video: { codec: h264, short_side: 720, max_fps: 60, crf: 23, speed: ultrafast, keyframe_seconds: 2 }
    audio: { codec: aac, kbps: 128, max_channels: 2 }
rules:
  - { name: web, match: all, convert: [web] }
";

/// A library whose one store is not a folder.
struct Scene {
    home: tempfile::TempDir,
    clock: Arc<Hands>,
    store: Arc<Faulty<Memory>>,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home, clock: Hands::new(), store: Arc::new(Faulty::new(Memory::new(LIBRARY_STORE))) }
    }

    async fn library(&self, policy: &str) -> Arc<Library> {
        let unused = Arc::new(Memory::new("replica"));
        let made = library(self.home.path(), self.clock.clone(), unused, Steps::default()).await;
        let mut library = Arc::into_inner(made).expect("nobody else has it");
        library.policy = Arc::new(policy::parse(policy).unwrap());
        library.stores = Stores::default();
        library.stores.add(self.store.clone());
        Arc::new(library)
    }

    /// A recording of more than 16 MiB, with its index at its end, probed and no more.
    async fn recording(&self) -> RecordingId {
        let library = self.library(NOTHING).await;
        let path = self.home.path().join("noise.mp4");
        noise(&path);
        let (found, mut id) = (Found { path, name: "noise.mp4".into() }, None);
        Intake::new(library.clone(), Options::default())
            .take(futures::stream::iter([found]), |_, taken| match taken {
                Taken::New { id: new, .. } => id = Some(*new),
                other => panic!("{other:?}"),
            })
            .await
            .unwrap();
        let runner = runner(&library, Duration::from_secs(5));
        runner.recover().await.unwrap();
        runner.run_to_rest(CancellationToken::new()).await;
        id.expect("taken")
    }

    async fn rendition(&self, id: RecordingId) -> Rendition {
        let library = self.library(WEB).await;
        let (runner, stop) = (runner(&library, Duration::from_secs(5)), CancellationToken::new());
        runner.recover().await.unwrap();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { runner.run(stop).await }
        });
        let mut made = None;
        for _ in 0..3000 {
            made = library.catalog.renditions(id).await.unwrap().pop();
            if made.is_some() {
                break;
            }
            self.clock.pass(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        running.await.unwrap();
        made.expect("within a minute")
    }

    /// Files adopted, uploads begun, uploads given up.
    fn calls(&self) -> [u64; 3] {
        [Op::Adopt, Op::Create, Op::Abort].map(|op| self.store.calls(op))
    }

    /// What is in the store under a rendition's key is what the catalog says, and a player finds its index first.
    async fn is_whole(&self, rendition: &Rendition) {
        let file = &rendition.files[0];
        let key = Key::parse(&file.key).unwrap();
        let bytes = storage::read_all(&*self.store, &key, 1 << 30).await.unwrap();
        let mut hasher = domain::Hasher::new();
        hasher.update(&bytes);
        let found: Digest = hasher.finish();
        assert_eq!(found, file.digest);
        let at = |name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap();
        assert!(at(b"moov") < at(b"mdat") && bytes.len() > 16 << 20, "{} bytes", bytes.len());
        let seen = self.home.path().join("seen.mp4");
        std::fs::write(&seen, &bytes).unwrap();
        let output =
            Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(&seen).args(["-f", "null", "-"]).output();
        let output = output.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "it decodes: {output:?}");
    }
}

/// Noise, which nothing makes small.
fn noise(path: &Path) {
    let picture = "nullsrc=s=640x360:r=25:d=3,geq=random(1)*255:128:128";
    let sound = "sine=frequency=440:duration=3:sample_rate=48000";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-c:v", "libx264"])
        .args(["-preset", "ultrafast", "-qp", "4", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac"])
        .arg(path)
        .status();
    assert!(made.unwrap().success(), "ffmpeg makes a recording");
}

/// Nothing is read twice, written twice, or uploaded after it was made.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_large_output_is_with_the_store_when_it_is_checked() {
    let s = Scene::new();
    let id = s.recording().await;
    let before = s.calls();
    let rendition = s.rendition(id).await;
    let [adopted, created, aborted] = [0, 1, 2].map(|n| s.calls()[n] - before[n]);
    assert_eq!((adopted, created, aborted), (0, 1, 0));
    assert!(rendition.choices.iter().all(|c| c.how == "copy"), "{:?}", rendition.choices);
    s.is_whole(&rendition).await;
}

/// Promise 6, when it is found out last of all that nothing is to be seen: a bit flipped on the way into ffmpeg, which
/// copies it without a word, and most of the output has left already. The next try makes the right one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_output_of_damaged_bytes_is_never_seen() {
    let s = Scene::new();
    let id = s.recording().await;
    // Its beginning, its index, and then all of it.
    s.store.on(Op::Get, 3, Fault::Flip { at: 12 << 20 });
    let before = s.calls();
    let rendition = s.rendition(id).await;
    let [adopted, created, aborted] = [0, 1, 2].map(|n| s.calls()[n] - before[n]);
    assert_eq!((adopted, created, aborted), (0, 2, 1));
    s.is_whole(&rendition).await;
    let objects = s.store.list("", None, 10).await.unwrap();
    assert_eq!(objects.len(), 2, "the source and one rendition: {objects:?}");
}
