use std::{collections::BTreeSet, time::Duration};

use domain::{JobState, Lane, State};

use super::{Fixture, kit::*};
use crate::{Settle, Settled};

pub async fn a_decision_on_former_facts_is_refused(f: &Fixture) {
    let it = accept(&*f.catalog, &recording("a.mp4")).await;
    let other = accept(&*f.catalog, &recording("b.mp4")).await;
    let item = |of: &domain::Recording, revision| Settle {
        id: of.id,
        revision,
        decision: processing(vec![probe_of(of)]),
        alert: None,
    };
    let batch = [item(&it, it.revision - 1), item(&other, other.revision), item(&it, it.revision + 1)];
    let settled = f.catalog.settle(&batch, "p", T0).await.unwrap();
    assert_eq!(settled[0], Settled::Stale);
    assert_eq!(settled[1], Settled::Applied { jobs: vec![(probe_of(&other).id, Lane::Bulk)] });
    assert_eq!(settled[2], Settled::Stale);
    assert_eq!(get(&*f.catalog, it.id).await, it, "nothing of it was taken over");
    assert_eq!(f.catalog.job(probe_of(&it).id).await.unwrap(), None);
    assert_eq!(
        dirty(&*f.catalog, T0).await,
        BTreeSet::from([it.id]),
        "the refused one is still to be decided"
    );

    let unknown =
        Settle { id: recording("nobody").id, revision: 1, decision: processing(vec![]), alert: None };
    assert_eq!(f.catalog.settle(&[unknown], "p", T0).await.unwrap(), [Settled::Stale]);
    // Deciding the same again, on the facts as they are now, changes nothing.
    let now = get(&*f.catalog, other.id).await;
    let again = f.catalog.settle(&[item(&now, now.revision)], "p", T0).await.unwrap();
    assert_eq!(again, [Settled::Applied { jobs: vec![] }]);
    assert_eq!(get(&*f.catalog, other.id).await, now);
}

pub async fn jobs_are_asked_for_once_cancelled_and_revived(f: &Fixture) {
    let it = accept(&*f.catalog, &recording("a.mp4")).await;
    let (probe, backup) = (probe_of(&it), backup_of(&it, "replica"));
    let c = &*f.catalog;
    let both = settle(c, it.id, processing(vec![probe.clone(), backup.clone()]), T0).await;
    assert_eq!(both, Settled::Applied { jobs: vec![(probe.id, Lane::Bulk), (backup.id, Lane::Bulk)] });
    let asked = job(c, probe.id).await;
    assert_eq!(
        (asked.spec, asked.state, asked.attempts, asked.created_at),
        (probe.clone(), JobState::Pending, 0, T0)
    );

    let held = claim(c, &probe, "w", T0).await;
    settle(c, it.id, decided(State::Ready, vec![]), T0).await;
    assert_eq!(job(c, backup.id).await.state, JobState::Cancelled);
    assert_eq!(job(c, probe.id).await.state, JobState::Running, "who works on it is not disturbed");
    assert_eq!(c.claim(backup.id, "w", T0, TTL).await.unwrap(), None);

    let again = settle(c, it.id, processing(vec![probe.clone(), backup.clone()]), later(5)).await;
    assert_eq!(again, Settled::Applied { jobs: vec![(backup.id, Lane::Bulk)] });
    assert_eq!(job(c, backup.id).await.state, JobState::Pending);
    c.record(&held, &probed("x"), T0).await.unwrap();
    let done = settle(c, it.id, processing(vec![probe.clone(), backup.clone()]), later(6)).await;
    assert_eq!(done, Settled::Applied { jobs: vec![] });
    assert_eq!(job(c, probe.id).await.state, JobState::Done, "done stays done");
    let state = get(c, it.id).await;
    assert_eq!((state.state, state.reason.as_str()), (State::Processing, "so decided"));
}

/// Promise 3: every accepted recording reaches one terminal state in bounded time, also when its event never
/// came. Here: the sweep finds what is dirty or due without being told.
pub async fn what_no_event_told_of_is_found(f: &Fixture) {
    let c = &*f.catalog;
    let new = accept(c, &recording("new.mp4")).await;
    let waits = accept(c, &recording("waits.mp4")).await;
    let rests = accept(c, &recording("rests.mp4")).await;
    let mut until = decided(State::Ready, vec![]);
    until.due_at = Some(later(100));
    settle(c, waits.id, until, T0).await;
    settle(c, rests.id, decided(State::Ready, vec![]), T0).await;
    assert_eq!(dirty(c, later(99)).await, BTreeSet::from([new.id]));
    assert_eq!(dirty(c, later(100)).await, BTreeSet::from([new.id, waits.id]));
    // Nothing is taken off the list by being looked at.
    assert_eq!(dirty(c, later(100)).await, BTreeSet::from([new.id, waits.id]));
    // What becomes dirty while it waits is found at once.
    let mut other = recording("waits.mp4");
    other.version = "v2".into();
    c.accept(&[other], later(1)).await.unwrap();
    assert!(dirty(c, later(1)).await.contains(&waits.id));
}

pub async fn what_is_to_decide_is_paged(f: &Fixture) {
    let c = &*f.catalog;
    let batch: Vec<_> = (0..120).map(|n| recording(&n.to_string())).collect();
    c.accept(&batch, T0).await.unwrap();
    for it in &batch[..40] {
        let mut until = decided(State::Ready, vec![]);
        until.due_at = Some(later(100));
        settle(c, it.id, until, T0).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = c.to_decide(later(100), after, 7).await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(*last);
        seen.extend(page);
    }
    assert!(seen.is_sorted(), "a page never repeats what another had");
    assert_eq!(seen.len(), 120);
    assert_eq!(dirty(c, T0 + Duration::from_secs(99)).await.len(), 80);
}

pub async fn a_new_policy_concerns_everything(f: &Fixture) {
    let c = &*f.catalog;
    assert!(c.policy_in_force("one", T0).await.unwrap());
    let it = accept(c, &recording("a.mp4")).await;
    let decision = decided(State::Ready, vec![]);
    let settled =
        c.settle(&[Settle { id: it.id, revision: 1, decision, alert: None }], "one", T0).await.unwrap();
    assert_eq!(settled, [Settled::Applied { jobs: vec![] }]);
    assert!(!c.policy_in_force("one", T0).await.unwrap());
    assert!(dirty(c, T0).await.is_empty());
    assert!(c.policy_in_force("two", T0).await.unwrap());
    assert_eq!(dirty(c, T0).await, BTreeSet::from([it.id]));
    let audit = c.audit(None, 1).await.unwrap();
    assert_eq!((audit[0].what.as_str(), audit[0].details["to"].as_str()), ("policy", Some("two")));
}

pub async fn a_former_policys_decision_is_refused(f: &Fixture) {
    let c = &*f.catalog;
    c.policy_in_force("one", T0).await.unwrap();
    let it = accept(c, &recording("a.mp4")).await;
    c.policy_in_force("two", T0).await.unwrap();
    let decision = processing(vec![probe_of(&it)]);
    let late = [Settle { id: it.id, revision: it.revision, decision, alert: None }];
    assert_eq!(c.settle(&late, "one", T0).await.unwrap(), [Settled::OtherPolicy]);
    assert_eq!(c.job(probe_of(&it).id).await.unwrap(), None);
    assert!(dirty(c, T0).await.contains(&it.id));
    assert!(matches!(c.settle(&late, "two", T0).await.unwrap()[0], Settled::Applied { .. }));
}
