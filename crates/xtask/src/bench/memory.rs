use std::{fs, io::Write as _, time::Duration};

use super::{ratio, work};

const GIB: u64 = 1 << 30;

pub fn all() -> Result<(), String> {
    let folder = work::folder("memory")?;
    idle(&folder)?;
    large(&folder)
}

/// `videorec up` with nothing to do.
fn idle(folder: &std::path::Path) -> Result<(), String> {
    let library = work::library(folder, "version: 1\nrules: []\n")?;
    let mut up = work::videorec(&library, &["up"]).spawn().map_err(|e| format!("up did not start: {e}"))?;
    std::thread::sleep(Duration::from_secs(5));
    let resident = work::status_mb(up.id(), "VmRSS");
    let _ = up.kill();
    let _ = up.wait();
    let resident = resident.ok_or("no /proc: this is measured on Linux")?;
    ratio("idle worker, RSS in MB", resident, "<= 30", resident <= 30.0);
    Ok(())
}

/// A file of 2 GiB from `ingest` to its terminal state, without the children's memory.
fn large(folder: &std::path::Path) -> Result<(), String> {
    let file = folder.join("large.bin");
    if fs::metadata(&file).map_or(0, |m| m.len()) != 2 * GIB {
        // Not zeros: nothing on the way may be clever about them.
        let block: Vec<u8> =
            (0..1u32 << 18).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut out = fs::File::create(&file).map_err(|e| format!("cannot make {}: {e}", file.display()))?;
        for _ in 0..2 * GIB / block.len() as u64 {
            out.write_all(&block).map_err(|e| e.to_string())?;
        }
    }
    let library = work::library(folder, "version: 1\nrules: []\n")?;
    let path = file.display().to_string();
    let mut child =
        work::videorec(&library, &["ingest", "--no-wait", &path]).spawn().map_err(|e| e.to_string())?;
    let peak = work::peak_rss(&mut child)?;
    ratio("ingesting 2 GiB, peak RSS in MB", peak, "<= 80", peak <= 80.0);
    let _ = fs::remove_dir_all(&library);
    let _ = fs::remove_file(&file);
    Ok(())
}
