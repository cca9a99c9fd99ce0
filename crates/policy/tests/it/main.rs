//! The policy room from outside: what it says of files, and what it decides.

mod archive;
mod custody;
mod decide;
mod default;
mod explain;
mod export;
mod matching;
mod own;
mod problems;
mod properties;
mod rate;
mod room;
mod schema;
mod screen;
mod support;
mod when;
