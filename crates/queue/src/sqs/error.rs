use std::error::Error as _;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::{Error, ErrorKind};

/// What was asked of which queue, to say it when it fails.
pub(super) struct Call<'a> {
    /// As in `cannot VERB the queue`.
    pub verb: &'static str,
    /// The permission that it needs.
    pub permission: &'static str,
    pub url: &'a str,
}

/// Characters of somebody else's words that an error repeats.
const REPEATED: usize = 200;

impl Call<'_> {
    pub(super) fn failed<E>(&self, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let Self { verb, url, .. } = self;
        match error {
            SdkError::ServiceError(e) => {
                let status = e.raw().status().as_u16();
                let (code, message) =
                    (e.err().code().unwrap_or_default(), e.err().message().unwrap_or_default());
                self.refused(code, message, status >= 500 || status == 429)
            }
            SdkError::ConstructionFailure(_) => Error::new(
                ErrorKind::Invalid,
                format!("cannot {verb} the queue {url}: {}; check the configuration", root(error)),
            ),
            _ => Error::new(
                ErrorKind::Unavailable,
                format!(
                    "cannot {verb} the queue {url}: {}; if it stays so, check endpoint, region, network and credentials",
                    root(error)
                ),
            ),
        }
    }

    /// By the code that SQS answers with; `theirs`: the fault is the server's.
    pub(super) fn refused(&self, code: &str, message: &str, theirs: bool) -> Error {
        let Self { verb, permission, url } = self;
        // Some codes come with the name of the older protocol before them.
        let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
        match code {
            "MessageNotInflight" | "ReceiptHandleIsInvalid" => Error::lost(),
            "InvalidParameterValue"
                if message.contains("receipt handle has expired")
                    || message.contains("Total VisibilityTimeout") =>
            {
                Error::lost()
            }
            "QueueDoesNotExist" | "NonExistentQueue" | "QueueDeletedRecently" => Error::new(
                ErrorKind::Invalid,
                format!("there is no queue {url} in this region: check the URL and the region, or create it"),
            ),
            "OverLimit" => Error::new(
                ErrorKind::Full,
                format!(
                    "the queue {url} has as many messages in flight as SQS allows: acknowledge some first"
                ),
            ),
            "AccessDenied" | "AccessDeniedException" => Error::new(
                ErrorKind::Denied,
                format!(
                    "not allowed to {verb} the queue {url}: grant {permission} on it to the role that this runs as"
                ),
            ),
            "KmsThrottled" | "RequestThrottled" => self.later(code),
            code if code.starts_with("Kms") => Error::new(
                ErrorKind::Denied,
                format!(
                    "not allowed to {verb} the queue {url} ({code}): grant kms:Decrypt and kms:GenerateDataKey on its key \
                     to the role that this runs as"
                ),
            ),
            "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "InvalidSecurity"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Error::new(
                ErrorKind::Denied,
                format!(
                    "cannot {verb} the queue {url}: the credentials are not accepted ({code}); renew them"
                ),
            ),
            "InvalidMessageContents" => Error::new(
                ErrorKind::Invalid,
                format!("cannot {verb} the queue {url}: it refuses characters of the message; encode them"),
            ),
            "InvalidParameterValue" if message.contains("must be shorter") => Error::new(
                ErrorKind::Invalid,
                format!(
                    "cannot {verb} the queue {url}: the message is too large; raise its MaximumMessageSize"
                ),
            ),
            code if theirs || code.contains("Throttl") => self.later(code),
            _ => Error::new(
                ErrorKind::Other,
                format!(
                    "cannot {verb} the queue {url}: {code}: {}",
                    message.chars().take(REPEATED).collect::<String>()
                ),
            ),
        }
    }

    /// An answer that says nothing of what was asked.
    pub(super) fn unreadable(&self) -> Error {
        self.later("an answer that cannot be read")
    }

    fn later(&self, why: &str) -> Error {
        let Self { verb, url, .. } = self;
        Error::new(
            ErrorKind::Unavailable,
            format!("cannot {verb} the queue {url} now ({why}); try again later"),
        )
    }
}

/// The innermost cause: `connection refused` and not `dispatch failure`.
fn root<E: std::error::Error + 'static>(error: &SdkError<E>) -> String {
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
    fn what_sqs_refuses_has_a_kind_and_says_what_to_do() {
        use ErrorKind::*;
        let call = Call { verb: "receive from", permission: "sqs:ReceiveMessage", url: "https://sqs/1/bulk" };
        let expired =
            "Value AQEB for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
        let beyond = "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the \
                      message is beyond the limit [43200 seconds]";
        for (code, message, theirs, kind, says) in [
            ("AWS.SimpleQueueService.NonExistentQueue", "", false, Invalid, "check the URL and the region"),
            ("QueueDoesNotExist", "", false, Invalid, "https://sqs/1/bulk"),
            ("AccessDeniedException", "", false, Denied, "grant sqs:ReceiveMessage"),
            ("KmsAccessDenied", "", false, Denied, "kms:Decrypt"),
            ("KmsThrottled", "", false, Unavailable, "later"),
            ("InvalidClientTokenId", "", false, Denied, "renew"),
            ("AWS.SimpleQueueService.MessageNotInflight", "", false, Lost, "stop working"),
            ("ReceiptHandleIsInvalid", "", false, Lost, "stop working"),
            ("InvalidParameterValue", expired, false, Lost, "stop working"),
            ("InvalidParameterValue", beyond, false, Lost, "stop working"),
            ("InvalidParameterValue", "MaxNumberOfMessages", false, Other, "MaxNumberOfMessages"),
            ("OverLimit", "", false, Full, "acknowledge some"),
            ("ThrottlingException", "", false, Unavailable, "later"),
            ("InternalError", "", true, Unavailable, "later"),
            ("InvalidMessageContents", "", false, Invalid, "encode them"),
            (
                "InvalidParameterValue",
                "Message must be shorter than 1024 bytes.",
                false,
                Invalid,
                "MaximumMessageSize",
            ),
        ] {
            let error = call.refused(code, message, theirs);
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.is_temporary(), matches!(kind, Full | Unavailable), "{code}");
            assert!(error.to_string().contains(says), "{code}: {error}");
        }
    }

    #[test]
    fn only_so_much_of_the_servers_words_is_repeated() {
        let call = Call { verb: "send to", permission: "sqs:SendMessage", url: "q" };
        assert!(call.refused("Strange", &"x".repeat(9_000), false).to_string().len() < 300);
    }
}
