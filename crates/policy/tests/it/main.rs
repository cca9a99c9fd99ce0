//! The policy room from outside: what it says of files, and what it decides.

mod decide;
mod default;
mod explain;
mod problems;
mod properties;
mod rate;
mod support;
