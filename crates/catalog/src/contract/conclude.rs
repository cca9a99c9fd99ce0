use std::sync::Mutex;

use domain::{Decision, Facts, JobState, Outcome, RecordingId, State};

use super::{Fixture, kit::*};
use crate::{Deciding, Kind, Settle, Settled};

/// What was decided on, in the order asked.
#[derive(Default)]
struct Asked(Mutex<Vec<Facts>>);

impl Asked {
    fn and_said(&self, facts: &Facts, decision: Decision) -> Settle {
        self.0.lock().unwrap().push(facts.clone());
        Settle { id: facts.recording.id, revision: facts.recording.revision, decision, alert: None }
    }

    fn of(&self) -> Vec<RecordingId> {
        self.0.lock().unwrap().iter().map(|facts| facts.recording.id).collect()
    }
}

/// Promise 4, and 3 with it: there is no moment at which the outcome is there and what follows from it is not.
pub async fn what_follows_is_decided_with_the_outcome_or_neither_is(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let (other, _) = with_probe(c, "b.mp4").await;
    let (held, backup) = (claim(c, &spec, "w", T0).await, backup_of(&it, "replica"));
    let asked = Asked::default();
    let decide = |facts: &Facts| asked.and_said(facts, decided(State::Ready, vec![backup.clone()]));
    let by = Deciding { policy: "p", decide: &decide };

    let mut wrong = rendered(&held, "mp4", "first", 10);
    if let Outcome::Rendered { rendition } = &mut wrong {
        rendition.recording = other.id;
    }
    let before = (facts(c, it.id).await, job(c, spec.id).await, c.audit(None, 99).await.unwrap());
    assert_eq!(c.conclude(&held, &wrong, &by, T0).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(before, (facts(c, it.id).await, job(c, spec.id).await, c.audit(None, 99).await.unwrap()));
    assert_eq!(asked.of(), []);

    assert!(c.conclude(&held, &probed("Inner title"), &by, later(3)).await.unwrap());
    let again = (f.again)().await;
    for c in [c, &*again] {
        assert_eq!(job(c, spec.id).await.state, JobState::Done);
        assert_eq!(job(c, backup.id).await.state, JobState::Pending);
        assert!(dirty(c, later(3)).await.is_empty(), "nobody else has to decide it");
        let state = get(c, it.id).await;
        assert_eq!((state.state, state.reason.as_str()), (State::Ready, "so decided"));
        let story: Vec<_> =
            c.audit(Some(it.id), 2).await.unwrap().into_iter().map(|e| (e.what, e.actor)).collect();
        assert_eq!(story, [("state".into(), "decide".into()), ("record".into(), "w".into())]);
    }
    let seen = asked.0.lock().unwrap().remove(0);
    assert_eq!(seen.done, [spec.id].into(), "decided on what the outcome left");
    assert_eq!(seen.recording.media().unwrap().duration_ms, 61_000);

    // Whoever read the facts before it, and was slower.
    let late =
        Settle { id: it.id, revision: it.revision, decision: decided(State::Failed, vec![]), alert: None };
    assert_eq!(c.settle(&[late], "p", later(4)).await.unwrap(), [Settled::Stale]);

    // The answer was lost: the same claim asks again.
    let once = (facts(c, it.id).await, c.audit(None, 99).await.unwrap());
    let decide = |_: &Facts| unreachable!("all of it is done");
    let by = Deciding { policy: "p", decide: &decide };
    assert!(c.conclude(&held, &probed("Inner title"), &by, later(5)).await.unwrap());
    assert_eq!(once, (facts(c, it.id).await, c.audit(None, 99).await.unwrap()));
    assert!(dirty(c, later(5)).await.is_empty());
}

/// Also where nothing changes but the facts: whoever has read the former ones decides in vain.
pub async fn a_conclusion_outdates_what_was_read_before_it(f: &Fixture) {
    let c = &*f.catalog;
    let (it, spec) = with_probe(c, "a.mp4").await;
    let held = claim(c, &spec, "w", T0).await;
    let decide = |facts: &Facts| Settle {
        id: facts.recording.id,
        revision: facts.recording.revision,
        decision: processing(vec![]),
        alert: None,
    };
    let mut until = processing(vec![]);
    until.due_at = Some(later(100));
    let waits = |facts: &Facts| Settle { decision: until.clone(), ..decide(facts) };
    c.conclude(&held, &probed("x"), &Deciding { policy: "p", decide: &waits }, T0).await.unwrap();
    let late = Settle { id: it.id, revision: it.revision, decision: processing(vec![]), alert: None };
    assert_eq!(c.settle(&[late], "p", T0).await.unwrap(), [Settled::Stale]);
    assert!(dirty(c, later(99)).await.is_empty());
    assert_eq!(dirty(c, later(100)).await, [it.id].into(), "it is decided again when it is time");
}

pub async fn a_session_is_decided_after_its_track(f: &Fixture) {
    let c = &*f.catalog;
    let call = accept(c, &session("call.json", &[("ana.webm", "Ana")])).await;
    let (ana, spec) = with_probe(c, "ana.webm").await;
    settle(c, call.id, processing(vec![]), T0).await;
    let before = get(c, call.id).await;
    let held = claim(c, &spec, "w", T0).await;
    let (asked, mix) = (Asked::default(), probe_of(&call));
    let decide = |facts: &Facts| {
        let jobs = if facts.recording.id == call.id { vec![mix.clone()] } else { vec![] };
        asked.and_said(facts, decided(State::Ready, jobs))
    };
    c.conclude(&held, &probed("x"), &Deciding { policy: "p", decide: &decide }, T0).await.unwrap();
    assert_eq!(asked.of(), [ana.id, call.id]);
    let seen = asked.0.lock().unwrap().remove(1);
    let track = seen.tracks[0].recording.as_ref().unwrap();
    assert_eq!(track.state, State::Ready, "it knows what has become of the track");
    assert!(seen.recording.revision > before.revision);
    assert_eq!(job(c, mix.id).await.state, JobState::Pending);
    assert!(dirty(c, T0).await.is_empty());
    let late = Settle {
        id: call.id,
        revision: before.revision,
        decision: decided(State::Failed, vec![]),
        alert: None,
    };
    assert_eq!(c.settle(&[late], "p", T0).await.unwrap(), [Settled::Stale]);
}

/// The work was done, and counts; what follows from it is for whoever has the policy in force.
pub async fn under_another_policy_the_outcome_is_kept_and_nothing_decided(f: &Fixture) {
    let c = &*f.catalog;
    let call = accept(c, &session("call.json", &[("ana.webm", "Ana")])).await;
    let (ana, spec) = with_probe(c, "ana.webm").await;
    settle(c, call.id, processing(vec![]), T0).await;
    let held = claim(c, &spec, "w", T0).await;
    c.policy_in_force("two", T0).await.unwrap();
    for id in [ana.id, call.id] {
        let revision = get(c, id).await.revision;
        let it = Settle { id, revision, decision: processing(vec![]), alert: None };
        assert!(matches!(c.settle(&[it], "two", T0).await.unwrap()[..], [Settled::Applied { .. }]));
    }
    let before = get(c, call.id).await;
    let decide = |_: &Facts| unreachable!("not by this one");
    let by = Deciding { policy: "one", decide: &decide };
    assert!(!c.conclude(&held, &probed("x"), &by, T0).await.unwrap());
    assert_eq!(job(c, spec.id).await.state, JobState::Done);
    assert!(get(c, ana.id).await.probe.is_some());
    assert_eq!(dirty(c, T0).await, [ana.id, call.id].into());
    assert!(get(c, call.id).await.revision > before.revision);
}
