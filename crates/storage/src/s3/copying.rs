//! Copies that the service makes by itself.
//!
//! Such a copy is visible as soon as it is there, so what is expected of the bytes is asked before: of the checksum that
//! S3 keeps of the source, and where there is none, by reading the source. The version is pinned, and services check what
//! they copy.

use std::sync::Arc;

use aws_sdk_s3::types::{StorageClass, TaggingDirective};
use domain::Digest;

use super::{
    bucket::{Bucket, Looked, class, timestamp},
    failure::{Act, Failure},
    multipart::Multipart,
    version::Pin,
    writing::{Only, Target},
};
use crate::{Error, ErrorKind, Key, Meta, Origin, Put, Store, verified::digest_of};

const COPY: Act =
    Act { verb: "copy", permission: "s3:GetObject and s3:GetObjectVersion where it is and s3:PutObject" };

/// Bytes of one part of a copy in parts: few requests, and yet many at once.
const PART: u64 = 256 << 20;

/// Copies an object of `from`, which lies at `origin`, without its tags.
pub(super) async fn copy(
    bucket: &Arc<Bucket>,
    from: &dyn Store,
    origin: &Origin,
    key: &Key,
    version: Option<&str>,
    to: &Key,
    options: Put,
) -> Result<Meta, Error> {
    let target = Target::new(bucket.clone(), to)?;
    let pin = version.map(Pin::parse);
    // Side by side: a small copy is mostly waiting.
    let (source, free) = tokio::join!(
        bucket.look_at(&origin.bucket, &origin.object, key, pin.as_ref(), true),
        is_free(&target, options.if_absent)
    );
    let source = match source {
        Ok(source) => source,
        Err(failure) if failure.is_missing() || failure.is_unmet() => {
            // Its own store sees it and we do not: one endpoint, and yet another world.
            let unseen = || {
                let (name, from) = (&bucket.name, from.name());
                Error::new(
                    ErrorKind::Denied,
                    format!("store `{name}` does not see `{key}` of store `{from}`"),
                )
            };
            return Err(moved(from, key, version).await.unwrap_or_else(unseen));
        }
        Err(failure) => return Err(failure.into_error(bucket, COPY, key)),
    };
    free?;
    if let Some(expected) = &options.expected {
        is_expected(from, key, &source, expected).await?;
    }
    let with = With { tags: None, class: None, only: Only::if_absent(options.if_absent) };
    match copy_looked_at(&target, origin, &source, with).await {
        Err(e) if e.kind() == ErrorKind::NotFound || e.kind() == ErrorKind::Changed => {
            Err(moved(from, key, Some(&source.meta.version)).await.unwrap_or(e))
        }
        copied => copied,
    }
}

/// What the copy shall be besides the bytes.
pub(super) struct With {
    /// The source's, if it is to keep them.
    pub tags: Option<String>,
    pub class: Option<StorageClass>,
    pub only: Only,
}

/// Copies that version of the source.
pub(super) async fn copy_looked_at(
    target: &Target,
    origin: &Origin,
    source: &Looked,
    with: With,
) -> Result<Meta, Error> {
    let mut path = format!("{}/{}", origin.bucket, percent_encode(&origin.object));
    if let Pin::Id(id) = &source.pin {
        path = format!("{path}?versionId={}", percent_encode(id));
    }
    if source.meta.size > target.bucket.options.copy_at_once {
        in_parts(target, &path, source, with).await
    } else {
        at_once(target, &path, source, with).await
    }
}

async fn at_once(target: &Target, path: &str, source: &Looked, with: With) -> Result<Meta, Error> {
    let bucket = &target.bucket;
    let answer = bucket
        .ask(bucket.allowed_inside(source.meta.size), || {
            let keep = if with.tags.is_some() { TaggingDirective::Copy } else { TaggingDirective::Replace };
            bucket
                .client
                .copy_object()
                .bucket(&bucket.bucket)
                .key(&*target.object)
                .copy_source(path)
                .set_copy_source_if_match(source.pin.if_match())
                .tagging_directive(keep)
                .set_storage_class(with.class.clone())
                .set_if_none_match(with.only.if_none_match())
                .set_if_match(with.only.if_match())
                .send()
        })
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return settle(target, source, &with, failure).await,
    };
    let result = answer.copy_object_result();
    let pin = Pin::of(answer.version_id(), result.and_then(|r| r.e_tag()));
    bucket.note(&pin);
    Ok(Meta {
        key: target.key.clone(),
        size: source.meta.size,
        version: pin.to_string(),
        modified: timestamp(result.and_then(|r| r.last_modified())),
        class: class(with.class.as_ref().map(StorageClass::as_str)),
    })
}

/// After a copy that failed: it may have had its effect all the same. It carries no mark, because it keeps its source's
/// metadata, but then what counts is that the same bytes are there, whoever wrote them.
async fn settle(target: &Target, source: &Looked, with: &With, failure: Failure) -> Result<Meta, Error> {
    let Target { bucket, key, object, .. } = target;
    if failure.doubt {
        match bucket.look_at(&bucket.bucket, object, key, None, true).await {
            Ok(found) => {
                let same_class =
                    with.class.as_ref().is_none_or(|class| found.head.storage_class() == Some(class));
                let same_bytes = match (found.kept, source.kept) {
                    (Some(found), Some(source)) => found == source,
                    _ => found.head.e_tag() == source.head.e_tag(),
                };
                if found.meta.size == source.meta.size && same_bytes && same_class {
                    return Ok(found.meta);
                }
                if with.only == Only::IfAbsent {
                    return Err(Error::exists(&bucket.name, key));
                }
            }
            Err(look) if look.is_missing() => {}
            Err(look) => return Err(look.into_error(bucket, COPY, key)),
        }
    }
    Err(match with.only {
        Only::IfAbsent if failure.is_unmet() => Error::exists(&bucket.name, key),
        _ => failure.into_error(bucket, COPY, key),
    })
}

async fn in_parts(target: &Target, path: &str, source: &Looked, with: With) -> Result<Meta, Error> {
    let head = &source.head;
    let mut multipart = Multipart::begin(target.clone(), |request| {
        request
            .set_metadata(head.metadata().cloned())
            .set_content_type(head.content_type().map(str::to_owned))
            .set_content_encoding(head.content_encoding().map(str::to_owned))
            .set_content_disposition(head.content_disposition().map(str::to_owned))
            .set_content_language(head.content_language().map(str::to_owned))
            .set_cache_control(head.cache_control().map(str::to_owned))
            .set_storage_class(with.class.clone())
            .set_tagging(with.tags.clone())
    })
    .await?;
    let size = source.meta.size;
    let part = PART.min(target.bucket.options.copy_at_once).max(size.div_ceil(10_000));
    let mut start = 0;
    while start < size {
        let end = size.min(start + part);
        multipart.send_copy(path.to_owned(), source.pin.clone(), start..end).await?;
        start = end;
    }
    let crc = source.kept.and_then(|kept| kept.crc64());
    let meta = multipart.complete(size, crc, with.only).await?;
    Ok(Meta { class: class(with.class.as_ref().map(StorageClass::as_str)), ..meta })
}

/// Asked first, because not every service knows the condition on a copy; where it does, that is what decides.
async fn is_free(target: &Target, if_absent: bool) -> Result<(), Error> {
    if !if_absent {
        return Ok(());
    }
    match target.bucket.head(&target.key).await {
        Ok(_) => Err(Error::exists(&target.bucket.name, &target.key)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

async fn is_expected(from: &dyn Store, key: &Key, source: &Looked, expected: &Digest) -> Result<(), Error> {
    let what_now = "nothing was copied; look at the source";
    if source.meta.size == expected.size {
        match source.kept.and_then(|kept| kept.crc64()) {
            Some(crc) if crc == expected.crc64 => return Ok(()),
            Some(_) => {}
            None => {
                let found = digest_of(from, key, Some(&source.meta.version)).await?;
                return if found == *expected {
                    Ok(())
                } else {
                    Err(Error::corrupt(from.name(), key, expected, &found, what_now))
                };
            }
        }
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!(
            "object `{key}` in store `{}` has {} bytes and S3 keeps another checksum of them than was expected of {} \
             bytes with SHA-256 {}; {what_now}",
            from.name(),
            source.meta.size,
            expected.size,
            expected.sha256
        ),
    ))
}

/// Why the source is not to be had, in the words of its own store.
async fn moved(from: &dyn Store, key: &Key, version: Option<&str>) -> Option<Error> {
    match (from.head(key).await, version) {
        (Ok(meta), Some(version)) if meta.version != version => {
            Some(Error::changed(from.name(), key, version, &meta.version))
        }
        (Ok(_), _) => None,
        (Err(error), _) => Some(error),
    }
}

/// For a header: everything but what needs no encoding in a path.
pub(super) fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            _ => write!(out, "%{byte:02X}").expect("a string grows"),
        }
        out
    })
}

#[test]
fn a_name_goes_into_a_header_encoded() {
    assert_eq!(percent_encode("a b/ü?versionId=1%\r\n"), "a%20b/%C3%BC%3FversionId%3D1%25%0D%0A");
    assert_eq!(percent_encode("cam1/a-b_c.mp4"), "cam1/a-b_c.mp4");
}
