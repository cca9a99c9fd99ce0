use std::collections::BTreeMap;

use domain::{Action, Way};

use crate::{
    Wanted, Wish,
    check::{Check, Field},
    condition::{Condition, Test, Want},
    model::{Ask, LIFECYCLE_LEAST, Rule},
    units::Range,
    yaml::At,
};

/// What one rule says against itself.
pub(crate) fn within(check: &mut Check<'_>, fields: &[Field<'_>], rule: &Rule) {
    let field = |name: &str| fields.iter().find(|f| f.name == name);
    let both = |one: &str, other: &str| field(one).and(field(other));
    for (one, other, instead) in [
        ("hold", "delete", "what is held never goes; match on something else in one of two rules"),
        ("hold", "evict", "what is held never goes; match on something else in one of two rules"),
        ("hold", "move", "what is held stays where it is; match on something else in one of two rules"),
        (
            "archive",
            "delete",
            "which of both? Write two rules, such as `age: \">=30d\"` and `age: \">=365d\"`",
        ),
        ("archive", "move", "which of both? Write two rules with matches that exclude one another"),
        ("evict", "delete", "which of both makes room? Write two rules"),
        ("evict", "archive", "which of both makes room? Write two rules"),
    ] {
        if let Some(second) = both(one, other) {
            check.problem(
                second.at,
                format!("`{one}` and `{other}` in one rule contradict one another: {instead}"),
            );
        }
    }
    for (other, why) in [
        ("hold", "a hold with gaps is none"),
        ("keep", "what is kept is kept at every hour"),
        ("watermark", "room is made when it is needed"),
    ] {
        if let Some(schedule) = both(other, "schedule") {
            check.problem(schedule.at, format!("`schedule` does not go with `{other}`: {why}"));
        }
    }
    everything(check, fields, rule);
    room(check, fields, rule);
    let reads = |ask: &Ask| match ask {
        Ask::Action(action) => {
            matches!(
                action,
                Action::Convert { .. } | Action::Backup { .. } | Action::Archive { .. } | Action::Export(_)
            )
        }
        Ask::Mix { .. } | Ask::Move { .. } => true,
        Ask::Export(wish) => !matches!(wish.rendition, Wanted::Rendition(_)),
        _ => false,
    };
    if let Some(cold) = field("cold")
        && !rule.asks.iter().any(reads)
    {
        let message = "`cold` says what becomes of a verb that reads an archived source: convert, mix, backup, \
                       archive, move, export of the source; this rule has none";
        check.problem(cold.at, message);
    }
    if let Some(archive) = field("archive") {
        too_small(check, archive, rule);
    }
    unseen_access(check, fields, rule);
    if let Some(tag) = field("tag") {
        undoing(check, tag, rule);
    }
}

fn is_by_lifecycle(ask: &Ask) -> bool {
    matches!(ask, Ask::Action(Action::Archive { by: Way::Lifecycle, .. }))
}

/// What a lifecycle rule does not touch.
fn too_small(check: &mut Check<'_>, archive: &Field<'_>, rule: &Rule) {
    let is_large =
        |c: &Condition| matches!(&c.test, Test::Size(Range { min, .. }) if *min >= LIFECYCLE_LEAST);
    if rule.asks.iter().any(is_by_lifecycle) && !rule.conditions.iter().any(is_large) {
        let message = "lifecycle rules leave objects under 128 KiB alone, and so does this rule; `size: \">=128KiB\"` in its \
                       `match` says it";
        check.warning(archive.at, message);
    }
}

/// A rule that deletes everything says so twice.
fn everything(check: &mut Check<'_>, fields: &[Field<'_>], rule: &Rule) {
    let field = |name: &str| fields.iter().find(|f| f.name == name);
    let said = field("unsafe_all").map(|f| {
        let words = [("true", true), ("false", false)];
        let word = check.text(f.value, "`unsafe_all`")?;
        check.choice(f.value.at, word, "`unsafe_all`", &words)
    });
    let all = rule.conditions.iter().all(Condition::holds_always);
    match (field("delete"), field("unsafe_all"), all) {
        (Some(delete), _, true) if said != Some(Some(true)) => {
            let message = "this rule deletes everything there is and will be; a narrower `match`, such as `age`, or \
                           `unsafe_all: true` if that is what is meant";
            check.problem(delete.at, message);
        }
        (None, Some(said), _) => {
            check.problem(said.at, "`unsafe_all` belongs to a `delete`; this rule has none");
        }
        _ => {}
    }
}

/// A watermark belongs to the one verb that makes room, and `evict` to a watermark.
fn room(check: &mut Check<'_>, fields: &[Field<'_>], rule: &Rule) {
    let field = |name: &str| fields.iter().find(|f| f.name == name);
    let Some(watermark) = field("watermark") else {
        if let Some(evict) = field("evict") {
            let message =
                "`evict` gives up a copy to make room: it needs a `watermark` in its rule that says when";
            check.problem(evict.at, message);
        }
        return;
    };
    let makes_room = |ask: &Ask| match ask {
        Ask::Delete { .. } | Ask::Evict { .. } | Ask::Action(Action::Archive { .. }) => true,
        Ask::Move { archive, .. } => *archive,
        _ => false,
    };
    if !matches!(rule.asks.as_slice(), [ask] if makes_room(ask)) {
        let message = "a rule with a `watermark` has one verb that makes room: delete, evict or archive; other verbs \
                       need a rule of their own";
        check.problem(watermark.at, message);
        return;
    }
    if rule.asks.iter().any(is_by_lifecycle) {
        let message = "a bucket's lifecycle rules take days to make room, and no less is paid until then; leave \
                       `by: lifecycle` out";
        check.problem(watermark.at, message);
    }
    let Some(store) = rule.watermark.as_ref().map(|w| w.store.as_str()) else { return };
    match &rule.asks[0] {
        Ask::Evict { store: from } if from != store => {
            let message = format!("giving up copies in `{from}` makes no room in `{store}`");
            check.problem(watermark.at, message);
        }
        Ask::Move { to, .. } if to == store => {
            let message = format!("archiving into `{to}` makes no room in `{store}`");
            check.problem(watermark.at, message);
        }
        _ => {}
    }
}

/// Who looks at what is not seen by us, if it is not sent by us.
fn unseen_access(check: &mut Check<'_>, fields: &[Field<'_>], rule: &Rule) {
    let looks = rule.conditions.iter().any(|condition| matches!(condition.test, Test::LastSeen(_)));
    let Some(delete) = fields.iter().find(|field| field.name == "delete").filter(|_| looks) else { return };
    check.warning(
        delete.at,
        "`last_access` is when videorec exported or restored it last, and what it never did is not deleted by it: who reads the \
         store by other ways is not known, and does not keep it from being deleted",
    );
}

/// A rule whose tag makes it no longer match: it acts once and looks as if it had not.
fn undoing(check: &mut Check<'_>, field: &Field<'_>, rule: &Rule) {
    for ask in &rule.asks {
        let Ask::Action(Action::Tag { add }) = ask else { continue };
        for condition in &rule.conditions {
            if let Test::Tags { none, .. } = &condition.test
                && let Some(tag) = add.intersection(none).next()
            {
                let message = format!(
                    "the rule adds the tag `{tag}` and does not match what has it: it ends its own match, and its other \
                     verbs with it"
                );
                check.warning(field.at, message);
            }
        }
    }
}

/// What rules say against one another. `places` are those of their names.
pub(crate) fn between(check: &mut Check<'_>, rules: &[Rule], places: &BTreeMap<&str, At>) {
    mixes(check, rules, places);
    targets(check, rules, places);
    exports(check, rules, places);
    among_copies(check, rules, places);
}

/// An export of what no rule makes waits for a person.
fn exports(check: &mut Check<'_>, rules: &[Rule], places: &BTreeMap<&str, At>) {
    let makes = |rule: &Rule, name: &str| {
        rule.asks.iter().any(|ask| match ask {
            Ask::Action(Action::Convert { preset }) | Ask::Mix { preset, .. } => preset.name == name,
            _ => false,
        })
    };
    for rule in rules {
        for ask in &rule.asks {
            let Ask::Export(Wish { rendition: Wanted::Rendition(name), .. }) = ask else { continue };
            let mut makers = rules.iter().filter(|other| makes(other, name)).peekable();
            let message = if makers.peek().is_none() {
                format!(
                    "rule `{}` exports `{name}`, which no rule makes: it waits until somebody has it made by hand. \
                     `convert: {name}` makes it",
                    rule.name
                )
            } else if makers.all(|maker| exclude(rule, maker)) {
                format!(
                    "rule `{}` exports `{name}`, and the rules that make it match other recordings: it waits until somebody \
                     has it made by hand",
                    rule.name
                )
            } else {
                continue;
            };
            check.warning(places[rule.name.as_str()], message);
        }
    }
}

/// Files of people's naming among those that we keep, which one that is named like them would replace.
fn among_copies(check: &mut Check<'_>, rules: &[Rule], places: &BTreeMap<&str, At>) {
    let keeps = |store: &str| {
        rules.iter().find(|rule| {
            rule.asks.iter().any(|ask| match ask {
                Ask::Action(Action::Backup { store: kept }) | Ask::Move { to: kept, .. } => kept == store,
                _ => false,
            })
        })
    };
    for rule in rules {
        let to = rule.asks.iter().flat_map(Ask::destinations);
        for (store, keeper) in to.filter_map(|store| Some((store, keeps(store)?))) {
            let message = format!(
                "rule `{}` exports to `{store}`, where rule `{}` keeps sources: give exports a store of their own, in another folder",
                rule.name, keeper.name
            );
            check.warning(places[rule.name.as_str()], message);
        }
    }
}

/// Two places for one recording cannot both be had.
fn targets(check: &mut Check<'_>, rules: &[Rule], places: &BTreeMap<&str, At>) {
    let all: Vec<(&Rule, &Ask)> = rules
        .iter()
        .filter(|rule| rule.watermark.is_none())
        .flat_map(|rule| rule.asks.iter().map(move |ask| (rule, ask)))
        .filter(|(_, ask)| target(ask).is_some())
        .collect();
    for (i, (rule, ask)) in all.iter().enumerate() {
        for (other, rival) in &all[i + 1..] {
            if !are_rivals(ask, rival) || exclude(rule, other) {
                continue;
            }
            let at = places[other.name.as_str()];
            let (one, two) = (ask.label(), rival.label());
            if match_the_same(rule, other) {
                let message = format!(
                    "rules `{}` and `{}` match the same and want it in two places: `{one}` and `{two}`; keep one of them",
                    rule.name, other.name
                );
                check.problem(at, message);
            } else {
                let message = format!(
                    "rules `{}` and `{}` want `{one}` and `{two}`; where both match, `{}` wins as the first by name. \
                     Give them matches that exclude one another",
                    rule.name, other.name, rule.name
                );
                check.warning(at, message);
            }
        }
    }
}

/// Whether two verbs want one recording in two places.
pub(crate) fn are_rivals(one: &Ask, other: &Ask) -> bool {
    let Some(((one_place, one_archives), (other_place, other_archives))) = target(one).zip(target(other))
    else {
        return false;
    };
    // A class within a store goes with a move to it.
    let comparable = match (one, other) {
        (Ask::Move { .. }, Ask::Move { .. }) => true,
        _ => one_archives && other_archives,
    };
    comparable && one_place != other_place
}

/// The place that a verb wants the source in, and whether it archives.
fn target(ask: &Ask) -> Option<(&str, bool)> {
    match ask {
        Ask::Action(Action::Archive { class, .. }) => Some((class, true)),
        Ask::Move { to, archive, .. } => Some((to, *archive)),
        _ => None,
    }
}

fn match_the_same(one: &Rule, other: &Rule) -> bool {
    let when = |rule: &'_ Rule| rule.when.as_ref().map(|w| w.written.clone());
    one.conditions.iter().map(|c| &c.test).eq(other.conditions.iter().map(|c| &c.test))
        && when(one) == when(other)
}

/// Whether no recording can match both, as far as it can be seen.
fn exclude(one: &Rule, other: &Rule) -> bool {
    one.conditions.iter().any(|a| other.conditions.iter().any(|b| disjoint(&a.test, &b.test)))
}

fn disjoint(one: &Test, other: &Test) -> bool {
    use Test::{
        AcceptedAgo, Age, Copies, Duration, Found, Height, Kind, LastAccess, LastSeen, Own, Size, Tags,
    };
    // `30d..180d` and `>=180d` meet in one millisecond, which nobody means by it.
    let apart = |a: &Range, b: &Range| a.max <= b.min || b.max <= a.min;
    match (one, other) {
        (Age(a), Age(b))
        | (AcceptedAgo(a), AcceptedAgo(b))
        | (LastAccess(a), LastAccess(b))
        | (LastSeen(a), LastSeen(b))
        | (Duration(a), Duration(b))
        | (Size(a), Size(b)) => apart(a, b),
        (Height(a), Height(b)) | (Copies(a), Copies(b)) => a.max < b.min || b.max < a.min,
        (Kind(a), Kind(b)) => a.is_disjoint(b),
        (Found(a), Found(b)) => a.is_disjoint(b),
        (Own { name: a, want }, Own { name: b, want: other }) if a == b => {
            opposed(want, other) || opposed(other, want)
        }
        (Tags { has: a, none: x, .. }, Tags { has: b, none: y, .. }) => {
            !a.is_disjoint(y) || !b.is_disjoint(x)
        }
        _ => false,
    }
}

fn opposed(one: &Want, other: &Want) -> bool {
    match (one, other) {
        (Want::Is(a), Want::Is(b)) => a.is_disjoint(b),
        (Want::Is(a), Want::Not(b)) => a.is_subset(b),
        (Want::Set(true) | Want::Is(_) | Want::Number(_) | Want::Date(_), Want::Set(false)) => true,
        (Want::Number(a), Want::Number(b)) => a.max < b.min || b.max < a.min,
        _ => false,
    }
}

/// Two mixes of one session into one rendition cannot both be had. Whether two rules ever meet on a session
/// cannot be told from here, so this is a warning and the alphabetically first rule wins where they do meet.
fn mixes(check: &mut Check<'_>, rules: &[Rule], places: &BTreeMap<&str, At>) {
    let mixes: Vec<(&Rule, &Ask)> = rules
        .iter()
        .flat_map(|rule| rule.asks.iter().map(move |ask| (rule, ask)))
        .filter(|(_, ask)| matches!(ask, Ask::Mix { .. }))
        .collect();
    for (i, (rule, ask)) in mixes.iter().enumerate() {
        for (other, rival) in &mixes[i + 1..] {
            if let (Ask::Mix { preset, .. }, Ask::Mix { preset: other_preset, .. }) = (ask, rival)
                && preset == other_preset
                && ask != rival
            {
                let at = At { column: 1, ..places[other.name.as_str()] };
                let message = format!(
                    "rules `{}` and `{}` mix into `{}` in different ways; where both match a session, `{}` wins as \
                     the first by name. Give one of them another preset, or matches that exclude one another",
                    rule.name, other.name, preset.name, rule.name
                );
                check.warning(at, message);
            }
        }
    }
}
