use std::{error::Error as _, time::Duration};

use async_trait::async_trait;
use aws_sdk_sns::{
    Client,
    config::{self, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata as _, SdkError},
    operation::publish::PublishError,
    types::MessageAttributeValue,
};
use aws_types::SdkConfig;
use domain::Alert;

use crate::{Error, ErrorKind, Notify, digest::Digest, render};

/// Tells whoever is subscribed to a topic of Amazon SNS.
///
/// People (e-mail and what else has no form of its own) get a text, programs (SQS, Lambda, HTTPS) the alert as JSON.
/// Subscriptions can filter by the message attributes `severity`, `service`, `key` and `recording`:
/// `{"severity": ["critical", "warning"]}`.
#[derive(Debug)]
pub struct Sns {
    client: Client,
    /// Its ARN.
    topic: String,
}

/// For one attempt; without it a service that says nothing would be waited for without end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters of somebody else's words that an error repeats.
const REPEATED: usize = 200;

impl Sns {
    /// Asks nothing yet. `sdk` brings the region (the topic's own), the credentials and an HTTP client.
    pub fn new(sdk: &SdkConfig, topic: impl Into<String>) -> Self {
        let set = sdk.timeout_config().cloned().unwrap_or_else(|| TimeoutConfig::builder().build());
        let patience = set.operation_attempt_timeout().unwrap_or(PATIENCE);
        let timeouts = set.to_builder().operation_attempt_timeout(patience).build();
        let config = config::Builder::from(sdk).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), topic: topic.into() }
    }

    async fn publish(&self, tame: &Alert, text: String, json: String) -> Result<(), Error> {
        let mut request = self
            .client
            .publish()
            .topic_arn(&self.topic)
            .subject(render::subject_line(tame))
            .message_structure("json")
            .message(render::structure(&text, &json));
        let recording = tame.recording.map(|id| id.to_string());
        let attributes = [
            ("severity", Some(tame.severity.as_str())),
            ("service", Some(tame.service.as_str())),
            ("key", Some(tame.key.as_str())),
            ("recording", recording.as_deref()),
        ];
        for (name, value) in attributes {
            // SNS takes no empty ones.
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let value = MessageAttributeValue::builder().data_type("String").string_value(value);
                request = request.message_attributes(name, value.build().expect("it has a type"));
            }
        }
        request.send().await.map_err(|e| self.failed(&e))?;
        Ok(())
    }

    fn failed(&self, error: &SdkError<PublishError>) -> Error {
        match error {
            SdkError::ServiceError(e) => {
                let status = e.raw().status().as_u16();
                let (code, message) =
                    (e.err().code().unwrap_or_default(), e.err().message().unwrap_or_default());
                refused(&self.topic, code, message, status >= 500 || status == 429)
            }
            SdkError::ConstructionFailure(_) => Error::new(
                ErrorKind::Invalid,
                format!("cannot publish to {}: {}; check the configuration", self.topic, root(error)),
            ),
            _ => Error::new(
                ErrorKind::Unavailable,
                format!(
                    "cannot publish to {}: {}; if it stays so, check endpoint, region, network and credentials",
                    self.topic,
                    root(error)
                ),
            ),
        }
    }
}

#[async_trait]
impl Notify for Sns {
    async fn tell(&self, alert: &Alert) -> Result<(), Error> {
        let alert = render::tame(alert);
        self.publish(&alert, render::text(&alert), render::json(&alert)).await
    }

    async fn digest(&self, digest: &Digest) -> Result<(), Error> {
        self.publish(&render::tame(&digest.as_alert()), digest.text(), digest.json()).await
    }
}

/// By the code that SNS answers with; `theirs`: the fault is the service's.
fn refused(topic: &str, code: &str, message: &str, theirs: bool) -> Error {
    let (kind, what) = match code {
        "NotFound" | "NotFoundException" => (
            ErrorKind::Invalid,
            "there is no such topic in this region: check the ARN and the region, or create it".into(),
        ),
        "AuthorizationError" | "AccessDenied" | "AccessDeniedException" => {
            (ErrorKind::Denied, "not allowed: grant sns:Publish on it to the role that this runs as".into())
        }
        "KMSThrottling" | "KMSThrottlingException" => {
            (ErrorKind::Unavailable, format!("not now ({code}); try again later"))
        }
        code if code.starts_with("KMS") => (
            ErrorKind::Denied,
            format!(
                "not allowed ({code}): grant kms:Decrypt and kms:GenerateDataKey on its key to the role that this runs as"
            ),
        ),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => {
            (ErrorKind::Denied, format!("the credentials are not accepted ({code}); renew them"))
        }
        code if theirs || code.contains("Throttl") => {
            (ErrorKind::Unavailable, format!("not now ({code}); try again later"))
        }
        code => {
            let message: String = message.chars().take(REPEATED).collect();
            let kind =
                if code.starts_with("InvalidParameter") { ErrorKind::Invalid } else { ErrorKind::Other };
            (kind, format!("{code}: {message}"))
        }
    };
    Error::new(kind, format!("cannot publish to {topic}: {what}"))
}

/// The innermost cause: `connection refused` and not `dispatch failure`.
fn root(error: &SdkError<PublishError>) -> String {
    let mut cause: &dyn std::error::Error = match error.source() {
        Some(source) => source,
        None => return error.to_string(),
    };
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().chars().take(REPEATED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sns_refuses_has_a_kind_and_says_what_to_do() {
        use ErrorKind::*;
        for (code, theirs, kind, says) in [
            ("NotFound", false, Invalid, "check the ARN"),
            ("AuthorizationError", false, Denied, "grant sns:Publish"),
            ("KMSAccessDenied", false, Denied, "kms:GenerateDataKey"),
            ("KMSThrottling", false, Unavailable, "later"),
            ("InvalidClientTokenId", false, Denied, "renew"),
            ("Throttling", false, Unavailable, "later"),
            ("InternalError", true, Unavailable, "later"),
            ("InvalidParameter", false, Invalid, "Subject too long"),
            ("Strange", false, Other, "Subject too long"),
        ] {
            let error = refused("arn:t", code, "Subject too long", theirs);
            assert_eq!((error.kind(), error.is_temporary()), (kind, kind == Unavailable), "{code}");
            assert!(error.to_string().contains(says) && error.to_string().contains("arn:t"), "{error}");
        }
    }
}
