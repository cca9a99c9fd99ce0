//! How many processes a child may have, asked before each fork.
//!
//! Neither RLIMIT_NPROC (it does not bind root) nor a watch (a fork bomb outruns it) keeps a count. So each fork
//! waits for the supervisor's word: a seccomp filter turns it into a question on a descriptor (seccomp_unotify(2)).
//! The flags of clone(2) are registers, so the call that goes on is the one that was asked about.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use crate::{Error, Limits, syscalls, watch};

/// The child's side: carried into the fork.
pub(crate) struct Gate {
    filter: Vec<libc::sock_filter>,
    to_parent: UnixDatagram,
}

/// Both sides of the question.
pub(crate) fn gate() -> Result<(Gate, UnixDatagram), Error> {
    let failed = |e: io::Error| Error::Prepare { what: "a socket pair", reason: e.to_string() };
    let (to_parent, from_child) = UnixDatagram::pair().map_err(failed)?;
    from_child.set_nonblocking(true).map_err(failed)?;
    Ok((Gate { filter: syscalls::ask_before_fork()?, to_parent }, from_child))
}

impl Gate {
    /// Runs between fork and exec, before the filters that refuse sockets. Where the kernel has no such questions
    /// (before 5.5, or when somebody above us asks them) nothing is installed, and the watch alone counts.
    pub(crate) fn apply(&self) -> io::Result<()> {
        let program =
            libc::sock_fprog { len: self.filter.len() as u16, filter: self.filter.as_ptr().cast_mut() };
        // SAFETY: the kernel copies the program during the call and never writes to it.
        let questions = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
                &program,
            )
        };
        if questions < 0 { Ok(()) } else { send(&self.to_parent, questions as libc::c_int) }
    }
}

/// System calls only: every buffer is on the stack.
fn send(to: &UnixDatagram, fd: libc::c_int) -> io::Result<()> {
    // SAFETY: the message points to `byte` and `control`, which outlive the call; `control` is aligned for a
    // cmsghdr and has room for one descriptor.
    unsafe {
        let (mut message, mut byte, mut control): (libc::msghdr, [u8; 1], [u64; 4]) = std::mem::zeroed();
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<libc::c_int>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as _;
        libc::CMSG_DATA(header).cast::<libc::c_int>().write_unaligned(fd);
        if libc::sendmsg(to.as_raw_fd(), &message, libc::MSG_NOSIGNAL) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The supervisor's side.
pub(crate) struct Questions(OwnedFd);

impl Questions {
    /// What the child sent before exec; call it after.
    pub(crate) fn receive(from: &UnixDatagram) -> Option<Questions> {
        // SAFETY: as in `send`; a descriptor that arrived belongs to nobody else.
        unsafe {
            let (mut message, mut byte, mut control): (libc::msghdr, [u8; 1], [u64; 4]) = std::mem::zeroed();
            let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
            message.msg_iov = &mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control) as _;
            if libc::recvmsg(from.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) < 0 {
                return None;
            }
            let header = libc::CMSG_FIRSTHDR(&message);
            if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
                return None;
            }
            let fd = libc::CMSG_DATA(header).cast::<libc::c_int>().read_unaligned();
            Some(Questions(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Answers one question that `poll` announced: yes while the group is below its budget, else "try again" as
    /// RLIMIT_NPROC would. A fork allowed but not yet done is not counted; the watch catches what slips through.
    pub(crate) fn answer(&self, leader: libc::pid_t, limits: &Limits) {
        // SAFETY: all-zero is what the kernel asks for; the structures outlive the calls.
        unsafe {
            let mut question: libc::seccomp_notif = std::mem::zeroed();
            if libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &mut question) != 0 {
                // Who asked has been killed.
                return;
            }
            let mut answer: libc::seccomp_notif_resp = std::mem::zeroed();
            answer.id = question.id;
            if watch::below_processes(leader, limits) {
                answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
            } else {
                answer.error = -libc::EAGAIN;
            }
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer);
        }
    }
}

impl AsRawFd for Questions {
    fn as_raw_fd(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }
}
