//! The fleet's wiring: the same flow on S3, SQS, SNS and PostgreSQL. Built with the feature `cloud` only, so that a
//! library on one machine compiles no cloud SDK.

pub mod agent;
pub mod engines;
pub mod entrance;
pub mod serve;
pub mod stores;
