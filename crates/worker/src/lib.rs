//! The flow: intake -> decide -> perform -> record, and then, and only then, acknowledge.
//!
//! Architecture invariant: knows no HTTP and no command line. Which backends stand behind the traits is
//! `app::wire`'s choice; everything here is the same code in embedded mode and in the fleet.

mod admission;
mod decide;
mod inbox;
mod intake;
mod jobs;
mod keys;
mod lease;
mod library;
mod names;
mod points;
mod retry;
mod runner;
mod walk;

pub use inbox::Inbox;
pub use intake::{Intake, Options, Taken};
pub use library::{LIBRARY_STORE, Library, Stores};
pub use points::{Point, Steps};
pub use runner::{Limits, Runner};
pub use walk::{Found, Walk};
