//! One process works on a library at a time; any number may look, and bring files in.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
};

/// Held for as long as this process works. The kernel lets go of it when the process ends, however it ends.
pub struct Lock {
    _file: File,
}

pub enum Taken {
    Ours(Lock),
    /// Another process has it; its id if it could be read.
    Theirs(Option<u32>),
}

pub fn take(path: &Path) -> io::Result<Taken> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())?;
            Ok(Taken::Ours(Lock { _file: file }))
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.take(20).read_to_string(&mut text);
            Ok(Taken::Theirs(text.trim().parse().ok()))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(e),
    }
}
