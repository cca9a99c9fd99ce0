//! Tell people. How an alert arose is not this room's business: it gets a finished [`domain::Alert`] and delivers it.
//!
//! Architecture invariant: what leaves this room is inert. Alerts carry names of files and words of tools.
//!
//! A backend joins by passing [`mod@contract`]: one suite for all, one line to join.

mod all;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
mod log;
mod notify;
mod render;
#[cfg(feature = "sns")]
mod sns;

pub use all::All;
pub use error::{Error, ErrorKind};
pub use log::Log;
pub use notify::Notify;
#[cfg(feature = "sns")]
pub use sns::Sns;
