use std::collections::VecDeque;

use crate::{Error, Lane, Message};

/// Between the polls and the receivers: what polls brought and nobody has taken yet, and who polls and waits where.
/// Plain state.
#[derive(Debug, Default)]
pub(super) struct Inboxes([Inbox; Lane::ALL.len()]);

#[derive(Debug, Default)]
struct Inbox {
    messages: VecDeque<Message>,
    /// Long polls under way, those of receivers that are gone included.
    polls: usize,
    receivers: usize,
    /// A poll's, until a receiver has it. Not kept for those to come: their own poll tells them.
    failure: Option<Error>,
}

impl Inboxes {
    pub(super) fn ready(&self, lanes: &[Lane]) -> usize {
        lanes.iter().map(|&lane| self.0[lane as usize].messages.len()).sum()
    }

    pub(super) fn put(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.of(message.lane).messages.push_back(message);
        }
    }

    /// Up to `max`, the first lane's first.
    pub(super) fn take(&mut self, lanes: &[Lane], max: usize) -> Vec<Message> {
        let mut taken = Vec::new();
        for &lane in lanes {
            let messages = &mut self.of(lane).messages;
            taken.extend(messages.drain(..messages.len().min(max - taken.len())));
        }
        taken
    }

    /// Those of them that are still here.
    pub(super) fn take_back(&mut self, lane: Lane, tokens: &[String]) -> Vec<Message> {
        let all = std::mem::take(&mut self.of(lane).messages);
        let (back, stay) = all.into_iter().partition(|message| tokens.contains(&message.receipt.token));
        self.of(lane).messages = stay;
        Vec::from(back)
    }

    pub(super) fn enter(&mut self, lanes: &[Lane]) {
        for &lane in lanes {
            self.of(lane).receivers += 1;
        }
    }

    pub(super) fn leave(&mut self, lanes: &[Lane]) {
        for &lane in lanes {
            let inbox = self.of(lane);
            inbox.receivers -= 1;
            if inbox.receivers == 0 {
                inbox.failure = None;
            }
        }
    }

    /// Whether another poll is wanted; it counts from now on. The polls of receivers that are gone serve the next ones.
    pub(super) fn begin_poll(&mut self, lane: Lane) -> bool {
        let inbox = self.of(lane);
        let wanted = inbox.polls < inbox.receivers;
        inbox.polls += usize::from(wanted);
        wanted
    }

    pub(super) fn end_poll(&mut self, lane: Lane, failure: Option<Error>) {
        let inbox = self.of(lane);
        inbox.polls -= 1;
        if inbox.receivers > 0 {
            inbox.failure = failure.or(inbox.failure.take());
        }
    }

    pub(super) fn failure(&mut self, lanes: &[Lane]) -> Option<Error> {
        lanes.iter().find_map(|&lane| self.of(lane).failure.take())
    }

    fn of(&mut self, lane: Lane) -> &mut Inbox {
        &mut self.0[lane as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Receipt};

    fn message(lane: Lane, token: &str) -> Message {
        let receipt = Receipt { lane, token: token.into() };
        Message { lane, body: token.into(), receipt, receives: 1 }
    }

    fn tokens(messages: Vec<Message>) -> Vec<String> {
        messages.into_iter().map(|m| m.receipt.token).collect()
    }

    #[test]
    fn the_first_lane_comes_first_and_nothing_is_taken_beyond_the_limit() {
        let mut inboxes = Inboxes::default();
        inboxes.put(vec![message(Lane::Bulk, "b"), message(Lane::Events, "e1"), message(Lane::Events, "e2")]);
        assert_eq!(inboxes.ready(&[Lane::Events, Lane::Bulk]), 3);
        assert_eq!(tokens(inboxes.take(&[Lane::Bulk, Lane::Events], 2)), ["b", "e1"]);
        assert_eq!(tokens(inboxes.take(&[Lane::Bulk, Lane::Events], 2)), ["e2"]);
    }

    #[test]
    fn only_what_nobody_took_goes_back() {
        let mut inboxes = Inboxes::default();
        inboxes.put(["1", "2", "3"].map(|token| message(Lane::Bulk, token)).into());
        inboxes.take(&[Lane::Bulk], 1);
        assert_eq!(tokens(inboxes.take_back(Lane::Bulk, &["1".into(), "2".into()])), ["2"]);
        assert_eq!(tokens(inboxes.take(&[Lane::Bulk], 9)), ["3"]);
    }

    #[test]
    fn a_poll_whose_receiver_is_gone_serves_the_next_one() {
        let (mut inboxes, lanes) = (Inboxes::default(), [Lane::Bulk]);
        assert!(!inboxes.begin_poll(Lane::Bulk), "nobody waits");
        inboxes.enter(&lanes);
        assert!(inboxes.begin_poll(Lane::Bulk));
        inboxes.leave(&lanes);
        inboxes.enter(&lanes);
        assert!(!inboxes.begin_poll(Lane::Bulk));
        inboxes.enter(&lanes);
        assert!(inboxes.begin_poll(Lane::Bulk), "but not two");
        inboxes.end_poll(Lane::Bulk, None);
        assert!(inboxes.begin_poll(Lane::Bulk));
    }

    #[test]
    fn a_failure_goes_to_one_who_waits_and_to_nobody_later() {
        let (mut inboxes, lanes) = (Inboxes::default(), [Lane::Bulk]);
        let fail = |inboxes: &mut Inboxes| {
            assert!(inboxes.begin_poll(Lane::Bulk));
            inboxes.end_poll(Lane::Bulk, Some(Error::new(ErrorKind::Unavailable, "down")));
        };
        inboxes.enter(&lanes);
        fail(&mut inboxes);
        assert!(inboxes.failure(&[Lane::Events]).is_none());
        assert!(inboxes.failure(&lanes).is_some() && inboxes.failure(&lanes).is_none());
        fail(&mut inboxes);
        inboxes.leave(&lanes);
        inboxes.enter(&lanes);
        assert!(inboxes.failure(&lanes).is_none());
    }
}
