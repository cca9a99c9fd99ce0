//! Where bytes live: one trait, its backends, and the verified copy.
//!
//! Architecture invariant: knows neither jobs nor policy. A store holds bytes under keys; what the bytes are
//! for, how long they stay and who may have them is decided elsewhere.
//!
//! A backend joins by passing [`mod@contract`]: one suite for all, one line to join.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod disk;
mod error;
mod faulty;
mod heap;
mod key;
mod landing;
mod lifecycle;
mod memory;
mod off_thread;
mod pace;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(test)]
mod small_disk;
mod store;
mod stream;
mod tier;
mod verified;
mod write_at;

pub use disk::Disk;
pub use error::{Error, ErrorKind};
pub use faulty::{Fault, Faulty, Op};
pub use heap::keep_buffers;
pub use key::{BadKey, Key};
pub use landing::Landing;
pub use lifecycle::LifecycleRule;
pub use memory::Memory;
pub use pace::{Pace, Unbounded};
#[cfg(feature = "s3")]
pub use s3::S3;
pub use store::{
    Body, CHUNK, HeadLast, Health, LEAST_HEAD, MAX_TAGS, Meta, Origin, Put, Store, Tags, Upload,
};
pub use stream::{put_bytes, put_stream, read_all};
pub use tier::{Access, Speed, Tier};
pub use verified::{Verified, digest_of, verified_copy, verified_copy_to_one_of};
pub use write_at::{WriteAt, write_in_order};
