use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::{
    Client,
    config::{self, timeout::TimeoutConfig},
    error::BuildError,
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use aws_types::SdkConfig;

use super::error::Call;
use crate::{Depth, Error, ErrorKind, Lane};

/// The requests, one a function, in our words. Only this file and the errors know the SDK.
#[derive(Debug)]
pub(super) struct Wire {
    client: Client,
}

/// A message as SQS hands it out.
#[derive(Debug)]
pub(super) struct Received {
    pub id: String,
    pub handle: String,
    pub body: String,
    pub receives: u32,
    pub sent_at_ms: Option<i64>,
    pub reason: Option<String>,
}

/// Of each entry of a batch, in the order of the entries.
pub(super) type Outcomes = Vec<Result<(), Error>>;

/// Entries that a batch takes at most.
pub(super) const BATCH: usize = 10;
/// The message attribute that says why a message was parked.
pub(super) const REASON: &str = "reason";

/// For one attempt at one request; without it a server that says nothing would be waited for without end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Wire {
    pub(super) fn new(sdk: &SdkConfig) -> Self {
        let set = sdk.timeout_config().cloned().unwrap_or_else(|| TimeoutConfig::builder().build());
        let patience = set.operation_attempt_timeout().unwrap_or(PATIENCE);
        let timeouts = set.to_builder().operation_attempt_timeout(patience).build();
        let config = config::Builder::from(sdk).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config) }
    }

    pub(super) async fn send(
        &self,
        url: &str,
        body: String,
        delay: u64,
        reason: Option<String>,
    ) -> Result<(), Error> {
        let call = Call { verb: "send to", permission: "sqs:SendMessage", url };
        let mut request =
            self.client.send_message().queue_url(url).message_body(body).delay_seconds(int(delay));
        if let Some(reason) = reason {
            let value = MessageAttributeValue::builder().data_type("String").string_value(reason).build();
            request = request.message_attributes(REASON, built(value)?);
        }
        request.send().await.map_err(|e| call.failed(&e))?;
        Ok(())
    }

    pub(super) async fn send_batch(&self, url: &str, bodies: &[String]) -> Outcomes {
        let call = Call { verb: "send to", permission: "sqs:SendMessage", url };
        let entry = |(id, body): (usize, &String)| {
            SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body(body).build()
        };
        let sent = async {
            let entries = built(bodies.iter().enumerate().map(entry).collect())?;
            let request = self.client.send_message_batch().queue_url(url).set_entries(Some(entries));
            request.send().await.map_err(|e| call.failed(&e))
        };
        let sent = sent.await.map(|sent| (ids(sent.successful, |s| s.id), sent.failed));
        outcomes(bodies.len(), sent, &call)
    }

    /// Waits up to `wait` seconds (20 at most) for the first one, and hides what it brings for `hidden` seconds.
    pub(super) async fn receive(
        &self,
        url: &str,
        max: usize,
        wait: u64,
        hidden: u64,
    ) -> Result<Vec<Received>, Error> {
        let call = Call { verb: "receive from", permission: "sqs:ReceiveMessage", url };
        let patience = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(wait) + PATIENCE)
            .disable_read_timeout()
            .disable_operation_timeout()
            .build();
        let request = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(max.min(BATCH) as i32)
            // Named even when it is 0, or the queue's own setting would count.
            .wait_time_seconds(int(wait))
            .visibility_timeout(int(hidden))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_attribute_names(REASON)
            .customize()
            .config_override(config::Builder::default().timeout_config(patience));
        let answer = request.send().await.map_err(|e| call.failed(&e))?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(Received::from).collect())
    }

    /// Hides a message for that many seconds from now; 0 gives it back.
    pub(super) async fn hide_one(&self, url: &str, handle: String, seconds: u64) -> Result<(), Error> {
        let call = Call { verb: "hide messages of", permission: "sqs:ChangeMessageVisibility", url };
        let request = self.client.change_message_visibility().queue_url(url).receipt_handle(handle);
        request.visibility_timeout(int(seconds)).send().await.map_err(|e| call.failed(&e))?;
        Ok(())
    }

    /// At most [`BATCH`] of them.
    pub(super) async fn hide(&self, url: &str, handles: Vec<String>, seconds: u64) -> Outcomes {
        let call = Call { verb: "hide messages of", permission: "sqs:ChangeMessageVisibility", url };
        let count = handles.len();
        let entry = |(id, handle): (usize, String)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id.to_string());
            entry.receipt_handle(handle).visibility_timeout(int(seconds)).build()
        };
        let hidden = async {
            let entries = built(handles.into_iter().enumerate().map(entry).collect())?;
            let request =
                self.client.change_message_visibility_batch().queue_url(url).set_entries(Some(entries));
            request.send().await.map_err(|e| call.failed(&e))
        };
        let hidden = hidden.await.map(|hidden| (ids(hidden.successful, |s| s.id), hidden.failed));
        outcomes(count, hidden, &call)
    }

    /// At most [`BATCH`] of them, all of deliveries that are ours.
    pub(super) async fn remove(&self, url: &str, handles: Vec<String>) -> Outcomes {
        let call = Call { verb: "acknowledge messages of", permission: "sqs:DeleteMessage", url };
        let count = handles.len();
        let entry = |(id, handle): (usize, String)| {
            DeleteMessageBatchRequestEntry::builder().id(id.to_string()).receipt_handle(handle).build()
        };
        let deleted = async {
            let entries = built(handles.into_iter().enumerate().map(entry).collect())?;
            let request = self.client.delete_message_batch().queue_url(url).set_entries(Some(entries));
            request.send().await.map_err(|e| call.failed(&e))
        };
        let deleted = deleted.await.map(|deleted| {
            let mut done = ids(deleted.successful, |s| s.id);
            // A delivery that is ours by the clock and not known any more was deleted before: the request was repeated,
            // because its first answer was lost.
            let (gone, failed) =
                deleted.failed.into_iter().partition(|f| f.code.ends_with("ReceiptHandleIsInvalid"));
            done.extend(ids(gone, |f: BatchResultErrorEntry| f.id));
            (done, failed)
        });
        outcomes(count, deleted, &call)
    }

    pub(super) async fn depth(&self, lane: Lane, url: &str) -> Result<Depth, Error> {
        use QueueAttributeName as Name;
        let names = [
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesNotVisible,
            Name::ApproximateNumberOfMessagesDelayed,
        ];
        let found = self.attributes(url, names.to_vec()).await?;
        let [visible, in_flight, delayed] =
            names.map(|name| found.get(&name).and_then(|n| n.parse().ok()).unwrap_or(0));
        Ok(Depth { lane, visible, in_flight, delayed })
    }

    /// The URL of the queue that `url`'s redrive policy names.
    pub(super) async fn dead_letter_queue(&self, url: &str) -> Result<String, Error> {
        let found = self.attributes(url, vec![QueueAttributeName::RedrivePolicy]).await?;
        let policy = found.get(&QueueAttributeName::RedrivePolicy).map_or("", String::as_str);
        let (account, name) = dead_letter_target(policy).ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!(
                    "the queue {url} has no dead-letter queue: give it a redrive policy, or name the queue"
                ),
            )
        })?;
        let call = Call { verb: "find the dead-letter queue of", permission: "sqs:GetQueueUrl", url };
        let request = self.client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
        let answer = request.send().await.map_err(|e| call.failed(&e))?;
        answer.queue_url.ok_or_else(|| call.unreadable())
    }

    async fn attributes(
        &self,
        url: &str,
        names: Vec<QueueAttributeName>,
    ) -> Result<HashMap<QueueAttributeName, String>, Error> {
        let call = Call { verb: "look at", permission: "sqs:GetQueueAttributes", url };
        let request = self.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names));
        Ok(request.send().await.map_err(|e| call.failed(&e))?.attributes.unwrap_or_default())
    }
}

impl From<aws_sdk_sqs::types::Message> for Received {
    fn from(mut message: aws_sdk_sqs::types::Message) -> Self {
        let attributes = message.attributes.unwrap_or_default();
        let number = |name| attributes.get(&name)?.parse::<i64>().ok();
        let receives = number(MessageSystemAttributeName::ApproximateReceiveCount);
        let reason = message.message_attributes.as_mut().and_then(|all| all.remove(REASON));
        Self {
            id: message.message_id.unwrap_or_default(),
            handle: message.receipt_handle.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            receives: receives.and_then(|n| n.try_into().ok()).unwrap_or(1),
            sent_at_ms: number(MessageSystemAttributeName::SentTimestamp),
            reason: reason.and_then(|value| value.string_value),
        }
    }
}

/// What became of each entry. An entry that the answer does not mention may have been done or not.
fn outcomes(
    count: usize,
    answer: Result<(Vec<String>, Vec<BatchResultErrorEntry>), Error>,
    call: &Call<'_>,
) -> Outcomes {
    let (done, failed) = match answer {
        Ok(answer) => answer,
        Err(error) => return vec![Err(error); count],
    };
    let mut outcomes: Outcomes = (0..count).map(|_| Err(call.unreadable())).collect();
    let mut set = |id: &str, outcome| {
        if let Some(place) = id.parse().ok().and_then(|i: usize| outcomes.get_mut(i)) {
            *place = outcome;
        }
    };
    for id in done {
        set(&id, Ok(()));
    }
    for entry in failed {
        let message = entry.message.as_deref().unwrap_or_default();
        set(&entry.id, Err(call.refused(&entry.code, message, !entry.sender_fault)));
    }
    outcomes
}

fn ids<T>(entries: Vec<T>, id: impl Fn(T) -> String) -> Vec<String> {
    entries.into_iter().map(id).collect()
}

/// Account and name, from `{"deadLetterTargetArn": "arn:aws:sqs:REGION:ACCOUNT:NAME", ...}`.
fn dead_letter_target(policy: &str) -> Option<(String, String)> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    match *policy["deadLetterTargetArn"].as_str()?.split(':').collect::<Vec<_>>() {
        ["arn", _, "sqs", _, account, name] => Some((account.into(), name.into())),
        _ => None,
    }
}

/// Fails when one of our own requests lacks a field: a mistake of ours, of which the caller can do nothing.
fn built<T>(built: Result<T, BuildError>) -> Result<T, Error> {
    built.map_err(|e| Error::new(ErrorKind::Other, format!("a request to SQS could not be made: {e}")))
}

/// Seconds, of which SQS knows 12 hours.
fn int(seconds: u64) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_letter_queue_is_read_from_the_redrive_policy() {
        let of = |policy: &str| dead_letter_target(policy);
        let arn = "arn:aws:sqs:eu-central-1:123456789012:bulk-dead";
        let found = Some(("123456789012".to_owned(), "bulk-dead".to_owned()));
        assert_eq!(of(&format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":5}}"#)), found);
        assert_eq!(of(&format!(r#"{{"maxReceiveCount":"5", "deadLetterTargetArn" : "{arn}"}}"#)), found);
        for none in ["", "{}", "[]", r#"{"maxReceiveCount":5}"#, r#"{"deadLetterTargetArn":"x"}"#] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn each_entry_has_its_own_outcome() {
        let call = Call { verb: "send to", permission: "sqs:SendMessage", url: "http://q" };
        let failed = |id: &str, code: &str, sender_fault| {
            BatchResultErrorEntry::builder().id(id).code(code).sender_fault(sender_fault).build().unwrap()
        };
        let failures = vec![failed("1", "InvalidMessageContents", true), failed("3", "InternalError", false)];
        let got = outcomes(5, Ok((vec!["2".into(), "0".into(), "99".into()], failures)), &call);
        let kinds: Vec<_> = got.iter().map(|o| o.as_ref().err().map(Error::kind)).collect();
        use ErrorKind::{Invalid, Unavailable};
        assert_eq!(kinds, [None, Some(Invalid), None, Some(Unavailable), Some(Unavailable)]);
    }
}
