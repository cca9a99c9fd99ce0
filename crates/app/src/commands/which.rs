//! The recordings that a person names on the command line.

use anyhow::Result;
use catalog::Query;
use domain::RecordingId;

use crate::{
    cli::Which,
    exit::{Code, Coded},
    wire::View,
};

/// Recordings a page.
const PAGE: u32 = 500;
/// From so many characters on, a word may be the beginning of an id.
const SHORTEST_ID: usize = 6;

/// How a batch and the audit log call the selection.
pub fn words(which: &Which) -> String {
    match which.everything {
        true => "everything".to_owned(),
        false => which.which.join(" "),
    }
}

/// Their ids: of the recordings that are named, or of all that a query finds.
pub async fn ids(view: &View, which: &Which) -> Result<Vec<RecordingId>> {
    ids_among(view, which, "").await
}

/// The same, where a query is narrowed: `among` is a part of one.
pub async fn ids_among(view: &View, which: &Which, among: &str) -> Result<Vec<RecordingId>> {
    if let Some(named) = named(view, &which.which).await? {
        return Ok(named);
    }
    let query: Query = format!("{} {among}", which.which.join(" "))
        .parse()
        .map_err(|e| Coded::error(Code::Usage, format!("{e}")))?;
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = view.catalog.search(&query, PAGE, after).await?;
        ids.extend(page.hits.iter().map(|r| r.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if ids.is_empty() {
        return Err(Coded::error(
            Code::NotFound,
            format!(
                "nothing is found by `{}`; `videorec search` tries a query, and an id is named by its first {SHORTEST_ID} \
                 characters or more",
                crate::ui::text::inert(&words(which))
            ),
        ));
    }
    Ok(ids)
}

/// Where each word is the beginning of one recording's id: those recordings.
async fn named(view: &View, words: &[String]) -> Result<Option<Vec<RecordingId>>> {
    let mut named = Vec::new();
    for word in words {
        if word.len() < SHORTEST_ID || !word.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        match view.catalog.resolve(&word.to_lowercase()).await?.as_slice() {
            [id] if named.contains(id) => {}
            [id] => named.push(*id),
            _ => return Ok(None),
        }
    }
    Ok((!named.is_empty()).then_some(named))
}
