//! How the C library's allocator keeps what it is given back. It is the process's, and so only a `main` decides on it; it is here since
//! this is the lowest room whose buffers it is about.

/// To be called once, before there is a second thread: buffers of hundreds of KiB that come and go with everything we move stay with
/// the process.
///
/// As it comes, glibc returns to the kernel whatever is free above 128 KiB (`M_TRIM_THRESHOLD`, mallopt(3)), and the next buffer's
/// pages are cleared and mapped anew: 92,000 faults for a download of 1 GiB by HTTP, a quarter of its time. It may keep 8 MiB now.
/// Larger blocks than 4 MiB still go as soon as they are free. And two arenas are enough: with one for every thread, each of them
/// keeps its own.
pub fn keep_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // Numbers for knobs of the C library's own; what it does not like it leaves as it was.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 8 << 20);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 20);
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
