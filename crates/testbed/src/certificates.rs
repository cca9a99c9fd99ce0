use std::{fs, path::PathBuf, process::Command};

use crate::setup;

/// An authority of our own and a certificate that it signed, as files in PEM, kept from run to run.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

/// Its certificates are good until 2038.
const TRUSTME: &str = "trustme==1.2.1";

impl Certificates {
    /// For a server of these names and addresses.
    pub fn of(names: &[&str]) -> Self {
        let python = setup::python_with(TRUSTME);
        setup::locked("certificates", || {
            let folder = setup::folder().join("certificates").join(names.join("+"));
            let this = Self { folder };
            // The last of the files that are written.
            if !this.authority_file().exists() {
                fs::create_dir_all(&this.folder).expect("a folder for certificates");
                let mut command = Command::new(python);
                command.args(["-m", "trustme", "--quiet", "--dir"]).arg(&this.folder);
                let made = command.arg("--identities").args(names).output().expect("python starts");
                assert!(made.status.success(), "trustme: {}", String::from_utf8_lossy(&made.stderr));
            }
            this
        })
    }

    /// The authority's, for clients to believe.
    pub fn authority(&self) -> Vec<u8> {
        fs::read(self.authority_file()).expect("made by trustme")
    }

    fn authority_file(&self) -> PathBuf {
        self.folder.join("client.pem")
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }
}
