//! Tell people: the ways to do so ([`Notify`]), and what is worth telling. How a recording came to fail is not this
//! room's business: it gets a finished [`domain::Alert`], or numbers that it judges ([`capacity`], [`anomaly`],
//! [`silence`], [`copies`], [`transitions`], [`restores`], [`drift`]), decides who hears of it when ([`escalation`], [`digest`]), and delivers it.
//!
//! Architecture invariant: what leaves this room is inert. Alerts carry names of files and words of tools. What judges
//! is pure: functions over values, whose state the caller keeps.
//!
//! A backend joins by passing [`mod@contract`]: one suite for all, one line to join.

mod all;
pub mod anomaly;
pub mod capacity;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod copies;
pub mod digest;
pub mod drift;
#[cfg(feature = "email")]
mod email;
mod error;
pub mod escalation;
mod id;
mod log;
mod notify;
mod once;
mod render;
pub mod restores;
pub mod silence;
#[cfg(feature = "sns")]
mod sns;
mod stats;
mod tally;
#[cfg(any(feature = "email", feature = "webhook"))]
mod tls;
mod told;
pub mod transitions;
#[cfg(feature = "webhook")]
mod webhook;

pub use all::All;
pub use digest::Digest;
#[cfg(feature = "email")]
pub use email::{Email, EmailBuilder, Encryption};
pub use error::{Error, ErrorKind};
pub use log::Log;
pub use notify::Notify;
pub use once::Once;
#[cfg(feature = "sns")]
pub use sns::Sns;
pub use tally::Tally;
#[cfg(feature = "webhook")]
pub use webhook::{Webhook, WebhookBuilder};
