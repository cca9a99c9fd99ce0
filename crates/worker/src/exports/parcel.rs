//! What leaves in one export, and under which names. Pure.

use domain::{Companion, Digest, ExportSpec, Facts, Failure, Leaving, Recording, Role};
use transfer::{
    Name,
    names::{Rules, sanitise},
};

use crate::{jobs::good, names};

/// The files of one export. The first one's name is the template's; the others are named after it, as it came to be called.
pub(crate) struct Parcel {
    pub first: Item,
    pub others: Vec<Item>,
}

/// One of our files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub role: Role,
    /// Without its dot.
    pub extension: String,
    pub digest: Digest,
    /// Where its bytes lie, best first.
    pub places: Vec<Place>,
    /// The rendition that it belongs to.
    of: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub store: String,
    pub key: String,
    /// Pinned where a stranger chose the key.
    pub version: Option<String>,
    /// It lies in an archive.
    pub cold: bool,
}

impl Parcel {
    /// Errors: there is nothing of that name (any more).
    pub(crate) fn of(facts: &Facts, export: &ExportSpec, now: domain::Timestamp) -> Result<Self, Failure> {
        let mut items = match &export.what {
            Leaving::Source => vec![source(facts, now)],
            Leaving::Rendition { name, job } => {
                let made = facts.renditions.iter().find(|r| r.name == *name && r.job == *job);
                let made = made.ok_or_else(|| {
                    Failure::permanent(format!(
                        "`{name}` was made anew or is gone since this was asked for; what there is now is exported anew"
                    ))
                })?;
                items(made).collect()
            }
        };
        // What is watched or heard goes first and gives the others their name.
        items.sort_by_key(|item| item.role != Role::Media);
        if export.with.contains(&Companion::Thumbnails) {
            let thumbnails = facts.renditions.iter().filter(|r| r.name != export.what.name());
            let are = |r: &&domain::Rendition| r.files.iter().all(|f| is_thumbnail(f.role));
            items.extend(thumbnails.filter(are).flat_map(self::items));
        }
        let nothing = || Failure::permanent(format!("`{}` has no files; make it anew", export.what.name()));
        let others = items.split_off(items.len().min(1));
        Ok(Self { first: items.pop().ok_or_else(nothing)?, others })
    }

    /// All bytes that are ours; what is written for the export comes on top of it.
    pub(crate) fn bytes(&self) -> u64 {
        self.others.iter().chain([&self.first]).map(|item| item.digest.size).sum()
    }

    /// The name that the first file is to get.
    pub(crate) fn name(&self, of: &Recording, export: &ExportSpec, rules: &Rules) -> Name {
        sanitise(&export.name.render(of, export.what.name(), &self.first.extension), rules)
    }

    /// The others' names, in their order, where the first one has this name by now.
    pub(crate) fn beside(&self, first: &Name, rules: &Rules) -> Vec<Name> {
        let mut taken = vec![first.clone()];
        for item in &self.others {
            let mut name = companion(first, &format!("{}.{}", part(item.role), item.extension), rules);
            if taken.contains(&name) {
                name =
                    companion(first, &format!("{}.{}.{}", item.of, part(item.role), item.extension), rules);
            }
            taken.push(name);
        }
        taken.split_off(1)
    }
}

/// `a/b.mp4`, `poster.jpg`: `a/b.poster.jpg`.
pub(crate) fn companion(first: &Name, ending: &str, rules: &Rules) -> Name {
    let file = first.file();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| if stem.is_empty() { file } else { stem });
    let folder = first.folder().map(|folder| format!("{}/", folder.as_str())).unwrap_or_default();
    let name = sanitise(&format!("{folder}{stem}.{ending}"), rules);
    // A manifest that leaves is JSON itself.
    match name == *first {
        true => sanitise(&format!("{folder}{stem}.metadata.{ending}"), rules),
        false => name,
    }
}

fn source(facts: &Facts, now: domain::Timestamp) -> Item {
    let it = &facts.recording;
    let readable = it.custody.is_readable(now);
    let places = good::copies(it, &facts.copies, "").into_iter().map(|good| Place {
        cold: good.store == it.store && !readable,
        store: good.store.to_owned(),
        key: good.key.to_owned(),
        version: good.version.map(str::to_owned),
    });
    let mut places: Vec<_> = places.collect();
    places.sort_by_key(|place| place.cold);
    Item {
        role: Role::Media,
        extension: names::extension(&it.name).unwrap_or_else(|| "bin".into()),
        digest: it.digest,
        places,
        of: "source".into(),
    }
}

fn items(made: &domain::Rendition) -> impl Iterator<Item = Item> {
    made.files.iter().map(|file| Item {
        role: file.role,
        extension: names::extension(&file.key).unwrap_or_else(|| "bin".into()),
        digest: file.digest,
        places: vec![Place { store: file.store.clone(), key: file.key.clone(), version: None, cold: false }],
        of: made.name.clone(),
    })
}

fn is_thumbnail(role: Role) -> bool {
    matches!(role, Role::Poster | Role::Sprite | Role::Tiles)
}

fn part(role: Role) -> &'static str {
    match role {
        Role::Media => "media",
        Role::Poster => "poster",
        Role::Sprite => "sprite",
        Role::Tiles => "tiles",
        Role::Waveform => "waveform",
        Role::Metadata => "metadata",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::{JobId, RecordingId, Rendition, RenditionFile, Timestamp};

    use super::*;
    use crate::exports::samples;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn made(name: &str, roles: &[(Role, &str)]) -> Rendition {
        let files = roles.iter().map(|(role, extension)| RenditionFile {
            role: *role,
            store: "recordings".into(),
            key: format!("3k/x/{name}.{}.{extension}", part(*role)),
            digest: samples::digest(role.to_owned() as u64 + 10),
        });
        Rendition {
            recording: RecordingId::derive(&[b"x"]),
            name: name.into(),
            job: JobId::derive(&[name.as_bytes()]),
            files: files.collect(),
            facts: None,
            choices: Vec::new(),
            partial: None,
            made_at: NOW,
        }
    }

    fn export(what: Leaving, name: &str, with: &[Companion]) -> ExportSpec {
        ExportSpec {
            to: "partner".into(),
            what,
            name: name.parse().unwrap(),
            with: BTreeSet::from_iter(with.iter().copied()),
            on_conflict: Default::default(),
            verify: Default::default(),
        }
    }

    #[test]
    fn thumbnails_travel_under_the_name_of_what_they_show() {
        let mut facts = samples::facts("call/ana.webm");
        let thumbs = [(Role::Poster, "jpg"), (Role::Sprite, "jpg"), (Role::Tiles, "vtt")];
        facts.renditions =
            vec![made("mp4-720p", &[(Role::Media, "mp4")]), made("a", &thumbs), made("b", &thumbs[..1])];
        let what = Leaving::Rendition { name: "mp4-720p".into(), job: facts.renditions[0].job };
        let export = export(what, "{name}_{rendition}.{ext}", &[Companion::Thumbnails]);
        let parcel = Parcel::of(&facts, &export, NOW).unwrap();
        let rules = Rules::default();
        let name = parcel.name(&facts.recording, &export, &rules);
        assert_eq!(name.as_str(), "ana_mp4-720p.mp4");
        let others: Vec<_> = parcel.beside(&name, &rules).iter().map(ToString::to_string).collect();
        let expected = ["poster.jpg", "sprite.jpg", "tiles.vtt", "b.poster.jpg"];
        assert_eq!(others, expected.map(|e| format!("ana_mp4-720p.{e}")));
        assert_eq!(parcel.bytes(), parcel.others.iter().map(|i| i.digest.size).sum::<u64>() + 10);
    }

    #[test]
    fn the_source_is_read_where_it_is_whole_and_at_hand() {
        let mut facts = samples::facts("a.webm");
        let copy = |store: &str, bad: Option<&str>| domain::Copy {
            recording: facts.recording.id,
            store: store.into(),
            key: "k".into(),
            version: facts.recording.version.clone(),
            digest: facts.recording.digest,
            verified_at: NOW,
            bad: bad.map(str::to_owned),
            until: None,
        };
        facts.copies = vec![copy("nas", Some("rotten")), copy("replica", None)];
        let export = export(Leaving::Source, "{id}.{ext}", &[]);
        let stores = |facts: &Facts| {
            let parcel = Parcel::of(facts, &export, NOW).unwrap();
            parcel.first.places.iter().map(|p| (p.store.clone(), p.cold)).collect::<Vec<_>>()
        };
        assert_eq!(stores(&facts), [("recordings".into(), false), ("replica".into(), false)]);
        facts.recording.custody.place.cold = Some(domain::Cold { since: NOW, restore: None });
        assert_eq!(stores(&facts), [("replica".into(), false), ("recordings".into(), true)]);
        facts.recording.custody.place.bad = Some("rotten".into());
        assert_eq!(stores(&facts), [("replica".into(), false)]);
    }

    #[test]
    fn what_was_made_anew_is_another_export() {
        let mut facts = samples::facts("a.webm");
        facts.renditions = vec![made("mp4-720p", &[(Role::Media, "mp4")])];
        let what = Leaving::Rendition { name: "mp4-720p".into(), job: JobId::derive(&[b"earlier"]) };
        let failure = Parcel::of(&facts, &export(what, "{id}.{ext}", &[]), NOW).err().expect("refused");
        assert!(failure.to_string().contains("made anew"), "{failure}");
    }

    #[test]
    fn a_companion_never_takes_the_name_of_what_it_goes_with() {
        let rules = Rules::default();
        let of =
            |first: &str, ending: &str| companion(&Name::parse(first).unwrap(), ending, &rules).to_string();
        assert_eq!(of("a/b.c.mp4", "json"), "a/b.c.json");
        assert_eq!(of("a/session.json", "json"), "a/session.metadata.json");
        assert_eq!(of("a/plain", "dc.xml"), "a/plain.dc.xml");
        let long = format!("{}.mp4", "x".repeat(251));
        assert_eq!(of(&long, "poster.jpg").len(), 255);
    }
}
