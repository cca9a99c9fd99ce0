//! (in progress)
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {}
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError { pub at: usize, pub message: String }
impl Query { pub fn parse(_text: &str) -> Result<Query, SyntaxError> { Ok(Query {}) } }
