//! Bytes leave for places that are not ours, and come back from there: one trait, [`Destination`], its backends, and above
//! them [`deliver`], which is what everybody calls.
//!
//! Architecture invariant: knows neither recordings nor jobs nor policy. It is given a name, a source and what the bytes must
//! be; what they are for and when they go is decided elsewhere. It never waits to try again: an error says whether trying
//! again may help ([`Error::is_temporary`]), when and how often is the caller's.
//!
//! # What holds for every backend
//!
//! - Under a file's own name there is all of it or nothing: it is written under another name ([`partial`]), looked at there as
//!   [`Verify`] asks, and only then renamed. Where a protocol has no names to change (S3, HTTP PUT), the one request that ends
//!   an upload takes the place of renaming.
//! - After a cut the same call goes on where the partial file ends. Its name is made of the file's name and of what the bytes
//!   must be, so that no memory of ours is needed and two contents never meet in one partial file.
//! - Memory does not grow with a file's size: at most 64 MB a transfer.
//! - No error and no `Debug` holds a secret: they are [`Secret`]s.
//!
//! # How a backend joins
//!
//! 1. A module of its own behind a cargo feature of its own, `src/<protocol>.rs` and `src/<protocol>/*`. The type is named for
//!    the protocol; its options are a plain struct whose defaults are right for the usual server.
//! 2. Where the protocol has files that can be written from a place on and renamed (SFTP, FTP, a folder, WebDAV with `from` always
//!    0): implement [`Destination`] for looking, reading, listing and removing, and [`Files`] (append, settle) for writing;
//!    [`Destination::put`] is then one line, [`put_by_renaming`]. Everything about temporary names, resuming, sizes and hashes is
//!    done there, once for all.
//! 3. Where it has not (S3, HTTP PUT): implement `put` itself, and see that nothing shows before it is complete.
//! 4. [`Limits`] says honestly what the protocol cannot do (resume, list, rename, keep times, hashes); the suite asks for no more.
//! 5. One line in the backend's tests, `transfer::contract!(make)`, against a real server that `testbed` starts, and a test for
//!    each fault of the protocol's own.
//! 6. Errors: the kind is what a caller can act upon, the sentence names the destination and the file and ends with what to do.
//!    What a server says goes through [`inert`] before it is shown.

mod body;
mod checksum;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod deliver;
mod destination;
mod error;
mod faulty;
mod folder;
#[cfg(feature = "ftp")]
pub mod ftp;
mod hashing;
#[cfg(feature = "http")]
pub mod http;
mod limited;
mod name;
pub mod names;
#[cfg(feature = "objects")]
pub mod objects;
pub mod partial;
mod put;
#[cfg(any(feature = "ftp", feature = "http"))]
mod reach;
#[cfg(feature = "rsync")]
pub mod rsync;
#[cfg(feature = "s3")]
mod s3;
mod secret;
#[cfg(feature = "sftp")]
pub mod sftp;
mod source;
#[cfg(any(feature = "ftp", feature = "http"))]
mod tls;
#[cfg(feature = "http")]
mod web;
#[cfg(feature = "webdav")]
pub mod webdav;

pub use body::{CHUNK, collect, digest_of};
pub use checksum::{Algorithm, Checksum};
pub use deliver::{Delivered, How, Outcome, deliver, fetch};
pub use destination::{Body, Checked, Destination, Health, Limits, Listing, Meta, Put, Sent};
pub use domain::{Conflict, Verify};
pub use error::{Error, ErrorKind, inert};
pub use faulty::{Fault, Faulty, Op};
pub use folder::{Folder, Presence};
#[cfg(feature = "ftp")]
pub use ftp::Ftp;
#[cfg(feature = "http")]
pub use http::Http;
pub use limited::{Limited, Pace};
pub use name::{BadName, Name};
#[cfg(feature = "objects")]
pub use objects::Objects;
pub use put::{Files, put_by_renaming, put_in_place};
#[cfg(feature = "rsync")]
pub use rsync::Rsync;
#[cfg(feature = "s3")]
pub use s3::S3;
pub use secret::Secret;
#[cfg(feature = "sftp")]
pub use sftp::Sftp;
pub use source::{FileSource, Source, Stored};
#[cfg(feature = "webdav")]
pub use webdav::WebDav;
