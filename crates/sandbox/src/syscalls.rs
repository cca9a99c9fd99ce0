//! Which system calls a child may not make, as seccomp filters.
//!
//! A deny-list: what a child may need cannot be listed for programs this room does not know. Refusals are EPERM,
//! not a kill, so that a program which merely tries goes on.

use std::collections::BTreeMap;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::Error;

#[derive(Clone, Copy)]
pub(crate) struct Allow {
    pub fork: bool,
    /// Only where Landlock keeps signals inside (ABI 6); otherwise every way to send one is closed, at the price
    /// that abort() ends in SIGSEGV.
    pub signals: bool,
}

/// The programs to install, in order. None needs the other; they answer with different errors.
pub(crate) fn filters(allow: Allow) -> Result<Vec<Vec<libc::sock_filter>>, Error> {
    let mut filters = vec![compile(refused(allow)?, libc::EPERM)?, compile(absent(), libc::ENOSYS)?];
    if cfg!(target_arch = "x86_64") {
        filters.push(no_x32());
    }
    Ok(filters)
}

/// Turns each fork into a question to whoever holds the filter's listener; threads do not ask.
pub(crate) fn ask_before_fork() -> Result<Vec<libc::sock_filter>, Error> {
    let mut rules: Rules = FORKS.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64), 0)?]);
    let mut program = compile(rules, libc::EPERM)?;
    // seccompiler has no action for it.
    for step in &mut program {
        if step.code == (libc::BPF_RET | libc::BPF_K) as u16
            && step.k == libc::SECCOMP_RET_ERRNO | libc::EPERM as u32
        {
            step.k = libc::SECCOMP_RET_USER_NOTIF;
        }
    }
    Ok(program)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// glibc falls back to calls whose flags a filter can read: these take theirs through a pointer.
fn absent() -> Rules {
    [libc::SYS_clone3, libc::SYS_openat2].map(|call| (call, Vec::new())).into()
}

fn refused(allow: Allow) -> Result<Rules, Error> {
    let mut rules: Rules = ALWAYS.iter().chain(NEWER).chain(LEGACY).map(|call| (*call, Vec::new())).collect();
    if !allow.signals {
        rules.extend(SIGNALS.iter().map(|call| (*call, Vec::new())));
    }

    let mut clone = Vec::new();
    for flag in NAMESPACES {
        clone.push(rule(0, SeccompCmpOp::MaskedEq(flag), flag)?);
    }
    // A child of CLONE_PARENT would be a child of ours that nobody waits for.
    clone.push(rule(0, SeccompCmpOp::MaskedEq(libc::CLONE_PARENT as u64), libc::CLONE_PARENT as u64)?);
    if !allow.fork {
        clone.push(rule(0, SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64), 0)?);
        rules.extend(FORKS.iter().map(|call| (*call, Vec::new())));
    }
    rules.insert(libc::SYS_clone, clone);
    // Both ends are the child's and its own children's: a pipe that goes both ways, which rsync wants to talk to its remote
    // shell by. Nothing can be sent through it that is not plain bytes.
    let pairs = if allow.fork { vec![rule(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?] } else { Vec::new() };
    rules.insert(libc::SYS_socketpair, pairs);

    // The child may not shed its parent-death signal.
    rules.insert(libc::SYS_prctl, vec![rule(0, SeccompCmpOp::Eq, libc::PR_SET_PDEATHSIG as u64)?]);
    // Reading limits is harmless; root could raise them again.
    rules.insert(libc::SYS_prlimit64, vec![wide(2, SeccompCmpOp::Ne, 0)?]);
    // Typing into the terminal that started us.
    rules.insert(libc::SYS_ioctl, vec![rule(1, SeccompCmpOp::Eq, libc::TIOCSTI)?]);
    // Landlock before ABI 3 lets a read-only open empty the file.
    let empties = (libc::O_TRUNC | libc::O_ACCMODE) as u64;
    rules.insert(libc::SYS_openat, vec![rule(2, SeccompCmpOp::MaskedEq(empties), libc::O_TRUNC as u64)?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![rule(1, SeccompCmpOp::MaskedEq(empties), libc::O_TRUNC as u64)?]);
    Ok(rules)
}

/// The new-namespace flags of clone(2). CLONE_NEWTIME is not among them: it shares its bit with the exit signal,
/// and clone(2) does not take it.
const NAMESPACES: [u64; 7] = [
    libc::CLONE_NEWNS as u64,
    libc::CLONE_NEWCGROUP as u64,
    libc::CLONE_NEWUTS as u64,
    libc::CLONE_NEWIPC as u64,
    libc::CLONE_NEWUSER as u64,
    libc::CLONE_NEWPID as u64,
    libc::CLONE_NEWNET as u64,
];

const ALWAYS: &[i64] = &[
    // The network, and every other kind of socket; for pairs see `refused`.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    // Other processes' memory and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Out of the group that is killed, the limits and the credentials that bind.
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_setrlimit,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_personality,
    libc::SYS_setpriority,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_ioprio_set,
    // Out of the file list.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    // What Landlock does not cover of a file: its mode, owner, times and attributes, emptying it by path before
    // ABI 3, and who else uses it.
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_mknodat,
    libc::SYS_inotify_add_watch,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    // Memory that no budget counts, or that other processes share.
    libc::SYS_memfd_create,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Where the kernel's own holes have been, and no child's business.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_setup,
    libc::SYS_vmsplice,
    // The machine.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
];

/// The same numbers on every architecture since 5.1; some are too new for libc to name.
const NEWER: &[i64] = &[
    442, // mount_setattr
    443, // quotactl_fd
    447, // memfd_secret
    448, // process_mrelease
    452, // fchmodat2
    463, // setxattrat
    466, // removexattrat
    467, // open_tree_attr
    469, // file_setattr
];

const SIGNALS: &[i64] = &[
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
];

/// Calls that aarch64 never had.
#[cfg(target_arch = "x86_64")]
const LEGACY: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_mknod,
    libc::SYS_uselib,
    libc::SYS_modify_ldt,
    libc::SYS_iopl,
    libc::SYS_ioperm,
];
#[cfg(target_arch = "x86_64")]
const FORKS: &[i64] = &[libc::SYS_fork, libc::SYS_vfork];

#[cfg(not(target_arch = "x86_64"))]
const LEGACY: &[i64] = &[];
#[cfg(not(target_arch = "x86_64"))]
const FORKS: &[i64] = &[];

/// The kernel reads an `int` argument's low half; so must the filter, or garbage in the upper half slips by.
fn rule(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, Error> {
    condition(index, SeccompCmpArgLen::Dword, op, value)
}

fn wide(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, Error> {
    condition(index, SeccompCmpArgLen::Qword, op, value)
}

fn condition(
    index: u8,
    length: SeccompCmpArgLen,
    op: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, Error> {
    SeccompCondition::new(index, length, op, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(prepare)
}

/// seccompiler adds the check that kills a caller of another architecture (i386 on x86_64, arm on aarch64).
fn compile(rules: Rules, errno: i32) -> Result<Vec<libc::sock_filter>, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(prepare)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), arch)
        .map_err(prepare)?;
    let program: seccompiler::BpfProgram = filter.try_into().map_err(prepare)?;
    Ok(program.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect())
}

/// x86_64 kernels may also serve the x32 numbers (bit 30), which name the same calls past the deny-list.
fn no_x32() -> Vec<libc::sock_filter> {
    const X32: u32 = 0x4000_0000;
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    vec![
        // The number is the first word of seccomp_data.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn prepare(error: impl std::fmt::Display) -> Error {
    Error::Prepare { what: "seccomp", reason: error.to_string() }
}
