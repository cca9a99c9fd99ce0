use std::path::PathBuf;

use tempfile::TempDir;

/// A real file system that is soon full.
pub(crate) struct SmallDisk(pub PathBuf, #[expect(dead_code, reason = "kept until it is unmounted")] TempDir);

impl SmallDisk {
    /// 4 MiB; `None` where we may not mount.
    pub fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mount");
        std::fs::create_dir(&path).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &path, "tmpfs", flags, Some(c"size=4m")).ok()?;
        Some(Self(path, dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}
