/// (in progress)
pub struct Sqlite;
