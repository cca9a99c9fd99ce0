use std::{error::Error as StdError, fmt, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use super::bucket::Bucket;
use crate::{Error, ErrorKind, key::inert};

/// Why a request was not answered as hoped.
#[derive(Debug)]
pub(super) struct Failure {
    /// S3's word for it; empty where there was no answer, or one without a text, as to every HEAD.
    code: String,
    /// HTTP's; 0 without an answer.
    status: u16,
    /// In S3's words or the network's.
    detail: String,
    /// Where the bucket is, when that is what was wrong.
    region: Option<String>,
    meaning: Meaning,
    /// This request, or one before it that was repeated, may have had its effect.
    pub doubt: bool,
}

/// What was asked, for the sentence that says that it failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    pub verb: &'static str,
    pub permission: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meaning {
    kind: ErrorKind,
    temporary: bool,
    /// Worth asking again at once.
    again: bool,
    hint: &'static str,
}

impl Failure {
    pub fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let region =
            error.raw_response().and_then(|response| response.headers().get("x-amz-bucket-region")).map(clip);
        let code = error.code().unwrap_or_default().to_owned();
        let (detail, meaning) = match &error {
            SdkError::ServiceError(_) | SdkError::ResponseError(_) if !code.is_empty() => {
                let message = error.message().unwrap_or_default();
                (format!("{}: {}", clip(&code), clip(message)), meaning(&code, status))
            }
            SdkError::ServiceError(_) => (format!("HTTP status {status}"), meaning("", status)),
            SdkError::ResponseError(_) => (clip(&chain(&error)), UNREADABLE),
            SdkError::ConstructionFailure(_) => (clip(&chain(&error)), UNSENT),
            _ => (clip(&chain(&error)), credentials(&error).unwrap_or(NO_ANSWER)),
        };
        Self { code, status, detail, region, meaning, doubt: meaning.again }
    }

    /// No answer for so long.
    pub fn silence(lasted: Duration) -> Self {
        Self::broken(format!("no answer for {:.1} s", lasted.as_secs_f64()))
    }

    /// An answer that broke off.
    pub fn broken(detail: String) -> Self {
        let meaning = NO_ANSWER;
        Self { code: String::new(), status: 0, detail, region: None, meaning, doubt: true }
    }

    /// Worth asking again at once.
    pub fn may_pass(&self) -> bool {
        self.meaning.again
    }

    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// There is no such object, no such version of it, or one that says that it was deleted.
    pub fn is_missing(&self) -> bool {
        match self.code.as_str() {
            "NoSuchKey" | "NoSuchVersion" | "NotFound" => true,
            // A delete marker.
            "MethodNotAllowed" => true,
            "" => self.status == 404 || self.status == 405,
            // S3 reads version ids before it looks for them.
            "InvalidArgument" => self.detail.to_lowercase().contains("version id"),
            _ => false,
        }
    }

    /// The service does not know this request, or that header.
    pub fn is_unknown(&self) -> bool {
        self.status == 501 || self.is("NotImplemented")
    }

    pub fn is_unmet(&self) -> bool {
        self.is("PreconditionFailed") || self.status == 412
    }

    pub fn kind(&self) -> ErrorKind {
        self.meaning.kind
    }

    pub fn into_error(self, bucket: &Bucket, act: Act, whom: impl fmt::Display) -> Error {
        let Self { detail, region, meaning, .. } = self;
        let hint = match meaning.hint {
            PERMISSION => format!(
                "; what videorec runs as must be allowed {} in bucket `{}`",
                act.permission, bucket.bucket
            ),
            REGION => match region {
                Some(region) => format!("; bucket `{}` is in {region}: configure that region", bucket.bucket),
                None => format!("; configure the region that bucket `{}` is in", bucket.bucket),
            },
            "" => String::new(),
            hint => format!("; {hint}"),
        };
        let message = format!("store `{}`: cannot {} `{whom}`: {detail}{hint}", bucket.name, act.verb);
        Error::new(meaning.kind, message).temporary(meaning.temporary)
    }
}

const PERMISSION: &str = "permission";
const REGION: &str = "region";
const LATER: &str = "it will be tried again";

const NO_ANSWER: Meaning =
    Meaning { kind: ErrorKind::Unavailable, temporary: true, again: true, hint: LATER };
const UNREADABLE: Meaning = Meaning {
    kind: ErrorKind::Unavailable,
    temporary: true,
    again: true,
    hint: "the answer cannot be read; if that goes on, check that the endpoint is a service that speaks S3",
};
const UNSENT: Meaning = Meaning {
    kind: ErrorKind::Invalid,
    temporary: false,
    again: false,
    hint: "check the store's endpoint and region",
};

/// What S3's words mean to us, from its list of error codes; services that speak its language add their own.
fn meaning(code: &str, status: u16) -> Meaning {
    use ErrorKind::*;
    let settled = |kind, hint| Meaning { kind, temporary: false, again: false, hint };
    let later = |kind, hint| Meaning { kind, temporary: true, again: false, hint };
    let again = |kind, hint| Meaning { kind, temporary: true, again: true, hint };
    match code {
        "NoSuchKey" | "NoSuchVersion" | "NotFound" => settled(NotFound, ""),
        // Not `NotFound`: who hears that an object is gone may draw conclusions.
        "NoSuchBucket" => settled(Invalid, "create the bucket, or correct the store's address"),
        "InvalidObjectState" => {
            settled(Archived, "it lies in an archive: restore it, and read it when it has come back")
        }
        "AccessDenied" | "Forbidden" | "UnauthorizedAccess" => settled(Denied, PERMISSION),
        "AllAccessDisabled" | "AccountProblem" | "NotSignedUp" | "InvalidPayer" => {
            settled(Denied, "AWS has restricted the account: look into its console")
        }
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "InvalidSecurity"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException" => settled(Denied, "check the credentials that videorec runs with"),
        // A role's are renewed by themselves.
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
            later(Denied, "the credentials have expired: renew them")
        }
        // The SDK learns the right time from the refusal.
        "RequestTimeTooSkewed" | "RequestInTheFuture" => {
            again(Denied, "the clock of this machine is wrong: set it")
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            settled(Invalid, REGION)
        }
        "PreconditionFailed" => settled(Changed, ""),
        "ConditionalRequestConflict" | "OperationAborted" => {
            again(Unavailable, "somebody else writes it at the same time; it will be tried again")
        }
        "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" => again(
            Corrupt,
            "the bytes arrived otherwise than they were sent; if that goes on, check this machine's \
                            memory and the network",
        ),
        "SlowDown"
        | "ServiceUnavailable"
        | "InternalError"
        | "InternalFailure"
        | "RequestTimeout"
        | "IncompleteBody"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "TemporaryRedirect" => again(Unavailable, LATER),
        "NoSuchUpload" => later(
            Unavailable,
            "its unfinished upload is gone: a lifecycle rule, or somebody who tidied up, ended it; it will be begun again",
        ),
        "GlacierExpeditedRetrievalNotAvailable" => {
            later(Unavailable, "choose another speed, or wait until there is room for expedited ones")
        }
        "EntityTooLarge" => settled(Invalid, "the service holds no object of this size"),
        "EntityTooSmall" => settled(Invalid, "raise the store's part size to 5 MiB or more"),
        "KeyTooLongError" => settled(Invalid, "shorten the key, or the store's prefix"),
        "InvalidStorageClass" => settled(Invalid, "choose a storage class that the service has"),
        "NotImplemented" => settled(Invalid, "the service does not know this request"),
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" => {
            later(NoSpace, "free some space or raise the quota")
        }
        _ => match status {
            401 | 403 => settled(Denied, PERMISSION),
            404 => settled(NotFound, ""),
            301 | 307 => settled(Invalid, REGION),
            400 if code.is_empty() => settled(
                Invalid,
                "the service says no more: often the credentials have expired, or the bucket is in another region",
            ),
            409 => again(Unavailable, LATER),
            412 => settled(Changed, ""),
            501 => settled(Invalid, "the service does not know this request"),
            507 => later(NoSpace, "free some space or raise the quota"),
            408 | 429 | 500..=599 => again(Unavailable, LATER),
            400..=499 => settled(Invalid, ""),
            _ => settled(Other, ""),
        },
    }
}

/// Nothing was sent because there was nothing to sign it with.
fn credentials(error: &(dyn StdError + 'static)) -> Option<Meaning> {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<CredentialsError>() {
            let passes =
                matches!(error, CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_));
            return Some(Meaning {
                kind: ErrorKind::Denied,
                temporary: passes,
                again: passes,
                hint: "there are no credentials: give videorec a role, a profile, or AWS_ACCESS_KEY_ID and \
                       AWS_SECRET_ACCESS_KEY",
            });
        }
        source = error.source();
    }
    None
}

/// An error and what it came from, without what repeats itself.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut parts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if parts.last().is_none_or(|last: &String| !last.contains(&part)) {
            parts.push(part);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// Words of a stranger, inert and not too many.
fn clip(text: &str) -> String {
    inert(text).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_asked_again_and_what_may_not_is_believed() {
        for (code, status, kind, temporary, again) in [
            ("SlowDown", 503, ErrorKind::Unavailable, true, true),
            ("InternalError", 200, ErrorKind::Unavailable, true, true),
            ("", 502, ErrorKind::Unavailable, true, true),
            ("", 429, ErrorKind::Unavailable, true, true),
            ("ConditionalRequestConflict", 409, ErrorKind::Unavailable, true, true),
            ("BadDigest", 400, ErrorKind::Corrupt, true, true),
            ("RequestTimeTooSkewed", 403, ErrorKind::Denied, true, true),
            ("ExpiredToken", 400, ErrorKind::Denied, true, false),
            ("NoSuchUpload", 404, ErrorKind::Unavailable, true, false),
            ("AccessDenied", 403, ErrorKind::Denied, false, false),
            ("", 403, ErrorKind::Denied, false, false),
            ("NoSuchBucket", 404, ErrorKind::Invalid, false, false),
            ("NoSuchKey", 404, ErrorKind::NotFound, false, false),
            ("", 404, ErrorKind::NotFound, false, false),
            ("InvalidObjectState", 403, ErrorKind::Archived, false, false),
            ("PermanentRedirect", 301, ErrorKind::Invalid, false, false),
            ("XMinioStorageFull", 507, ErrorKind::NoSpace, true, false),
            ("NotImplemented", 501, ErrorKind::Invalid, false, false),
            ("SomethingNew", 400, ErrorKind::Invalid, false, false),
            ("SomethingNew", 503, ErrorKind::Unavailable, true, true),
        ] {
            let meaning = meaning(code, status);
            assert_eq!(
                (meaning.kind, meaning.temporary, meaning.again),
                (kind, temporary, again),
                "{code} {status}"
            );
        }
    }
}
