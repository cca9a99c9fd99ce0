use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::small_disk::SmallDisk;

fn pattern(size: usize) -> Bytes {
    (0..size).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    (dir, file)
}

type Settled = Result<Digest, &'static str>;

/// Puts these stretches of `whole` there, in this order.
async fn land(file: &Path, whole: &Bytes, stretches: &[(usize, usize)]) -> io::Result<Settled> {
    let landing = Landing::new(file);
    for &(start, end) in stretches {
        landing.write_at(start as u64, whole.slice(start..end)).await.unwrap();
    }
    landing.settle(Ok(whole.len() as u64)).await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// In whatever pieces and whatever order: on both sides of what is kept in memory.
    #[test]
    fn bytes_that_come_in_any_order_are_hashed_in_theirs(
        size in prop_oneof![0..3000_usize, 900_000..2_500_000_usize],
        cuts in proptest::collection::vec(0.0..1.0_f64, 0..24),
        seed in any::<u64>(),
    ) {
        let whole = pattern(size);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| (cut * size as f64) as usize).collect();
        cuts.extend([0, size]);
        cuts.sort_unstable();
        let mut stretches: Vec<_> = cuts.windows(2).map(|pair| (pair[0], pair[1])).collect();
        // Any order, of which the seed knows.
        stretches.sort_by_key(|(start, end)| (seed ^ (*start as u64)).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ *end as u64);
        let (_dir, file) = place();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(land(&file, &whole, &stretches)).unwrap().unwrap();
        prop_assert_eq!(found, digest(&whole));
        prop_assert!(std::fs::read(&file).unwrap() == whole);
    }
}

/// Nothing at all parts nothing from what follows it.
#[tokio::test]
async fn an_empty_piece_is_none() {
    let whole = pattern(60);
    let stretches = [(10, 20), (20, 30), (20, 20), (30, 40), (40, 50), (40, 40), (50, 60), (0, 10)];
    let (_dir, file) = place();
    assert_eq!(land(&file, &whole, &stretches).await.unwrap(), Ok(digest(&whole)));
}

/// Whoever hashes more slowly than bytes come reads them from the file: ahead of him are more than wait in memory.
#[tokio::test]
async fn many_chunks_in_order_are_all_hashed() {
    let whole = pattern(20 << 20);
    let stretches: Vec<_> =
        (0..whole.len()).step_by(64 << 10).map(|at| (at, whole.len().min(at + (64 << 10)))).collect();
    let (_dir, file) = place();
    assert_eq!(land(&file, &whole, &stretches).await.unwrap(), Ok(digest(&whole)));
}

#[tokio::test]
async fn a_gap_is_never_taken_for_a_whole() {
    let whole = pattern(3 << 20);
    for stretches in [
        &[(0, 1 << 20), ((1 << 20) + 1, 3 << 20)][..],
        &[(1, 3 << 20)],
        &[(0, (3 << 20) - 1)],
        &[(0, 9)],
        &[],
    ] {
        let (_dir, file) = place();
        let error = land(&file, &whole, stretches).await.unwrap_err();
        assert_eq!(error.to_string(), GAP);
        assert!(!file.exists());
    }
}

#[tokio::test]
async fn what_did_not_come_whole_is_gone() {
    for size in [9, 3 << 20] {
        let (_dir, file) = place();
        let landing = Landing::new(&file);
        landing.write_at(0, pattern(size)).await.unwrap();
        assert_eq!(landing.settle(Err("cut")).await.unwrap(), Err("cut"));
        assert!(!file.exists());
        // Nobody has asked what became of it.
        let landing = Landing::new(&file);
        landing.write_at(0, pattern(size)).await.unwrap();
        drop(landing);
        for _ in 0..500 {
            if !file.exists() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(!file.exists());
    }
}

#[tokio::test]
async fn a_file_that_is_there_stays_as_it_is() {
    for size in [9, 3 << 20] {
        let (_dir, file) = place();
        std::fs::write(&file, "theirs").unwrap();
        let landing = Landing::new(&file);
        // The disk's refusal may show at once, or only when it settles.
        let came = landing.write_at(0, pattern(size)).await.map(|()| size as u64);
        assert_eq!(landing.settle(came).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs");
    }
}

/// With a real full file system where we may mount one.
#[tokio::test]
async fn a_full_disk_is_told_and_left_empty() {
    let Some(mount) = SmallDisk::mount() else { return };
    let (file, whole) = (mount.0.join("file"), pattern(8 << 20));
    let landing = Landing::new(&file);
    let mut came = Ok(whole.len() as u64);
    for start in (0..whole.len()).step_by(256 << 10) {
        if let Err(e) = landing.write_at(start as u64, whole.slice(start..start + (256 << 10))).await {
            came = Err(e);
            break;
        }
    }
    assert!(came.is_err(), "there is more room than there is");
    assert_eq!(landing.settle(came).await.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(std::fs::read_dir(&mount.0).unwrap().count(), 0);
}
