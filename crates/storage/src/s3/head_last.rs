use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use domain::{Crc64, Digest};

use super::{
    bucket::Bucket,
    checksum,
    multipart::{self, Multipart},
    writing::{Only, Target},
};
use crate::{Error, ErrorKind, HeadLast, Key, LEAST_HEAD, Meta, Put};

/// An upload whose first part is sent last. Parts may come in any order, and S3 makes the object of them by their numbers.
pub(super) struct Behind {
    target: Target,
    options: Put,
    multipart: Multipart,
    /// Of the part that fills up.
    part: BytesMut,
    /// Of all parts behind the head, in their order.
    crc: Crc64,
    sent: u64,
    /// Its bytes and their checksum.
    head: (u64, Crc64),
    /// A step failed, or its future was dropped: what S3 has is unknown.
    lost: bool,
}

impl Behind {
    pub async fn begin(bucket: Arc<Bucket>, key: &Key, options: Put) -> Result<Self, Error> {
        let target = Target::new(bucket, key)?;
        let mut multipart = Multipart::begin(target.clone(), |request| request).await?;
        multipart.leave_first();
        let crc = checksum::crc64(&[]);
        Ok(Self {
            target,
            options,
            multipart,
            part: BytesMut::new(),
            crc,
            sent: 0,
            head: (0, crc),
            lost: false,
        })
    }

    async fn ship(&mut self, part: Bytes) -> Result<(), Error> {
        let crc = checksum::crc64(&part);
        self.crc = joined(self.crc, crc, part.len() as u64);
        self.sent += part.len() as u64;
        self.multipart.send(part, crc).await
    }

    fn is_what_was_sent(&self, whole: &Digest) -> bool {
        let (size, crc) = self.head;
        size + self.sent == whole.size && joined(crc, self.crc, self.sent) == whole.crc64
    }
}

#[async_trait]
impl HeadLast for Behind {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        if std::mem::replace(&mut self.lost, true) {
            return Err(self.target.lost());
        }
        while !bytes.is_empty() {
            let size = multipart::part_size(
                self.target.bucket.options.part_size,
                self.options.expected.map(|digest| digest.size),
                self.multipart.next(),
            );
            if self.part.is_empty() && bytes.len() >= size {
                self.ship(bytes.split_to(size)).await?;
                continue;
            }
            let room = size - self.part.len();
            self.part.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.part.len() == size {
                let full = std::mem::take(&mut self.part).freeze();
                self.ship(full).await?;
                self.part = self.multipart.spare();
            }
        }
        self.lost = false;
        Ok(())
    }

    async fn head(&mut self, head: Bytes) -> Result<(), Error> {
        if std::mem::replace(&mut self.lost, true) {
            return Err(self.target.lost());
        }
        let last = std::mem::take(&mut self.part).freeze();
        self.ship(last).await?;
        self.head = (head.len() as u64, checksum::crc64(&head));
        self.multipart.send_first(head, self.head.1).await?;
        self.lost = false;
        Ok(())
    }

    async fn commit(self: Box<Self>, whole: &Digest) -> Result<Meta, Error> {
        let (name, key) = (self.target.bucket.name.clone(), self.target.key.clone());
        if self.lost {
            return Err(self.target.lost());
        }
        let least = LEAST_HEAD.min(self.target.bucket.options.part_size) as u64;
        let refused = if self.sent > 0 && self.head.0 < least {
            Some(Error::new(
                ErrorKind::Invalid,
                format!(
                    "store `{name}`: `{key}` begins with {} bytes, and S3 wants {LEAST_HEAD} in a part that others follow",
                    self.head.0
                ),
            ))
        } else if !self.is_what_was_sent(whole) {
            Some(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "store `{name}`: of `{key}` other bytes were sent than it has now; nothing was stored; write it again"
                ),
            ))
        } else {
            crate::store::check_expected(&name, &key, &self.options, whole).err()
        };
        if let Some(error) = refused {
            self.multipart.abort().await;
            return Err(error);
        }
        self.multipart.complete(whole.size, Some(whole.crc64), Only::if_absent(self.options.if_absent)).await
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        self.multipart.abort().await;
        Ok(())
    }
}

/// The checksum of what two runs of bytes are together, `len` of them in the second.
fn joined(first: Crc64, second: Crc64, len: u64) -> Crc64 {
    Crc64(crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, first.0, second.0, len))
}

#[test]
fn checksums_of_pieces_are_joined() {
    let all = b"123456789";
    for at in 0..=all.len() {
        let (first, second) = all.split_at(at);
        let both = joined(checksum::crc64(first), checksum::crc64(second), second.len() as u64);
        assert_eq!(both, checksum::crc64(all), "{at}");
    }
}
