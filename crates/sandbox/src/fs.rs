//! Which files a child may touch, as a Landlock ruleset.

use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, Scope,
};

use crate::{DEVICES, Error, SYSTEM};

/// What to close. Whatever is closed and not granted below is refused.
#[derive(Clone, Copy)]
pub(crate) struct Close {
    pub files: bool,
    pub tcp: bool,
}

/// What to grant. Every path is opened here, in the parent, so a later exchange of a symlink changes nothing.
#[derive(Clone, Copy)]
pub(crate) struct Grant<'a> {
    pub program: Option<&'a Path>,
    pub read: &'a [std::path::PathBuf],
    pub dir: Option<&'a Path>,
}

/// Everything the newest kernel can refuse; an older one refuses what it knows (best effort), and the probe tells
/// whether that is enough.
const NEWEST: ABI = ABI::V9;

/// The descriptor to restrict the child with, or `None` when there is nothing to close.
pub(crate) fn ruleset(close: Close, grant: Grant) -> Result<Option<OwnedFd>, Error> {
    if !close.files && !close.tcp {
        return Ok(None);
    }
    let mut ruleset = Ruleset::default();
    if close.files {
        ruleset = ruleset.handle_access(AccessFs::from_all(NEWEST)).map_err(prepare)?;
        ruleset = ruleset.scope(Scope::from_all(NEWEST)).map_err(prepare)?;
    }
    if close.tcp {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST)).map_err(prepare)?;
    }
    let mut ruleset = ruleset.create().map_err(prepare)?;
    if close.files {
        for path in SYSTEM.iter().map(Path::new).filter(|path| path.exists()) {
            ruleset = allow(ruleset, path, read() | AccessFs::Execute)?;
        }
        for path in DEVICES.iter().map(Path::new).filter(|path| path.exists()) {
            ruleset = allow(ruleset, path, AccessFs::ReadFile | AccessFs::WriteFile)?;
        }
        if let Some(program) = grant.program {
            ruleset = allow(ruleset, program, AccessFs::ReadFile | AccessFs::Execute)?;
        }
        for path in grant.read {
            ruleset = allow(ruleset, path, read())?;
        }
        if let Some(dir) = grant.dir {
            ruleset = allow(ruleset, dir, read() | write())?;
        }
    }
    Ok(ruleset.into())
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// No devices, sockets or named pipes: nothing that leads out of the directory. No execute: what a child writes
/// it cannot start.
fn write() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn allow(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, Error> {
    let refused = |source| Error::Path { path: path.to_owned(), source };
    let fd = PathFd::new(path).map_err(|e| refused(std::io::Error::other(e)))?;
    let is_dir = std::fs::metadata(path).map_err(refused)?.is_dir();
    // The kernel refuses directory rights on a file.
    let access = if is_dir { access } else { access & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(fd, access)).map_err(prepare)
}

/// The kernel's Landlock ABI version; 0 where there is none.
pub(crate) fn abi() -> i32 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: a null ruleset with this flag only asks for the version.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    version.max(0) as i32
}

fn prepare(error: impl std::fmt::Display) -> Error {
    Error::Prepare { what: "landlock", reason: error.to_string() }
}
