use std::{io::Write as _, path::PathBuf};

use storage::{Fault, Faulty, Memory, Op};

use super::*;

const KEY: &str = "3k/film.mp4";

struct Scene {
    store: Arc<Faulty<Memory>>,
    folder: tempfile::TempDir,
    follow: Option<Follow>,
}

impl Scene {
    fn new() -> Self {
        let store = Arc::new(Faulty::new(Memory::new("library")));
        let follow = Some(Follow::start(store.clone(), key()));
        Self { store, folder: tempfile::tempdir().unwrap(), follow }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tell(&self, making: Making) {
        self.follow.as_ref().unwrap().making().send_replace(making);
    }

    fn grows(&self, attempt: u32, name: &str) {
        self.tell(Making::Grows { attempt, path: self.path(name) });
    }

    fn written(&self, attempt: u32, name: &str, front: Option<Front>) {
        self.tell(Making::Written { attempt, path: self.path(name), front: front.map(Arc::new) });
    }

    /// Until so many pieces have left.
    async fn until_sent(&self, pieces: u64) {
        for _ in 0..2000 {
            if self.store.calls(Op::Write) >= pieces {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} pieces", self.store.calls(Op::Write));
    }

    async fn end(&mut self) -> Option<Ready> {
        self.follow.take().unwrap().end().await.0
    }

    async fn seen(&self) -> Option<Bytes> {
        storage::read_all(&*self.store, &key(), 1 << 30).await.ok()
    }
}

fn key() -> Key {
    Key::parse(KEY).unwrap()
}

/// Bytes of which no two pages are equal.
fn noise(size: u64, seed: u8) -> Vec<u8> {
    let pages = (0..size.div_ceil(4096)).flat_map(|page| {
        let mut bytes = [seed; 4096];
        bytes[..8].copy_from_slice(&page.to_be_bytes());
        bytes
    });
    pages.take(size as usize).collect()
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}

/// As ffmpeg leaves an MP4: the index last. With it, and with the place of the data in it.
fn mp4(data: u64) -> (Vec<u8>, Vec<u8>) {
    let boxed =
        |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat();
    let stco = boxed(b"stco", &[0_u32, 1, 40].map(u32::to_be_bytes).concat());
    let mut index = boxed(b"stbl", &[stco, boxed(b"free", &noise(100_000, 5))].concat());
    for kind in [b"minf", b"mdia", b"trak", b"moov"] {
        index = boxed(kind, &index);
    }
    let head = [boxed(b"ftyp", b"isom1234isom1234"), boxed(b"free", b"")].concat();
    let before = [head, boxed(b"mdat", &noise(data, 7))].concat();
    (before, index)
}

/// What is seen in the end is the file with its index in front, and nothing was seen before.
#[tokio::test]
async fn an_output_is_uploaded_while_it_grows() {
    let mut s = Scene::new();
    s.grows(1, "a.mp4");
    let (mut data, index) = mp4(3 * PIECE + 100);
    let tail_at = data.len() as u64;
    let mut out = File::create(s.path("a.mp4")).unwrap();
    // ffmpeg knows how long the data is when it is written.
    let size: [u8; 4] = data[32..36].try_into().unwrap();
    data[32..36].fill(0);
    out.write_all(&data[..FOLLOWED as usize - 1]).unwrap();
    tokio::time::sleep(LOOK.1 * 2).await;
    assert_eq!(s.store.calls(Op::Create), 0, "small so far");
    out.write_all(&data[FOLLOWED as usize - 1..]).unwrap();
    s.until_sent(2).await;
    assert_eq!(s.seen().await, None);
    out.write_all_at(&size, 32).unwrap();
    data[32..36].copy_from_slice(&size);
    // Not a byte of the index may leave from where it is now, though it may be there for a while.
    let padded = [
        &index[..],
        &[&(2 * PIECE as u32).to_be_bytes()[..], b"free", &vec![0; 2 * PIECE as usize - 8]].concat(),
    ]
    .concat();
    out.write_all(&padded).unwrap();
    tokio::time::sleep(LOOK.1 * 2).await;
    assert_eq!(s.store.calls(Op::Write), 2);
    let tail = &padded[..];
    let front = media::to_front(&data[..4096], tail_at, tail).unwrap();
    let whole =
        [&data[..front.at as usize], &front.index, &data[front.at as usize..], &padded[index.len()..]]
            .concat();
    s.written(1, "a.mp4", Some(front));
    let ready = s.end().await.expect("all of it but the head");
    assert_eq!(ready.whole, digest(&whole));
    assert_eq!(s.seen().await, None, "not before it is shown");
    ready.show().await.unwrap();
    assert!(s.seen().await.unwrap() == whole);
    assert_eq!(s.store.calls(Op::Create), 1);
}

/// Other containers' muxers go back to their heads only, and nothing moves.
#[tokio::test]
async fn an_output_whose_head_is_written_last_is_uploaded_as_it_is() {
    let mut s = Scene::new();
    s.grows(1, "a.webm");
    let mut bytes = noise(2 * PIECE + HEAD, 3);
    let mut out = File::create(s.path("a.webm")).unwrap();
    out.write_all(&bytes).unwrap();
    s.until_sent(2).await;
    out.write_all_at(b"how long it is", 50).unwrap();
    bytes[50..64].copy_from_slice(b"how long it is");
    s.written(1, "a.webm", None);
    let ready = s.end().await.unwrap();
    ready.show().await.unwrap();
    assert!(s.seen().await.unwrap() == bytes);
}

/// Promise 6, when a check fails, or the work is given up: nothing is seen, and the store is told to forget what it has.
#[tokio::test]
async fn an_output_that_came_to_nothing_leaves_nothing() {
    for written in [false, true] {
        let mut s = Scene::new();
        s.grows(1, "a.webm");
        std::fs::write(s.path("a.webm"), noise(3 * PIECE, 1)).unwrap();
        s.until_sent(2).await;
        if written {
            // It was probed, did not hold up, and an encode was begun instead, which failed.
            s.written(1, "a.webm", None);
            tokio::time::sleep(LOOK.1 * 2).await;
            s.grows(2, "b.webm");
        }
        assert!(s.end().await.is_none());
        assert_eq!(s.store.calls(Op::Abort), 1);
        assert_eq!(s.seen().await, None);
    }
    // Found wanting after all of it but the head was there.
    let mut s = Scene::new();
    std::fs::write(s.path("a.webm"), noise(3 * PIECE, 1)).unwrap();
    s.written(1, "a.webm", None);
    s.until_sent(2).await;
    s.follow.take().unwrap().give_up().await;
    assert_eq!((s.store.calls(Op::Abort), s.seen().await), (1, None));
}

/// The output of a second attempt is not mixed with what was sent of the first.
#[tokio::test]
async fn another_attempt_begins_anew() {
    let mut s = Scene::new();
    s.grows(1, "one");
    std::fs::write(s.path("one"), noise(3 * PIECE, 1)).unwrap();
    s.until_sent(2).await;
    s.grows(2, "two");
    let bytes = noise(3 * PIECE, 2);
    std::fs::write(s.path("two"), &bytes).unwrap();
    s.until_sent(4).await;
    s.written(2, "two", None);
    s.end().await.unwrap().show().await.unwrap();
    assert!(s.seen().await.unwrap() == bytes);
    assert_eq!(s.store.calls(Op::Abort), 1);
}

/// No muxer is known to go back behind its head. Should one, what is seen is still never another file than the checked one.
#[tokio::test]
async fn what_changed_after_it_left_is_not_shown() {
    let mut s = Scene::new();
    s.grows(1, "a.webm");
    let mut out = File::create(s.path("a.webm")).unwrap();
    out.write_all(&noise(3 * PIECE, 1)).unwrap();
    s.until_sent(2).await;
    out.write_all_at(b"changed", HEAD + 1000).unwrap();
    s.written(1, "a.webm", None);
    let refused = s.end().await.unwrap().show().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert_eq!(s.seen().await, None);
}

/// A store that fails on the way costs nothing but time: the output is there, and is uploaded when it is whole.
#[tokio::test]
async fn an_upload_that_breaks_is_left() {
    for fault in [Fault::Cut { after: PIECE }, Fault::Fail { kind: ErrorKind::Unavailable, temporary: true }]
    {
        let mut s = Scene::new();
        s.store.on(Op::Create, 1, fault);
        s.grows(1, "a.webm");
        std::fs::write(s.path("a.webm"), noise(3 * PIECE, 1)).unwrap();
        tokio::time::sleep(LOOK.1 * 2).await;
        s.written(1, "a.webm", None);
        assert!(s.end().await.is_none());
        assert_eq!((s.store.calls(Op::Create), s.seen().await), (1, None));
    }
}

/// Small outputs take the way of all files.
#[tokio::test]
async fn a_small_output_is_not_followed() {
    let mut s = Scene::new();
    s.grows(1, "a.mp4");
    std::fs::write(s.path("a.mp4"), noise(FOLLOWED - 1, 1)).unwrap();
    s.written(1, "a.mp4", None);
    assert!(s.end().await.is_none());
    assert_eq!(s.store.calls(Op::Create), 0);
}
