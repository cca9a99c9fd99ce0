//! Policies and histories by chance.

use proptest::{collection::vec, option, prelude::*, sample::select};
use storage::{ErrorKind, Fault, Op};
use worker::Point;

use crate::{
    history::{Case, Event, Step},
    law::{Law, Rule, Verb, Whom},
};

pub fn case() -> impl Strategy<Value = Case> {
    (vec(law(), 1..=2), prop::bool::weighted(0.15), vec(step(), 0..28)).prop_map(|(laws, unseen, history)| {
        let first = Step {
            what: Event::Take { many: 3, cam: false, tag: None, aged_d: None, padding: 0 },
            meanwhile: false,
        };
        let history = std::iter::once(first).chain(history).collect();
        Case { laws, seen: !unseen, history }
    })
}

const TAGS: &[&str] = &["court", "marked"];

fn law() -> impl Strategy<Value = Law> {
    let protect = (
        1..=2u32,
        prop_oneof![Just(1), Just(30), Just(72)],
        select(vec![5u64, 50, 100]),
        select(vec![0u64, 1, 2, 3, 20]),
        option::weighted(0.15, 60..300u64),
        select(vec![1u32, 100]),
    );
    // At most one that puts the source elsewhere: rivals are the policy's own tests' business.
    let rules = (
        option::weighted(0.8, backup()),
        option::weighted(0.4, placing()),
        vec(protecting(), 0..3),
        vec(delete(), 0..4),
        option::weighted(0.35, room()),
        option::weighted(0.25, marking()),
    );
    (protect, rules, any::<u64>()).prop_map(|(protect, rules, order)| {
        let (copies, trash_h, percent, floor, most_bytes, verify_percent) = protect;
        let (backup, placing, protecting, delete, room, marking) = rules;
        let mut rules: Vec<Rule> = backup.into_iter().collect();
        rules.extend(placing);
        rules.extend(protecting);
        rules.extend(delete);
        rules.extend(room);
        rules.extend(marking);
        if rules.is_empty() {
            rules.push(Rule { whom: Whom::default(), verb: Verb::Notify });
        }
        let by = usize::try_from(order % 7).unwrap_or(0) % rules.len();
        rules.rotate_left(by);
        Law { copies, trash_h, percent, floor, most_bytes, verify_percent, rules }
    })
}

fn whom() -> impl Strategy<Value = Whom> {
    (option::weighted(0.3, select(TAGS)), prop::bool::weighted(0.2), option::weighted(0.6, 1..40i64))
        .prop_map(|(tag, cams, age_d)| Whom { tag, cams, age_d })
}

fn rule(verb: impl Strategy<Value = Verb>) -> impl Strategy<Value = Rule> {
    (whom(), verb).prop_map(|(whom, verb)| Rule { whom, verb })
}

fn backup() -> impl Strategy<Value = Rule> {
    let whom = prop_oneof![4 => Just(Whom::default()), 1 => whom()];
    (whom, select(vec!["replica", "attic"])).prop_map(|(whom, to)| Rule { whom, verb: Verb::Backup(to) })
}

fn placing() -> impl Strategy<Value = Rule> {
    let to = || select(vec!["replica", "attic"]);
    rule(prop_oneof![
        (to(), 0..6i64).prop_map(|(to, keep_d)| Verb::Move { to, keep_d }),
        to().prop_map(Verb::ArchiveTo),
        any::<bool>().prop_map(|by_lifecycle| Verb::Sink { by_lifecycle }),
    ])
}

fn protecting() -> impl Strategy<Value = Rule> {
    let some = (select(TAGS), option::weighted(0.3, 1..30i64)).prop_map(|(tag, age_d)| Whom {
        tag: Some(tag),
        cams: false,
        age_d,
    });
    let verb = prop_oneof![
        2 => Just(Verb::Hold),
        3 => (1..60i64).prop_map(|days| Verb::Keep(Some(days))),
        1 => Just(Verb::Keep(None)),
    ];
    (prop_oneof![3 => some, 1 => whom()], verb).prop_map(|(whom, verb)| Rule { whom, verb })
}

fn delete() -> impl Strategy<Value = Rule> {
    rule(option::weighted(0.3, 1..60i64).prop_map(|trash_h| Verb::Delete { trash_h }))
}

fn room() -> impl Strategy<Value = Rule> {
    rule(prop_oneof![
        option::weighted(0.3, 1..60i64).prop_map(|trash_h| Verb::DeleteForRoom { trash_h }),
        Just(Verb::EvictForRoom("replica")),
        Just(Verb::ArchiveForRoom("attic")),
    ])
}

fn marking() -> impl Strategy<Value = Rule> {
    rule(prop_oneof![Just(Verb::Tag("marked")), Just(Verb::Notify)])
}

fn step() -> impl Strategy<Value = Step> {
    (event(), prop::bool::weighted(0.25)).prop_map(|(what, meanwhile)| Step { what, meanwhile })
}

fn event() -> impl Strategy<Value = Event> {
    let of = || 0..12usize;
    let at = || 0..3usize;
    let hold = || select(vec!["case 12", "audit"]);
    prop_oneof![
        10 => passing().prop_map(|minutes| Event::Pass { minutes }),
        4 => (1..4usize, any::<bool>(), option::weighted(0.3, select(TAGS)), option::weighted(0.4, 0..50i64), 0..40usize)
            .prop_map(|(many, cam, tag, aged_d, padding)| Event::Take { many, cam, tag, aged_d, padding }),
        2 => (of(), hold()).prop_map(|(of, name)| Event::Hold { of, name }),
        2 => (of(), option::of(hold())).prop_map(|(of, name)| Event::Release { of, name }),
        2 => (of(), select(TAGS), any::<bool>()).prop_map(|(of, tag, is)| Event::Mark { of, tag, is }),
        2 => (of(), 0..12i64).prop_map(|(of, grace_d)| Event::Undelete { of, grace_d }),
        2 => (of(), 1..4usize, option::of(1..60i64))
            .prop_map(|(of, many, trash_h)| Event::Delete { of, many, trash_h }),
        2 => (of(), 1..4usize, at(), 0..6i64)
            .prop_map(|(of, many, to, keep_d)| Event::Move { of, many, to, keep_d }),
        1 => (of(), 1..4usize, at()).prop_map(|(of, many, to)| Event::Backup { of, many, to }),
        1 => (1..30i64).prop_map(|minutes| Event::Back { minutes }),
        2 => Just(Event::See),
        1 => (0..2usize, any::<bool>()).prop_map(|(of, seen)| Event::Law { of, seen }),
        4 => (at(), trouble()).prop_map(|(at, (op, nth, fault))| Event::Trouble { at, op, nth, fault }),
        1 => (of(), at(), any::<bool>()).prop_map(|(of, at, lost)| Event::Damage { of, at, lost }),
        1 => Just(Event::Restart),
        2 => (point(), 1..4u32).prop_map(|(point, nth)| Event::Kill { point, nth }),
        1 => (at(), select(vec![Op::Get, Op::Head, Op::Create, Op::Commit, Op::Delete, Op::List]), 1..4u64)
            .prop_map(|(at, op, nth)| Event::KillIn { at, op, nth }),
        1 => Just(Event::Retry),
    ]
}

fn passing() -> impl Strategy<Value = i64> {
    prop_oneof![2 => 1..60i64, 2 => (1..24i64).prop_map(|h| h * 60), 5 => (1..21i64).prop_map(|d| d * 24 * 60)]
}

fn trouble() -> impl Strategy<Value = (Op, u64, Fault)> {
    let away = Fault::Fail { kind: ErrorKind::Unavailable, temporary: true };
    let denied = Fault::Fail { kind: ErrorKind::Denied, temporary: false };
    let what = prop_oneof![
        4 => (select(vec![Op::Get, Op::Head, Op::Create, Op::Write, Op::Commit, Op::Delete, Op::List]), select(vec![away, away, denied])),
        2 => (Just(Op::Get), (0..30u64).prop_map(|at| Fault::Flip { at })),
        2 => (Just(Op::Create), (0..30u64).prop_map(|at| Fault::Flip { at })),
        1 => (select(vec![Op::Get, Op::Create]), (0..30u64).prop_map(|after| Fault::Cut { after })),
        1 => (Just(Op::Create), Just(Fault::NoSpace { after: 4 })),
        2 => (select(vec![Op::Commit, Op::Delete]), Just(Fault::ReplyLost)),
    ];
    (what, 1..4u64).prop_map(|((op, fault), nth)| (op, nth, fault))
}

fn point() -> impl Strategy<Value = Point> {
    select(vec![
        Point::JobOffered,
        Point::JobReceived,
        Point::JobClaimed,
        Point::JobRecorded,
        Point::JobAcknowledged,
        Point::MoveVerified,
        Point::PurgeBegun,
        Point::PurgeRemoved,
    ])
}
