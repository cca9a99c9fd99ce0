//! Alone in its process: what it looks at is the process's own.

/// What moves bytes gives its buffers back and asks for them again: their pages are not cleared and mapped anew each time.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn buffers_that_come_and_go_stay_with_the_process() {
    const ROUNDS: u64 = 200;
    const BUFFERS: u64 = 6;
    const SIZE: usize = 416 << 10;
    storage::keep_buffers();
    let take_and_give_back = || {
        let buffers: Vec<Vec<u8>> = (0..BUFFERS).map(|n| vec![n as u8 + 1; SIZE]).collect();
        assert_eq!(std::hint::black_box(&buffers).len() as u64, BUFFERS);
    };
    take_and_give_back();
    let before = faults();
    (0..ROUNDS).for_each(|_| take_and_give_back());
    let pages = ROUNDS * BUFFERS * (SIZE as u64 / 4096);
    let found = faults() - before;
    assert!(found < pages / 100, "{found} faults for {pages} pages");
}

/// Minor page faults of this process so far, see proc_pid_stat(5).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_the_name) = stat.rsplit_once(')').unwrap();
    after_the_name.split_whitespace().nth(7).unwrap().parse().unwrap()
}
