use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

use super::Rules;
use crate::Name;

/// Which names of a batch are taken, as the destination compares names. 24 bytes and some a name.
#[derive(Debug)]
pub struct Claims {
    rules: Rules,
    /// By the hash of the name as the destination compares it.
    taken: HashMap<[u8; 16], Claim>,
}

#[derive(Debug, Clone, Copy)]
enum Claim {
    File(u64),
    /// Of the first file in it.
    Folder(u64),
}

/// Why a name cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clash {
    /// The file that was numbered so has it.
    Same(u64),
    /// A part of the path is the file that was numbered so.
    UnderFile(u64),
    /// It is a folder, in which the file that was numbered so lies.
    IsFolder(u64),
}

impl Claims {
    pub fn new(rules: Rules) -> Self {
        Self { rules, taken: HashMap::new() }
    }

    /// Takes the name for the file numbered `number`; the number only comes back in a later [`Clash`]. After a clash nothing is
    /// taken.
    pub fn claim(&mut self, name: &Name, number: u64) -> Result<(), Clash> {
        let folded = self.folded(name);
        let own = hash(&folded);
        match self.taken.get(&own) {
            Some(Claim::File(other)) => return Err(Clash::Same(*other)),
            Some(Claim::Folder(other)) => return Err(Clash::IsFolder(*other)),
            None => {}
        }
        let folders = || folded.match_indices('/').map(|(at, _)| hash(&folded[..at]));
        for folder in folders() {
            if let Some(Claim::File(other)) = self.taken.get(&folder) {
                return Err(Clash::UnderFile(*other));
            }
        }
        for folder in folders() {
            self.taken.entry(folder).or_insert(Claim::Folder(number));
        }
        self.taken.insert(own, Claim::File(number));
        Ok(())
    }

    fn folded(&self, name: &Name) -> String {
        if self.rules.ignores_case {
            // Upper case first: `ß` and `SS`, and both small sigmas, are one on systems that fold by upper case.
            name.as_str().nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
        } else {
            name.as_str().nfc().collect()
        }
    }
}

fn hash(folded: &str) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&Sha256::digest(folded)[..16]);
    out
}
