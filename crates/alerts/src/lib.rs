//! Tell people. How an alert arose is not this room's business: it gets a finished [`domain::Alert`] and delivers it.

mod error;
mod log;
mod notify;

pub use error::{Error, ErrorKind};
pub use log::Log;
pub use notify::Notify;
