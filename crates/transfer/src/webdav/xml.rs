//! What `PROPFIND` answers, as values. Pure.

use domain::Timestamp;
use quick_xml::{
    events::Event,
    name::{Namespace, ResolveResult},
    reader::NsReader,
};

use crate::web::answer::date;

/// What a server says of a file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// As it stands there: a path or a URL, encoded.
    pub href: String,
    pub collection: bool,
    pub size: Option<u64>,
    pub modified: Option<Timestamp>,
    pub available: Option<u64>,
    pub used: Option<u64>,
}

/// The answer has five levels; more are nobody's honest answer.
const DEEPEST: usize = 32;
const DAV: Namespace<'_> = Namespace("DAV:");

/// Errors: why it is none.
pub(super) fn multistatus(xml: &[u8]) -> Result<Vec<Found>, &'static str> {
    let mut reader = NsReader::from_reader(xml);
    let mut state = State::default();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let (namespace, event) =
            reader.read_resolved_event_into(&mut buffer).map_err(|_| "it is no XML, or was cut off")?;
        let ours = namespace == ResolveResult::Bound(DAV);
        match event {
            Event::Start(tag) => state.open(ours, tag.local_name().as_ref())?,
            Event::Empty(tag) => {
                state.open(ours, tag.local_name().as_ref())?;
                state.close();
            }
            Event::End(_) => state.close(),
            Event::Text(text) => state.text.push_str(&text),
            Event::CData(text) => state.text.push_str(&text),
            // Those that every XML has, and characters by number. Others would have to be declared.
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref() {
                    Ok(Some(character)) => character,
                    _ => match &*reference {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err("it has an entity of its own"),
                    },
                };
                state.text.push(character);
            }
            Event::DocType(_) => return Err("it has a document type"),
            Event::Eof if !state.path.is_empty() => return Err("it was cut off"),
            Event::Eof => return if state.seen { Ok(state.all) } else { Err("it is no answer to PROPFIND") },
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
}

#[derive(Default)]
struct State {
    path: Vec<String>,
    text: String,
    all: Vec<Found>,
    found: Found,
    /// Of the properties at hand: they count when their status is 200.
    part: Found,
    is_ok: bool,
    seen: bool,
}

impl State {
    fn open(&mut self, ours: bool, name: &str) -> Result<(), &'static str> {
        if self.path.len() >= DEEPEST {
            return Err("it is too deep");
        }
        let name = if ours { name } else { "?" }.to_owned();
        self.text.clear();
        self.path.push(name);
        match self.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["multistatus"] => self.seen = true,
            ["multistatus", "response"] => self.found = Found::default(),
            ["multistatus", "response", "propstat"] => {
                self.part = Found::default();
                self.is_ok = false;
            }
            [.., "prop", "resourcetype", "collection"] => self.part.collection = true,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        match self.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["multistatus", "response"] if !self.found.href.is_empty() => {
                self.all.push(std::mem::take(&mut self.found));
            }
            ["multistatus", "response", "href"] => self.found.href = text.to_owned(),
            ["multistatus", "response", "propstat", "status"] => {
                self.is_ok = text.split(' ').nth(1) == Some("200");
            }
            ["multistatus", "response", "propstat"] if self.is_ok => self.found.take(&self.part),
            [.., "propstat", "prop", "getcontentlength"] => self.part.size = text.parse().ok(),
            [.., "propstat", "prop", "getlastmodified"] => self.part.modified = date(text),
            [.., "propstat", "prop", "quota-available-bytes"] => self.part.available = text.parse().ok(),
            [.., "propstat", "prop", "quota-used-bytes"] => self.part.used = text.parse().ok(),
            _ => {}
        }
        self.path.pop();
    }
}

impl Found {
    fn take(&mut self, part: &Found) {
        self.collection |= part.collection;
        self.size = self.size.or(part.size);
        self.modified = self.modified.or(part.modified);
        self.available = self.available.or(part.available);
        self.used = self.used.or(part.used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"<?xml version="1.0"?><!-- from sabre/dav -->
<d:multistatus xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:s="http://sabredav.org/ns">
 <d:response><d:href>/in/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype>
   <d:quota-available-bytes>100</d:quota-available-bytes><d:quota-used-bytes>23</d:quota-used-bytes>
   </d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>
  <d:propstat><d:prop><d:getcontentlength>7</d:getcontentlength></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>
 <d:response><d:href>/in/a&amp;b%20&#x63;.mp4</d:href><d:propstat><d:prop><d:resourcetype/><oc:getcontentlength>9</oc:getcontentlength>
   <d:getcontentlength>5</d:getcontentlength><d:getlastmodified>Tue, 14 Nov 2023 22:13:20 GMT</d:getlastmodified>
   </d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>
</d:multistatus>"#;

    #[test]
    fn an_answer_is_read_by_its_namespaces() {
        let folder = Found {
            href: "/in/".into(),
            collection: true,
            available: Some(100),
            used: Some(23),
            ..Found::default()
        };
        let file = Found {
            href: "/in/a&b%20c.mp4".into(),
            size: Some(5),
            modified: Some(Timestamp(1_700_000_000_000)),
            ..Found::default()
        };
        let expected = vec![folder, file];
        assert_eq!(multistatus(ANSWER.as_bytes()), Ok(expected.clone()));
        let other = ANSWER.replace("<d:", "<").replace("</d:", "</").replace("xmlns:d=", "xmlns=");
        assert_eq!(multistatus(other.as_bytes()), Ok(expected));
    }

    #[test]
    fn hostile_xml_is_refused() {
        let deep = format!(r#"<d:multistatus xmlns:d="DAV:">{}"#, "<d:prop>".repeat(100_000));
        let laughs = r#"<!DOCTYPE l [<!ENTITY a "aa">]><multistatus xmlns="DAV:"><response><href>&a;</href></response></multistatus>"#;
        let entity = r#"<multistatus xmlns="DAV:"><response><href>&a;</href></response></multistatus>"#;
        for (xml, why) in [
            (deep.as_str(), "too deep"),
            (laughs, "document type"),
            (entity, "entity"),
            ("<html><body/></html>", "no answer"),
            ("", "no answer"),
            (&ANSWER[..ANSWER.len() - 18], "cut off"),
            (&ANSWER[..ANSWER.len() - 5], "cut off"),
            (r#"<multistatus xmlns="DAV:"><response></href></multistatus>"#, "no XML"),
        ] {
            let refused = multistatus(xml.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{refused}: {}", xml.get(..60).unwrap_or(xml));
        }
    }
}
