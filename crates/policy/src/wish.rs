use std::collections::BTreeSet;

use domain::{
    Companion, Conflict, ExportSpec, Facts, Leaving, MediaFacts, NameTemplate, Rendition, RenditionFile,
    Role, Verify,
};
use serde::Serialize;

use crate::{check::name_is_plain, glob::Glob, matching::height, problem::clip, units};

/// What is to leave, where to and how, as a rule's `export` or a person asks for it. [`export`](crate::export) makes of it what
/// is done for one recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Wish {
    /// The routes: stores by name. The first that can be used is taken.
    pub to: Vec<String>,
    pub rendition: Wanted,
    /// Absent: [`NameTemplate::default`].
    pub name: Option<NameTemplate>,
    pub with: BTreeSet<Companion>,
    pub on_conflict: Conflict,
    pub verify: Verify,
}

/// Which of a recording's files is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// What was accepted.
    #[default]
    Source,
    /// By its preset's name.
    Rendition(String),
    Smallest(Smallest),
}

/// Of the source and its renditions the one with the fewest bytes that is good enough.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Smallest {
    types: BTreeSet<Glob>,
    /// Pixels as displayed.
    min_height: Option<u32>,
}

impl Wish {
    /// The source to one store, as everything is where nothing is said.
    pub fn new(to: impl Into<String>) -> Self {
        Self { to: vec![to.into()], ..Self::default() }
    }

    /// Reads what is wanted: `source`, a preset's name (`mp4-720p`), or a media type for the smallest file that is of it
    /// (`video/*`; `video/mp4,video/webm`), where wanted with its least height in pixels (`video/*:480`). Whether there is such a
    /// preset is not looked at.
    ///
    /// Errors: a clause that says what to write instead.
    pub fn rendition(text: &str) -> Result<Wanted, String> {
        let text = text.trim();
        if text.contains('/') {
            let (types, height) = text.rsplit_once(':').map_or((text, None), |(types, h)| (types, Some(h)));
            let height = height.map(|h| pixels(h.strip_suffix('p').unwrap_or(h))).transpose()?;
            let types =
                types.split(',').map(|of| Glob::media_type(of.trim())).collect::<Result<Vec<_>, _>>()?;
            return Ok(Wanted::Smallest(Smallest::new(types, height)));
        }
        match text {
            "source" => Ok(Wanted::Source),
            name if name_is_plain(name) => Ok(Wanted::Rendition(name.to_owned())),
            other => Err(format!(
                "`{}` names no rendition: `source`, a preset such as mp4-720p, or the smallest of a media type and a height, \
                 such as video/*:480",
                clip(other)
            )),
        }
    }

    /// What is done for one recording.
    pub(crate) fn spec(&self, to: &str, what: Leaving) -> ExportSpec {
        ExportSpec {
            to: to.to_owned(),
            what,
            name: self.name.clone().unwrap_or_default(),
            with: self.with.clone(),
            on_conflict: self.on_conflict,
            verify: self.verify,
        }
    }

    /// `export mp4-720p to nas or partner`
    pub(crate) fn label(&self) -> String {
        format!("export {} to {}", self.rendition.label(), self.to.join(" or "))
    }
}

impl Wanted {
    /// As [`Wish::rendition`] reads it.
    pub fn label(&self) -> String {
        match self {
            Self::Source => "source".into(),
            Self::Rendition(name) => name.clone(),
            Self::Smallest(smallest) => smallest.label(),
        }
    }
}

impl Smallest {
    pub(crate) fn new(types: impl IntoIterator<Item = Glob>, min_height: Option<u32>) -> Self {
        Self { types: types.into_iter().collect(), min_height }
    }

    /// Those that are good enough, the smallest first. `facts` alone decide, and not the order in which things came to be.
    pub(crate) fn of(&self, facts: &Facts) -> Vec<Choice> {
        let source = facts.recording.media().filter(|media| self.is_satisfied_by(media));
        let source = source.map(|_| Choice { bytes: facts.recording.digest.size, what: Leaving::Source });
        // Pictures of it are no media, whatever they are probed as.
        let plays = |r: &&Rendition| r.files.iter().any(|file| file.role == Role::Media);
        let good = |r: &&Rendition| r.facts.as_ref().is_some_and(|media| self.is_satisfied_by(media));
        let made = facts.renditions.iter().filter(plays).filter(good);
        let mut choices: Vec<Choice> = source
            .into_iter()
            .chain(made.map(|r| Choice {
                bytes: size(&r.files),
                what: Leaving::Rendition { name: r.name.clone(), job: r.job },
            }))
            .collect();
        choices.sort();
        choices.dedup();
        choices
    }

    fn is_satisfied_by(&self, media: &MediaFacts) -> bool {
        self.is_of_type(&media.media_type)
            && self.min_height.is_none_or(|min| height(media).is_some_and(|height| min <= height))
    }

    pub(crate) fn is_of_type(&self, media_type: &str) -> bool {
        self.types.iter().any(|glob| glob.matches(media_type))
    }

    /// Pixels as displayed.
    pub(crate) fn min_height(&self) -> Option<u32> {
        self.min_height
    }

    fn label(&self) -> String {
        let types: Vec<&str> = self.types.iter().map(Glob::as_str).collect();
        let height = self.min_height.map(|pixels| format!(":{pixels}")).unwrap_or_default();
        format!("{}{height}", types.join(","))
    }

    /// As a clause says it: `video/*, at least 480 pixels high`.
    pub(crate) fn described(&self) -> String {
        let types: Vec<&str> = self.types.iter().map(Glob::as_str).collect();
        let height =
            self.min_height.map(|pixels| format!(", at least {pixels} pixels high")).unwrap_or_default();
        format!("{}{height}", types.join(" or "))
    }
}

/// A file that is good enough.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Choice {
    pub(crate) bytes: u64,
    pub(crate) what: Leaving,
}

fn size(files: &[RenditionFile]) -> u64 {
    files.iter().fold(0, |sum, file| sum.saturating_add(file.digest.size))
}

/// A least height.
pub(crate) fn pixels(text: &str) -> Result<u32, String> {
    match units::count(text)? {
        n @ 1..=4320 => Ok(n as u32),
        n => Err(format!("{n} is no height in pixels, which is between 1 and 4320")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_reads_as_it_is_written() {
        for text in ["source", "mp4-720p", "video/*", "video/mp4:480", "audio/*,video/*:1"] {
            assert_eq!(Wish::rendition(text).unwrap().label(), text);
        }
        assert_eq!(Wish::rendition(" Video/*:480p ").unwrap().label(), "video/*:480");
        assert_eq!(Wish::rendition("source").unwrap(), Wanted::default());
    }

    #[test]
    fn what_is_wrong_says_what_is_right() {
        for (text, says) in [
            ("", "a preset such as mp4-720p"),
            ("Loud Name", "such as video/*:480"),
            ("video/*:tall", "is not a whole number"),
            ("video/*:0", "between 1 and 4320"),
            ("video/*:", "is not a whole number"),
            ("video/{a}", "is not part of a pattern"),
            ("video/*,audio", "write it as `audio/*`"),
        ] {
            let message = Wish::rendition(text).expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
