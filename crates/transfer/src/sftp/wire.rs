//! SFTP version 3 in bytes (draft-ietf-secsh-filexfer-02 and OpenSSH's PROTOCOL): requests that we send, replies that we get.
//!
//! Ours and not a library's: handles are any bytes and not text, codes of later versions ("no space", "quota") come from
//! servers that say version 3 and must not end the session, and extensions belong into the same channel as everything else.

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

pub(super) mod kind {
    pub const INIT: u8 = 1;
    pub const VERSION: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const CLOSE: u8 = 4;
    pub const READ: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const FSTAT: u8 = 8;
    pub const SETSTAT: u8 = 9;
    pub const OPENDIR: u8 = 11;
    pub const READDIR: u8 = 12;
    pub const REMOVE: u8 = 13;
    pub const MKDIR: u8 = 14;
    pub const REALPATH: u8 = 16;
    pub const STAT: u8 = 17;
    pub const RENAME: u8 = 18;
    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const DATA: u8 = 103;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
    pub const EXTENDED: u8 = 200;
    pub const EXTENDED_REPLY: u8 = 201;
}

/// How a file is opened.
pub(super) mod open {
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const CREATE: u32 = 8;
    pub const TRUNCATE: u32 = 16;
}

/// What a server answers with; those above 8 are of later versions, and servers give them all the same.
pub(super) mod code {
    pub const OK: u32 = 0;
    pub const EOF: u32 = 1;
    pub const NO_SUCH_FILE: u32 = 2;
    pub const PERMISSION_DENIED: u32 = 3;
    pub const UNSUPPORTED: u32 = 8;
    pub const NO_SUCH_PATH: u32 = 10;
    pub const ALREADY_EXISTS: u32 = 11;
    pub const WRITE_PROTECT: u32 = 12;
    pub const NO_SPACE: u32 = 14;
    pub const QUOTA_EXCEEDED: u32 = 15;
}

/// The largest packet that we take. OpenSSH's is 256 KiB; a length beyond is no packet but noise.
const MAX_PACKET: usize = 1 << 20;

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// A request, still without its number.
pub(super) struct Request(BytesMut);

impl Request {
    pub(super) fn new(kind: u8) -> Self {
        Self::with_room(kind, 64)
    }

    fn with_room(kind: u8, room: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(9 + room);
        bytes.put_u32(0);
        bytes.put_u8(kind);
        bytes.put_u32(0);
        Self(bytes)
    }

    pub(super) fn extended(name: &str) -> Self {
        Self::new(kind::EXTENDED).string(name)
    }

    pub(super) fn write(handle: &[u8], offset: u64, data: &[u8]) -> Self {
        Self::with_room(kind::WRITE, handle.len() + data.len() + 16).string(handle).u64(offset).string(data)
    }

    pub(super) fn string(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.put_slice(bytes);
        self
    }

    pub(super) fn u32(mut self, number: u32) -> Self {
        self.0.put_u32(number);
        self
    }

    pub(super) fn u64(mut self, number: u64) -> Self {
        self.0.put_u64(number);
        self
    }

    pub(super) fn no_attributes(self) -> Self {
        self.u32(0)
    }

    /// Seconds since 1970, of the last access and the last modification.
    pub(super) fn times(self, seconds: u32) -> Self {
        self.u32(TIMES).u32(seconds).u32(seconds)
    }

    pub(super) fn sealed(mut self, id: u32) -> Bytes {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0[5..9].copy_from_slice(&id.to_be_bytes());
        self.0.freeze()
    }
}

/// The first packet; it has no number.
pub(super) fn init() -> Bytes {
    let mut bytes = BytesMut::with_capacity(9);
    bytes.put_u32(5);
    bytes.put_u8(kind::INIT);
    bytes.put_u32(3);
    bytes.freeze()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Status(Status),
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Entry>),
    Attributes(Attributes),
    Extended(Bytes),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub code: u32,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Attributes {
    pub size: Option<u64>,
    pub permissions: Option<u32>,
    /// Seconds since 1970.
    pub modified: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: Bytes,
    pub attributes: Attributes,
}

impl Attributes {
    pub(super) fn is_file(&self) -> bool {
        // Some servers do not say; then it is what was asked for.
        self.permissions.is_none_or(|p| p & 0o170_000 == 0o100_000 || p & 0o170_000 == 0)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.permissions.is_some_and(|p| p & 0o170_000 == 0o040_000)
    }
}

/// The server speaks something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

/// Takes the next whole packet out of what has arrived, without its length.
pub(super) fn next(arrived: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
    let Some(length) = arrived.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length == 0 || length > MAX_PACKET {
        return Err(Malformed("a packet's length is impossible"));
    }
    if arrived.len() < 4 + length {
        arrived.reserve(4 + length - arrived.len());
        return Ok(None);
    }
    arrived.advance(4);
    Ok(Some(arrived.split_to(length).freeze()))
}

/// A reply and the number of its request.
pub(super) fn reply(packet: Bytes) -> Result<(u32, Reply), Malformed> {
    let mut rest = Reader(packet);
    let kind = rest.u8()?;
    let id = rest.u32()?;
    let reply = match kind {
        kind::STATUS => {
            let code = rest.u32()?;
            // The oldest servers send no text.
            let message = rest.string().map(|s| String::from_utf8_lossy(&s).into_owned()).unwrap_or_default();
            Reply::Status(Status { code, message })
        }
        kind::HANDLE => Reply::Handle(rest.string()?),
        kind::DATA => Reply::Data(rest.string()?),
        kind::NAME => {
            let count = rest.u32()?;
            let mut entries = Vec::new();
            for _ in 0..count {
                let name = rest.string()?;
                rest.string()?;
                entries.push(Entry { name, attributes: rest.attributes()? });
            }
            Reply::Names(entries)
        }
        kind::ATTRS => Reply::Attributes(rest.attributes()?),
        kind::EXTENDED_REPLY => Reply::Extended(rest.0),
        _ => return Err(Malformed("a reply's kind is unknown")),
    };
    Ok((id, reply))
}

/// The server's answer to [`init`]: what it can do beyond the protocol.
pub(super) fn version(packet: Bytes) -> Result<BTreeMap<String, String>, Malformed> {
    let mut rest = Reader(packet);
    if rest.u8()? != kind::VERSION {
        return Err(Malformed("the first packet is no version"));
    }
    if rest.u32()? < 3 {
        return Err(Malformed("its version is older than 3"));
    }
    let mut extensions = BTreeMap::new();
    while rest.0.has_remaining() {
        let (name, value) = (rest.string()?, rest.string()?);
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        extensions.insert(text(name), text(value));
    }
    Ok(extensions)
}

pub(super) struct Reader(pub Bytes);

const SHORT: Malformed = Malformed("a packet ends early");

impl Reader {
    fn u8(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| SHORT)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| SHORT)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64().map_err(|_| SHORT)
    }

    pub(super) fn string(&mut self) -> Result<Bytes, Malformed> {
        let length = self.u32()? as usize;
        if self.0.len() < length { Err(SHORT) } else { Ok(self.0.split_to(length)) }
    }

    fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.u32()?;
        let mut attributes = Attributes::default();
        if flags & SIZE != 0 {
            attributes.size = Some(self.u64()?);
        }
        if flags & OWNER != 0 {
            self.u64()?;
        }
        if flags & PERMISSIONS != 0 {
            attributes.permissions = Some(self.u32()?);
        }
        if flags & TIMES != 0 {
            self.u32()?;
            attributes.modified = Some(self.u32()?);
        }
        if flags & EXTENDED != 0 {
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(attributes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Byte for byte what the draft's tables say.
    #[test]
    fn requests_are_the_drafts() {
        let open = Request::new(kind::OPEN).string("a").u32(open::READ).no_attributes().sealed(7);
        assert_eq!(&open[..], [0, 0, 0, 18, 3, 0, 0, 0, 7, 0, 0, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 0]);
        let write = Request::write(&[0xff, 0], 258, b"xy").sealed(1);
        let expected =
            [0, 0, 0, 25, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2, b'x', b'y'];
        assert_eq!(&write[..], expected);
        assert_eq!(&init()[..], [0, 0, 0, 5, 1, 0, 0, 0, 3]);
    }

    #[test]
    fn replies_are_read_also_those_of_later_versions() {
        let status = [101, 0, 0, 0, 9, 0, 0, 0, 14, 0, 0, 0, 4, b'f', b'u', b'l', b'l', 0, 0, 0, 0];
        let full = Status { code: code::NO_SPACE, message: "full".into() };
        assert_eq!(reply(Bytes::copy_from_slice(&status)), Ok((9, Reply::Status(full))));
        // A handle is any bytes.
        let handle = [102, 0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0xfe];
        let expected = Reply::Handle(Bytes::from_static(&[0x80, 0xfe]));
        assert_eq!(reply(Bytes::copy_from_slice(&handle)), Ok((1, expected)));
        let attributes =
            [105, 0, 0, 0, 2, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x81, 0xa4, 0, 0, 0, 1, 0, 0, 0, 2];
        let (_, Reply::Attributes(found)) = reply(Bytes::copy_from_slice(&attributes)).unwrap() else {
            panic!()
        };
        assert_eq!(
            (found.size, found.modified, found.is_file(), found.is_folder()),
            (Some(256), Some(2), true, false)
        );
    }

    #[test]
    fn packets_come_in_any_pieces() {
        let mut stream = BytesMut::new();
        for _ in 0..2 {
            stream.extend_from_slice(&Request::new(kind::STATUS).u32(0).sealed(3));
        }
        let mut arrived = BytesMut::new();
        let mut packets = Vec::new();
        for byte in stream {
            arrived.put_u8(byte);
            packets.extend(next(&mut arrived).unwrap());
        }
        assert_eq!(packets.len(), 2);
        assert!(arrived.is_empty());
        assert!(next(&mut BytesMut::from(&b"SSH-2.0-This account is closed"[..])).is_err());
    }

    proptest! {
        /// A hostile server gets an error out of us, and no more memory than it has sent.
        #[test]
        fn noise_is_no_reply(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = reply(Bytes::from(bytes.clone()));
            let _ = version(Bytes::from(bytes.clone()));
            let _ = next(&mut BytesMut::from(&bytes[..]));
        }
    }
}
