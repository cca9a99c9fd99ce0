use domain::{Facts, Timestamp};

use crate::{
    evaluate::kept_until,
    matching::{NEVER, Truth},
    model::{Ask, Rule},
};

/// What the rules say against a recording's going; holds by hand are among its facts.
#[derive(Default)]
pub(crate) struct Shield<'p> {
    hold: Option<(&'p Rule, &'p str)>,
    keep: Option<(Timestamp, &'p Rule)>,
    /// It protects or not: that cannot be said.
    unsure: Option<&'p Rule>,
}

impl<'p> Shield<'p> {
    pub(crate) fn raise(
        &mut self,
        rule: &'p Rule,
        ask: &'p Ask,
        truth: Truth,
        facts: &Facts,
        now: Timestamp,
    ) {
        match (ask, truth) {
            (_, Truth::No) => {}
            (_, Truth::Unknown | Truth::Broken) => self.unsure = self.unsure.or(Some(rule)),
            (Ask::Hold { reason }, Truth::Yes) => self.hold = self.hold.or(Some((rule, reason))),
            (Ask::Keep { for_ms }, Truth::Yes) => {
                let until = kept_until(facts, *for_ms);
                if now < until && self.keep.is_none_or(|(other, _)| other < until) {
                    self.keep = Some((until, rule));
                }
            }
            _ => {}
        }
    }

    /// What a hold waits for, completing "waits for ...".
    pub(crate) fn held(&self, facts: &Facts) -> Option<String> {
        let by_hand = facts.recording.custody.holds.iter().next();
        by_hand.map(|(name, hold)| format!("the release of the hold `{name}` ({})", hold.reason)).or_else(
            || {
                self.hold
                    .map(|(rule, reason)| format!("an end of the hold by rule `{}` ({reason})", rule.name))
            },
        )
    }

    /// A rule that might protect, and of which that cannot be said.
    pub(crate) fn unsure(&self) -> Option<String> {
        self.unsure
            .map(|rule| format!("a word on whether rule `{}` protects it, which cannot be said", rule.name))
    }

    /// Until when a rule keeps it, and what that waits for.
    pub(crate) fn kept(&self) -> Option<(Timestamp, String)> {
        self.keep.map(|(until, rule)| match until {
            NEVER => (until, format!("an end of rule `{}`, which keeps it for ever", rule.name)),
            _ => (until, format!("{until}: rule `{}` keeps it until then", rule.name)),
        })
    }
}
