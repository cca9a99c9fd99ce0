//! The flow: intake -> decide -> perform -> record, and then, and only then, acknowledge.
//!
//! Architecture invariant: knows no HTTP and no command line. Which backends stand behind the traits is
//! `app::wire`'s choice; everything here is the same code in embedded mode and in the fleet.

mod admission;
mod beside;
mod buckets;
pub mod by_hand;
mod decide;
mod drift;
mod drills;
pub mod events;
mod exports;
mod fetched;
mod gate;
mod hearing;
mod inbox;
mod intake;
mod jobs;
mod keep;
mod keys;
mod lease;
mod leftovers;
mod library;
pub mod lifecycle;
mod manifest;
mod measure;
mod names;
mod objects;
pub mod plan;
mod points;
mod relay;
mod retry;
mod rounds;
mod runner;
mod survey;
mod tell;
mod walk;
mod watch;

pub use exports::{Destinations, Manifests, Open, import, preview};
pub use fetched::Fetched;
pub use gate::Protection;
pub use inbox::Inbox;
pub use intake::{Intake, Options, Taken};
pub use keep::visibility;
pub use lease::LEASE;
pub use library::{LIBRARY_STORE, Library, Stores};
pub(crate) use objects::Looked;
pub use objects::Watched;
pub use points::{Point, Steps};
pub use rounds::{SEEN_POLICY, over_the_limit};
pub use runner::{Limits, Runner};
pub use walk::{Found, Walk};
