use std::{collections::BTreeSet, time::Duration};

use domain::DeletionLimit;
use serde::Serialize;

use crate::{
    Store,
    check::Check,
    model::LIBRARY,
    units,
    yaml::{At, Node},
};

/// What no rule and no script can break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Protect {
    /// Verified copies, the source's own store among them, that there must be before one is given up.
    pub copies_min: u32,
    /// Regions that they must be in.
    pub regions_min: u32,
    /// How long what is deleted stays in the trash, where its rule says nothing else.
    pub trash: Duration,
    pub deletion: DeletionLimit,
    /// Thousandths of all bytes that are read back and compared each day, oldest verification first.
    pub verify_permille: u32,
    /// Thousandths of the recordings that have a copy elsewhere of which one is restored on trial each month.
    #[serde(skip_serializing_if = "is_none")]
    pub drills_permille: u32,
}

fn is_none(permille: &u32) -> bool {
    *permille == 0
}

impl Protect {
    /// Deletions never happen without a trash: what is shorter than this is noticed by nobody.
    pub const SHORTEST_TRASH: Duration = Duration::from_secs(60 * 60);
}

impl Default for Protect {
    fn default() -> Self {
        Self {
            copies_min: 1,
            regions_min: 1,
            trash: Duration::from_secs(14 * 24 * 60 * 60),
            deletion: DeletionLimit { permille: 50, floor: 20, bytes: None },
            // About once a year.
            verify_permille: 3,
            // What is fetched from another site may cost money: only where it is asked for.
            drills_permille: 0,
        }
    }
}

/// Reads `protect:`.
pub(crate) fn read(check: &mut Check<'_>, node: &Node) -> Protect {
    let mut protect = Protect::default();
    let known = ["copies", "deletion", "drills", "trash", "verify"];
    for field in check.fields(node, "`protect`", &known, &[]).unwrap_or_default() {
        match field.name {
            "copies" => copies(check, field.value, &mut protect),
            "deletion" => deletion(check, field.value, &mut protect.deletion),
            "drills" => {
                if let Some(permille) = check.value(field.value, "`drills`", units::permille) {
                    protect.drills_permille = permille;
                }
            }
            "trash" => {
                if let Some(trash) = check.value(field.value, "`trash`", trash) {
                    protect.trash = trash;
                }
            }
            _ => {
                if let Some(permille) = check.value(field.value, "`verify`", units::permille) {
                    protect.verify_permille = permille;
                }
            }
        }
    }
    protect
}

/// How long something stays in the trash.
pub(crate) fn trash(text: &str) -> Result<Duration, String> {
    let trash = Duration::from_millis(units::duration(text)?);
    if trash < Protect::SHORTEST_TRASH {
        return Err(format!("`{text}` is too short; deletions never happen without a trash: at least 1h"));
    }
    Ok(trash)
}

fn copies(check: &mut Check<'_>, node: &Node, protect: &mut Protect) {
    let (mut min, mut regions) = (None, None);
    for field in check.fields(node, "`copies`", &["min", "regions"], &[]).unwrap_or_default() {
        let what = format!("`{}`", field.name);
        let value = check.value(field.value, &what, |text| match units::count(text)? {
            n @ 1..=16 => Ok((n as u32, field.value.at)),
            n => Err(format!("{n} is not between 1 and 16")),
        });
        *(if field.name == "min" { &mut min } else { &mut regions }) = value;
    }
    protect.copies_min = min.map_or(1, |(n, _)| n);
    if let Some((n, at)) = regions {
        protect.regions_min = n;
        if n > protect.copies_min {
            let message =
                format!("{n} regions need at least {n} copies: `copies: {{ min: {n}, regions: {n} }}`");
            check.problem(at, message);
        }
    }
}

fn deletion(check: &mut Check<'_>, node: &Node, limit: &mut DeletionLimit) {
    let known = ["floor", "max_bytes", "max_percent"];
    for field in check.fields(node, "`deletion`", &known, &[]).unwrap_or_default() {
        let what = format!("`{}`", field.name);
        match field.name {
            "floor" => {
                if let Some(floor) = check.value(field.value, &what, units::count) {
                    limit.floor = floor;
                }
            }
            "max_bytes" => limit.bytes = check.value(field.value, &what, units::size).or(limit.bytes),
            _ => {
                if let Some(permille) = check.value(field.value, &what, units::permille) {
                    limit.permille = permille;
                }
            }
        }
    }
}

/// A minimum that no recording can reach: safe, and surely not meant.
pub(crate) fn warn_of_the_unreachable<'a>(
    check: &mut Check<'_>,
    at: At,
    protect: &Protect,
    stores: impl Iterator<Item = &'a Store> + Clone,
) {
    let stores = stores.filter(|store| store.holds());
    let names: BTreeSet<&str> = stores.clone().map(|s| s.name.as_str()).chain([LIBRARY]).collect();
    let known = |name: &&str| stores.clone().find(|s| s.name == **name).and_then(|s| s.region.as_deref());
    let regions: BTreeSet<&str> = names.iter().map(|name| known(name).unwrap_or(name)).collect();
    let short = |min: u32, there: usize| usize::try_from(min).is_ok_and(|min| min > there);
    if short(protect.copies_min, names.len()) {
        let message = format!(
            "`protect` wants {} copies and there are {} stores, `{LIBRARY}` among them: nothing will ever be deleted, \
             evicted or archived",
            protect.copies_min,
            names.len()
        );
        check.warning(at, message);
    } else if short(protect.regions_min, regions.len()) {
        let message = format!(
            "`protect` wants copies in {} regions and the stores are in {}: nothing will ever be deleted, evicted or \
             archived; say where stores are by `region`, that of the library by `{LIBRARY}: {{ region: ... }}`",
            protect.regions_min,
            regions.len()
        );
        check.warning(at, message);
    }
}
