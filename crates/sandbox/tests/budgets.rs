// Elsewhere layers are missing; see elsewhere.rs.
#![cfg(target_os = "linux")]
mod common;

use std::time::{Duration, Instant};

use common::*;
use sandbox::{Budget, Exit};

/// No child outlives its wall budget, even ignoring SIGTERM and having forked grandchildren that do.
#[tokio::test]
async fn wall_time() {
    let wall = Duration::from_secs(1);
    let room = Room::new().limit(|l| (l.wall, l.processes) = (wall, 8));
    let code = "import os, signal, time\nfor s in range(1, 32):\n  try: signal.signal(s, signal.SIG_IGN)\n  except OSError: pass\n\
                if os.fork() == 0:\n  os.fork()\n  open(f'pid{os.getpid()}', 'w').write('x')\ntime.sleep(60)";
    let begin = Instant::now();
    let output = run(room.python(code)).await;
    assert_eq!(output.exit, Exit::Budget(Budget::Wall(wall)), "{}", output.stderr_tail);
    assert!(begin.elapsed() < wall * 4, "{:?}", begin.elapsed());
    let mut grandchildren = 0;
    for entry in std::fs::read_dir(room.dir.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(gone(name.strip_prefix("pid").unwrap().parse().unwrap()), "{name}");
        grandchildren += 1;
    }
    assert_eq!(grandchildren, 2);
}

/// The budget is kept also when nobody waits.
#[tokio::test]
async fn wall_time_unobserved() {
    let room = Room::new().limit(|l| l.wall = Duration::from_secs(1));
    let child = SANDBOX.spawn(room.sh("exec sleep 60")).unwrap();
    let pid = child.id();
    assert!(!gone(pid));
    // The runtime's only thread is blocked here: nothing of it helps.
    std::thread::sleep(Duration::from_secs(3));
    assert!(gone(pid));
}

/// No child uses more CPU time than its budget, whatever it does with the signal.
#[tokio::test]
async fn cpu_time() {
    let cpu = Duration::from_secs(1);
    let room = Room::new().limit(|l| l.cpu = cpu);
    for code in
        ["while True: pass", "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"]
    {
        let output = run(room.python(code)).await;
        assert_eq!(output.exit, Exit::Budget(Budget::Cpu(cpu)), "{}", output.stderr_tail);
        assert!(output.usage.user_cpu + output.usage.sys_cpu < cpu * 3, "{:?}", output.usage);
    }
}

/// Many processes together use no more CPU time than one may.
#[tokio::test]
async fn cpu_time_of_the_group() {
    let cpu = Duration::from_secs(1);
    let room = Room::new().limit(|l| (l.cpu, l.processes) = (cpu, 8));
    let output = run(room.python("import os\nfor _ in range(2): os.fork()\nwhile True: pass")).await;
    assert_eq!(output.exit, Exit::Budget(Budget::Cpu(cpu)), "{}", output.stderr_tail);
}

/// No child has more memory than its budget: the allocation fails.
#[tokio::test]
async fn memory() {
    let code = "x = bytearray(1 << 30); print(len(x))";
    assert!(unconfined(code).status.success());
    let output = run(Room::new().limit(|l| l.memory = 200 << 20).python(code)).await;
    assert_eq!(output.exit, Exit::Code(1));
    assert!(output.stderr_tail.contains("MemoryError"), "{}", output.stderr_tail);
    assert!(output.usage.max_rss < 200 << 20, "{:?}", output.usage);
}

/// A group of processes together has no more memory than one may.
#[tokio::test]
async fn memory_of_the_group() {
    let room = Room::new().limit(|l| (l.memory, l.processes) = (120 << 20, 8));
    let code = "import os, time\nfor _ in range(2): os.fork()\nx = b'x' * (60 << 20); time.sleep(30)";
    assert_eq!(run(room.python(code)).await.exit, Exit::Budget(Budget::Memory(120 << 20)));
}

/// No file grows past its budget, whether the program dies of the signal or handles the error.
#[tokio::test]
async fn file_size() {
    let room = Room::new().limit(|l| l.file_size = 1 << 20);
    let budget = Exit::Budget(Budget::FileSize(1 << 20));
    assert_eq!(run(room.sh("exec head -c 3000000 /dev/zero >big")).await.exit, budget);
    assert_eq!(run(room.python("open('large', 'wb').write(bytes(3000000))")).await.exit, budget);
    for name in ["big", "large"] {
        assert_eq!(std::fs::metadata(room.path(name)).unwrap().len(), 1 << 20);
    }
}

/// Many small files do not add up to more than the disk budget and one interval of the watch.
#[tokio::test]
async fn disk_by_many_files() {
    let room = Room::new().limit(|l| l.disk = 4 << 20);
    let code = "i = 0\nwhile True:\n  open(str(i), 'wb').write(bytes(1000)); i += 1";
    assert_eq!(run(room.python(code)).await.exit, Exit::Budget(Budget::Disk(4 << 20)));
    // Empty files and directories are not free either.
    let room = Room::new().limit(|l| l.disk = 4 << 20);
    let code = "import os\nwhile True: os.mkdir('d'); os.chdir('d')";
    assert_eq!(run(room.python(code)).await.exit, Exit::Budget(Budget::Disk(4 << 20)));
}

/// A child that is done before the watch looks is not let off.
#[tokio::test]
async fn disk_at_the_end() {
    let room = Room::new().limit(|l| l.disk = 4 << 20);
    let output = run(room.python("open('f', 'wb').write(bytes(8 << 20))")).await;
    assert_eq!(output.exit, Exit::Budget(Budget::Disk(4 << 20)));
}

/// With a budget of one process a child forks not at all; threads are free.
#[tokio::test]
async fn one_process() {
    let room = Room::new();
    refused(&room, "import os\nif os.fork() == 0: os._exit(0)\nos.wait()").await;
    refused(&room, "import subprocess; subprocess.run(['/bin/true'])").await;
    let code = "import threading\nt = threading.Thread(target=print, args=['thread']); t.start(); t.join()";
    let output = run(room.python(code)).await;
    assert_eq!(text(&output), "thread", "{}", output.stderr_tail);
}

/// A child may have as many processes as its budget says.
#[tokio::test]
async fn several_processes() {
    // The shell, two of itself, and their sleeps.
    let room = Room::new().limit(|l| l.processes = 5);
    assert_eq!(text(&run(room.sh("(sleep 0.6; echo a) & (sleep 0.6; echo a) & wait")).await), "a\na");
}

/// A fork bomb never has more processes than its budget, is over soon, and nothing of it is left.
#[tokio::test]
async fn fork_bomb() {
    let room = Room::new().limit(|l| (l.processes, l.wall) = (8, Duration::from_secs(2)));
    let code = "import os\nopen('pid', 'w').write(f'{os.getpid()}\\n')\nwhile True:\n  try: os.fork()\n  except OSError as e: assert e.errno == 11";
    let mut child = SANDBOX.spawn(room.python(code)).unwrap();
    pid_in(&room.path("pid")).await;
    let mut most = 0;
    let begin = Instant::now();
    let exit = loop {
        match tokio::time::timeout(Duration::from_millis(20), child.wait()).await {
            Ok(finished) => break finished.exit,
            Err(_) => most = most.max(in_group(child.id())),
        }
    };
    assert!(matches!(exit, Exit::Budget(Budget::Wall(_) | Budget::Processes(8))), "{exit}");
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!((4..=16).contains(&most), "{most} processes");
    assert_eq!(in_group(child.id()), 0);
    // The shell's own, which does not even want to stop.
    let begin = Instant::now();
    run(room.sh("b() { b | b & }; b; sleep 1")).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

/// The living processes of a group.
fn in_group(group: u32) -> usize {
    let stats = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let after = stat.iter().rposition(|b| *b == b')').unwrap() + 2;
            let fields = String::from_utf8_lossy(&stat[after..]).into_owned();
            let fields: Vec<_> = fields.split(' ').collect();
            fields[2] == group.to_string() && fields[0] != "Z" && fields[0] != "X"
        })
        .count()
}
