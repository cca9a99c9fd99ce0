use std::time::Duration;

use serde::Serialize;

use crate::{
    check::{Check, Field},
    rules::Known,
    units,
    yaml::Node,
};

/// A rule's demand for room in a store: `watermark: { store: recordings, high: 85%, low: 75% }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Watermark {
    pub rule: String,
    pub store: String,
    /// Bytes of the store's capacity from which room is made.
    pub high: u64,
    /// Bytes down to which room is made.
    pub low: u64,
    /// Bytes from which nothing more is taken in, until room is made.
    pub emergency: Option<u64>,
    /// How long `high` has to be exceeded before anything goes: a peak passes by itself.
    pub patience: Duration,
    /// What goes first.
    pub order: Vec<Order>,
}

/// What goes first; each breaks the ties of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// What was archived.
    Archived,
    /// By recorded time, or acceptance.
    Oldest,
    Largest,
}

pub(crate) const ORDERS: [(&str, Order); 3] =
    [("archived", Order::Archived), ("oldest", Order::Oldest), ("largest", Order::Largest)];

/// Reads a rule's `watermark`.
pub(crate) fn read(
    check: &mut Check<'_>,
    field: &Field<'_>,
    rule: &str,
    known: &Known<'_>,
) -> Option<Watermark> {
    let names = ["emergency", "for", "high", "low", "order", "store"];
    let fields = check.fields(field.value, "`watermark`", &names, &[])?;
    let part = |name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value);
    for name in ["store", "high", "low"] {
        if part(name).is_none() {
            let message = format!(
                "`watermark` has no `{name}`: watermark: {{ store: recordings, high: 85%, low: 75% }}"
            );
            check.problem(field.at, message);
        }
    }
    let store = part("store").and_then(|node| {
        let name = check.text(node, "`store`")?;
        known.holds(check, node, name).then_some((node, name))
    });
    let percent = |check: &mut Check<'_>, name: &str| {
        let node = part(name)?;
        Some((node, check.value(node, &format!("`{name}`"), units::permille)?))
    };
    let (high, low, emergency) = (percent(check, "high"), percent(check, "low"), percent(check, "emergency"));
    let patience = part("for").map(|node| check.value(node, "`for`", units::duration));
    let order = part("order").map_or(Some(vec![Order::Archived, Order::Oldest]), |node| {
        let words = check.values(node, "`order`");
        words.into_iter().map(|(node, word)| check.choice(node.at, word, "order", &ORDERS)).collect()
    });
    let ((high_at, high), (_, low)) = (high?, low?);
    if low >= high {
        upside_down(check, high_at, "high", high, "low", low);
        return None;
    }
    if let Some((at, emergency)) = emergency
        && emergency < high
    {
        upside_down(check, at, "emergency", emergency, "high", high);
        return None;
    }
    let (store_at, store) = store?;
    let Some(capacity) = known.stores.get(store).and_then(|s| s.capacity) else {
        let message = format!(
            "percentages of what? `watermark` needs the store's capacity: stores: {{ {store}: {{ capacity: 40TB }} }}"
        );
        check.problem(store_at.at, message);
        return None;
    };
    let bytes =
        |permille: u32| u64::try_from(u128::from(capacity) * u128::from(permille) / 1000).unwrap_or(u64::MAX);
    Some(Watermark {
        rule: rule.to_owned(),
        store: store.to_owned(),
        high: bytes(high),
        low: bytes(low),
        emergency: emergency.map(|(_, permille)| bytes(permille)),
        patience: Duration::from_millis(patience.unwrap_or(Some(600_000))?),
        order: order?,
    })
}

fn upside_down(check: &mut Check<'_>, at: &Node, upper: &str, is: u32, lower: &str, than: u32) {
    let show = |permille: u32| format!("{}.{}%", permille / 10, permille % 10).replace(".0%", "%");
    let message = format!(
        "upside down: `{upper}` is {} and `{lower}` is {}; `low` is below `high`, and `high` not above `emergency`",
        show(is),
        show(than)
    );
    check.problem(at.at, message);
}
