use std::{fs, time::Instant};

use super::{ratio, work};

const FILES: u32 = 10_000;
/// Bytes: a small recording's.
const SIZE: usize = 20_000;

/// Many small files up to the catalog; probing them is another matter and is left out.
pub fn many() -> Result<(), String> {
    let folder = work::folder("ingest")?;
    let sources = folder.join("sources");
    if !sources.join(format!("{}/{}.mp4", (FILES - 1) / 1000, FILES - 1)).exists() {
        for n in 0..FILES {
            let file = sources.join(format!("{}/{n}.mp4", n / 1000));
            let bytes: Vec<u8> = (0..SIZE as u32 / 4)
                .flat_map(|i| (i.wrapping_mul(2_654_435_761) ^ n).to_le_bytes())
                .collect();
            fs::create_dir_all(file.parent().expect("has a folder"))
                .and_then(|()| fs::write(&file, bytes))
                .map_err(|e| format!("cannot make {}: {e}", file.display()))?;
        }
    }
    let path = sources.display().to_string();
    let (mut rates, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let library = work::library(&folder, "version: 1\nrules: []\n")?;
        let started = Instant::now();
        let mut child =
            work::videorec(&library, &["ingest", "--no-wait", &path]).spawn().map_err(|e| e.to_string())?;
        peaks.push(work::peak_rss(&mut child)?);
        rates.push(f64::from(FILES) / started.elapsed().as_secs_f64());
    }
    let plain = copy_with_fsync(&sources, &folder.join("plain"))?;
    let rate = super::median(&rates);
    println!(
        "runs, files/s: {rates:.0?}; one plain copy with fsync, one after the other: {plain:.0} files/s"
    );
    ratio("ingest, files/s up to the catalog", rate, ">= 500", rate >= 500.0);
    println!("peak RSS {:.0} MB", super::median(&peaks));
    let _ = fs::remove_dir_all(folder.join("plain"));
    Ok(())
}

/// What the disk gives to a simple program that is as careful: read, write, fsync, one file after the other.
fn copy_with_fsync(from: &std::path::Path, to: &std::path::Path) -> Result<f64, String> {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).map_err(|e| e.to_string())?;
    let started = Instant::now();
    let copy = |n: u32| -> std::io::Result<()> {
        use std::io::Write as _;
        let bytes = fs::read(from.join(format!("{}/{n}.mp4", n / 1000)))?;
        let mut file = fs::File::create(to.join(n.to_string()))?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    (0..FILES).try_for_each(copy).map_err(|e| e.to_string())?;
    Ok(f64::from(FILES) / started.elapsed().as_secs_f64())
}
