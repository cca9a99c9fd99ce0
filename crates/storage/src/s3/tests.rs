//! Against the emulator `ministack`; what breaks on the way breaks in a [`testbed::Proxy`] between us, or in [`tap`] inside
//! our HTTP client. What the emulator is known to get wrong, no test relies on; see [`tap`] for the rest.

mod contract;
mod copying;
mod deleting;
mod downloading;
mod failing;
mod kit;
mod listing;
mod reading;
mod resuming;
mod tap;
mod tiers;
mod writing;
