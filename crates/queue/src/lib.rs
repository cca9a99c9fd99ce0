//! Hand over messages: at least once, in no particular order, each visible to one receiver at a time.
//!
//! Architecture invariant: never knows what a message means. A body is text; whoever receives it must look at the
//! facts again, because a message may come twice, late, or after its cause is gone.
//!
//! A backend joins by passing [`mod@contract`]: two suites for all, of lanes and of dead letters, a line each to join.

mod body;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod dead;
mod embedded;
mod error;
mod queue;
#[cfg(feature = "sqs")]
mod sqs;

pub use dead::{Dead, DeadLetters, MAX_REASON, Which};
pub use embedded::{Config, Embedded};
pub use error::{Error, ErrorKind};
pub use queue::{Depth, Lane, MAX_BODY, MAX_DELAY, MAX_RECEIVE, MAX_VISIBILITY, Message, Queue, Receipt};
#[cfg(feature = "sqs")]
pub use sqs::{Address, Addresses, Sqs};
