//! Outputs that are taken while they are made: what is seen of them is what was checked, index in front.

mod made;

use std::{fs, path::Path};

use domain::{AudioCodec, Container, Preset};
use made::*;
use media::{FOLLOWED, Front, Making, Source};
use tokio::sync::watch;

/// Noise, which nothing makes small: three seconds have more than 16 MiB.
const LARGE: &str = "-f lavfi -i nullsrc=s=640x360:r=25:d=3,geq=random(1)*255:128:128 -f lavfi -i sine=f=440:d=3:r=48000 \
    -c:v libx264 -preset ultrafast -qp 4 -pix_fmt yuv420p -g 25 -c:a aac -b:a 96k -f mp4";
const SMALL: &str = "-f lavfi -i testsrc=s=320x240:r=25:d=2 -f lavfi -i sine=f=440:d=2:r=48000 \
    -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -c:a aac -b:a 96k -f mp4";

async fn followed(source: &Path, preset: &Preset) -> (Done, Making) {
    let work = tempfile::tempdir().unwrap();
    let probe = tools().probe(tempfile::tempdir().unwrap().path(), source).await.unwrap();
    let (making, seen) = watch::channel(Making::default());
    let source = Source { path: source, probe: &probe };
    let result = tools().convert(work.path(), &source, preset, &|_| {}, Some(&making)).await;
    let last = seen.borrow().clone();
    (Done { work, probe, result }, last)
}

/// The file as it is seen in the end.
fn seen(file: &[u8], front: &Front) -> Vec<u8> {
    let mut all = file[..front.at as usize].to_vec();
    all.extend(&front.index);
    for piece in front.behind(file.len() as u64) {
        all.extend(&file[piece.start as usize..piece.end as usize]);
    }
    all
}

/// Promise 6: a large output is probed as ffmpeg leaves it, and its index is moved afterwards. It is then, to the last bit,
/// what ffmpeg makes when it moves the index itself; and it is what was probed.
#[tokio::test]
async fn a_large_output_with_its_index_moved_is_what_was_checked() {
    let source = made("noise.mp4", LARGE);
    let (done, last) = followed(&source, &mp4(720)).await;
    let Making::Written { attempt: 1, path, front: Some(front) } = last else { panic!("{last:?}") };
    assert_eq!(path, done.main());
    let file = fs::read(&path).unwrap();
    assert!(file.len() as u64 >= FOLLOWED, "{} bytes", file.len());
    let seen = seen(&file, &front);
    let theirs = convert(&source, &mp4(720)).await;
    assert!(seen == fs::read(theirs.main()).unwrap(), "as with +faststart");
    assert_eq!(done.facts(), theirs.facts());
    let moved = done.work.path().join("moved.mp4");
    fs::write(&moved, &seen).unwrap();
    let again = tools().probe(tempfile::tempdir().unwrap().path(), &moved).await.unwrap();
    assert_eq!(again.facts.as_ref().unwrap().streams, done.facts().streams);
}

/// A small one is finished before it is checked: nobody follows it.
#[tokio::test]
async fn a_small_output_has_its_index_in_front_when_it_is_checked() {
    let source = made("small-moov-last.mp4", SMALL);
    for preset in [mp4(720), audio(Container::M4a, AudioCodec::Aac)] {
        let (done, last) = followed(&source, &preset).await;
        let written = Making::Written { attempt: 1, path: done.main().to_owned(), front: None };
        assert_eq!(last, written);
        let theirs = convert(&source, &preset).await;
        assert!(fs::read(done.main()).unwrap() == fs::read(theirs.main()).unwrap(), "as with +faststart");
        assert_eq!(done.facts(), theirs.facts());
        assert!(!done.work.path().join("main.front").exists());
    }
}

/// What was taken of a copy that does not hold up is void, and whoever takes it is told.
#[tokio::test]
async fn another_attempt_is_another_output() {
    let source = made("small-moov-last.mp4", SMALL);
    let mut probe = tools().probe(tempfile::tempdir().unwrap().path(), &source).await.unwrap();
    // As if it were longer than it is: a copy of it is short, and so is an encode.
    probe.facts.as_mut().unwrap().streams[0].duration_ms = 9_000;
    let work = tempfile::tempdir().unwrap();
    let (making, seen) = watch::channel(Making::default());
    let of = Source { path: &source, probe: &probe };
    let failed = tools().convert(work.path(), &of, &mp4(720), &|_| {}, Some(&making)).await.unwrap_err();
    assert!(failed.message.contains("lasts"), "{failed}");
    let last = seen.borrow().clone();
    assert!(matches!(last, Making::Written { attempt: 2, .. }), "{last:?}");
}
