//! Standard Webhooks, symmetric signatures: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use domain::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{Error, ErrorKind};

/// What both sides know. Never shown.
pub(super) struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The specification's bounds, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// People lose the padding when they copy.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Secret {
    /// `whsec_` and base64; the libraries of the standard take it without the prefix too.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let bad = |what| {
            let how = "it is `whsec_` and 24 to 64 random bytes in base64, as from \
                       `echo whsec_$(openssl rand -base64 32)`";
            Error::new(ErrorKind::Invalid, format!("the webhook's secret {what}: {how}"))
        };
        let text = text.trim();
        let bytes =
            LENIENT.decode(text.strip_prefix("whsec_").unwrap_or(text)).map_err(|_| bad("cannot be read"))?;
        if !LENGTHS.contains(&bytes.len()) {
            return Err(bad("has the wrong length"));
        }
        Ok(Self(bytes))
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// `id` is the same whenever the same is sent, `now` the time of this attempt: receivers refuse what is old, so that
/// nobody can play back what he overheard.
pub(super) fn headers(
    secrets: &[Secret],
    id: &str,
    now: Timestamp,
    body: &[u8],
) -> [(&'static str, String); 3] {
    let seconds = now.0.div_euclid(1000);
    // One signature a secret: while one is replaced by another, receivers may know either.
    let signatures: Vec<_> = secrets.iter().map(|s| s.sign(id, seconds, body)).collect();
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the standard's own libraries are tested with.
    #[test]
    fn a_signature_is_the_standards() {
        for text in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", " MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"] {
            let secret = Secret::parse(text).unwrap();
            assert_eq!(
                secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
            );
        }
    }

    #[test]
    fn every_secret_signs() {
        let [a, b] = [vec![1; 24], vec![2; 64]].map(|s| Secret::parse(&STANDARD.encode(s)).unwrap());
        let one = headers(&[Secret(a.0.clone())], "i", Timestamp(1_999), b"x");
        let both = headers(&[a, b], "i", Timestamp(1_999), b"x");
        assert_eq!(both[1], ("webhook-timestamp", "1".to_owned()));
        let (first, second) = both[2].1.split_once(' ').unwrap();
        assert!(first == one[2].1 && second.starts_with("v1,") && second != first);
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_repeating_it() {
        let short = STANDARD.encode([7; 23]);
        let long = STANDARD.encode([7; 65]);
        for text in ["", "whsec_", "canary!", "whsec_canary secret", &short, &long] {
            let refused = Secret::parse(text).unwrap_err();
            assert!(!refused.is_temporary() && refused.to_string().contains("openssl rand"), "{refused}");
            assert!(text.len() < 7 || !refused.to_string().contains(text), "{refused}");
        }
        assert_eq!(format!("{:?}", Secret::parse(&STANDARD.encode([7; 32])).unwrap()), "Secret");
        // Without its padding, as people copy it.
        assert!(Secret::parse(STANDARD.encode([7; 32]).trim_end_matches('=')).is_ok());
    }
}
