//! What a person says of recordings.

use clap::Args;
use domain::Fields;

use super::Which;

#[derive(Args)]
pub struct Describe {
    #[command(flatten)]
    pub which: Which,
    /// What they are called
    #[arg(long, value_name = "TEXT", value_parser = title)]
    pub title: Option<String>,
    /// Tags to give them
    #[arg(long, value_name = "TAGS", value_delimiter = ',', value_parser = policy::tag)]
    pub tag: Vec<String>,
    /// Tags to take from them
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub untag: Vec<String>,
    /// A field of your own, as in case=A-17; once for each
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    pub field: Vec<(String, String)>,
    /// Fields to take from them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub unset: Vec<String>,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

/// The most that a title has, in characters.
const LONGEST_TITLE: usize = 300;

fn title(text: &str) -> Result<String, String> {
    let right =
        (1..=LONGEST_TITLE).contains(&text.trim().chars().count()) && !text.contains(char::is_control);
    if right {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("a title is one line of 1 to {LONGEST_TITLE} characters"))
    }
}

pub(super) fn field(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("a field is written NAME=VALUE, as in case=A-17".into());
    };
    Fields::default().set(name, value)?;
    Ok((name.to_owned(), value.to_owned()))
}
