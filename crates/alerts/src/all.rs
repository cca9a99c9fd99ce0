use std::sync::Arc;

use async_trait::async_trait;
use domain::Alert;

use crate::{Error, Notify, digest::Digest};

/// Tells by every way. One that fails keeps nobody from being told by the others.
#[derive(Debug)]
pub struct All(pub Vec<Arc<dyn Notify>>);

#[async_trait]
impl Notify for All {
    async fn tell(&self, alert: &Alert) -> Result<(), Error> {
        let mut failures = Vec::new();
        for way in &self.0 {
            failures.extend(way.tell(alert).await.err());
        }
        self.outcome(&failures)
    }

    async fn digest(&self, digest: &Digest) -> Result<(), Error> {
        let mut failures = Vec::new();
        for way in &self.0 {
            failures.extend(way.digest(digest).await.err());
        }
        self.outcome(&failures)
    }
}

impl All {
    fn outcome(&self, failures: &[Error]) -> Result<(), Error> {
        let Some(first) = failures.first() else { return Ok(()) };
        let said: Vec<String> = failures.iter().map(Error::to_string).collect();
        let message =
            format!("{} of {} ways to tell failed: {}", failures.len(), self.0.len(), said.join("; "));
        // Only when each may pass by itself may the whole.
        Err(Error::new(first.kind(), message).temporary(failures.iter().all(Error::is_temporary)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use domain::{Severity, Timestamp};

    use super::*;
    use crate::ErrorKind;

    #[derive(Debug, Default)]
    struct Told {
        keys: Mutex<Vec<String>>,
        fails: Option<Error>,
    }

    #[async_trait]
    impl Notify for Told {
        async fn tell(&self, alert: &Alert) -> Result<(), Error> {
            self.keys.lock().unwrap().push(alert.key.clone());
            self.fails.clone().map_or(Ok(()), Err)
        }
    }

    fn alert() -> Alert {
        Alert {
            key: "k".into(),
            severity: Severity::Info,
            service: "s".into(),
            subject: "s".into(),
            cause: "c".into(),
            next: "n".into(),
            recording: None,
            at: Timestamp(0),
        }
    }

    fn failing(kind: ErrorKind, message: &str) -> Told {
        Told { fails: Some(Error::new(kind, message)), ..Told::default() }
    }

    #[tokio::test]
    async fn one_that_fails_is_named_and_the_others_are_told() {
        let ways = [
            failing(ErrorKind::Unavailable, "the topic arn:x does not answer"),
            Told::default(),
            failing(ErrorKind::Denied, "the topic arn:y does not let us"),
        ]
        .map(Arc::new);
        let all = All(ways.iter().map(|way| way.clone() as Arc<dyn Notify>).collect());
        let failed = all.tell(&alert()).await.unwrap_err();
        assert_eq!(
            failed.to_string(),
            "2 of 3 ways to tell failed: the topic arn:x does not answer; the topic arn:y does not let us"
        );
        assert!(!failed.is_temporary(), "waiting helps only one of them");
        assert!(ways.iter().all(|way| *way.keys.lock().unwrap() == ["k"]));
    }

    #[tokio::test]
    async fn none_that_fails_is_a_success() {
        assert_eq!(All(vec![Arc::new(Told::default())]).tell(&alert()).await, Ok(()));
        assert_eq!(All(Vec::new()).tell(&alert()).await, Ok(()));
        let down = All(vec![Arc::new(failing(ErrorKind::Unavailable, "down"))]);
        assert!(down.tell(&alert()).await.unwrap_err().is_temporary());
    }
}
