//! What travels along: what the catalog knows of a recording, for people and programs elsewhere. Pure.

use std::io::Write as _;

use bytes::Bytes;
use domain::{Facts, Fields, Kind, MediaFacts, Sha256, StreamKind, Timestamp};
use quick_xml::{
    Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};
use serde::Serialize;

/// `NAME.json`. Fields are added and none is ever taken away or given another meaning; what is not known is null.
#[derive(Serialize)]
struct About<'a> {
    /// Of this shape.
    videorec_metadata: u32,
    id: String,
    title: &'a str,
    /// The name that it came under.
    name: &'a str,
    kind: Kind,
    recorded_at: Option<Timestamp>,
    accepted_at: Timestamp,
    tags: Vec<&'a str>,
    fields: &'a Fields,
    session: Option<String>,
    /// Of a track: whose it is.
    participant: Option<&'a str>,
    source: Bits,
    /// `source`, or the rendition's name.
    rendition: &'a str,
    /// What this lies beside.
    file: File<'a>,
    /// Of what this lies beside, as it was measured.
    media: Option<Media<'a>>,
}

#[derive(Serialize)]
struct Bits {
    bytes: u64,
    sha256: Sha256,
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    bytes: u64,
    sha256: Sha256,
}

#[derive(Serialize)]
struct Media<'a> {
    media_type: &'a str,
    duration_ms: u64,
    /// Bits per second.
    bit_rate: u64,
    streams: Vec<Stream<'a>>,
}

#[derive(Serialize)]
struct Stream<'a> {
    kind: StreamKind,
    codec: &'a str,
    language: Option<&'a str>,
    /// Pixels as they are displayed.
    width: Option<u32>,
    height: Option<u32>,
    sample_rate: Option<u32>,
    channels: Option<u16>,
}

/// What is described: the file that leaves and whose it is.
pub(crate) struct Subject<'a> {
    pub facts: &'a Facts,
    /// `source`, or the rendition's name.
    pub rendition: &'a str,
    /// Of the file that leaves.
    pub media: Option<&'a MediaFacts>,
    pub digest: &'a domain::Digest,
    /// The file's own name there, without folders.
    pub file: &'a str,
    pub participant: Option<&'a str>,
}

pub(crate) fn json(of: &Subject<'_>) -> Bytes {
    let it = &of.facts.recording;
    let about = About {
        videorec_metadata: 1,
        id: it.id.to_string(),
        title: &it.title,
        name: &it.name,
        kind: it.kind,
        recorded_at: it.recorded_at,
        accepted_at: it.accepted_at,
        tags: it.tags.iter().map(String::as_str).collect(),
        fields: &it.fields,
        session: it.session.map(|s| s.to_string()),
        participant: of.participant,
        source: Bits { bytes: it.digest.size, sha256: it.digest.sha256 },
        rendition: of.rendition,
        file: File { name: of.file, bytes: of.digest.size, sha256: of.digest.sha256 },
        media: of.media.map(media),
    };
    let mut text = serde_json::to_vec_pretty(&about).expect("plain data");
    text.push(b'\n');
    text.into()
}

fn media(facts: &MediaFacts) -> Media<'_> {
    let streams = facts.streams.iter().map(|s| {
        let turned = s.video.as_ref().is_some_and(|v| v.rotation % 180 == 90);
        let size = s.video.as_ref().map(|v| if turned { (v.height, v.width) } else { (v.width, v.height) });
        Stream {
            kind: s.kind,
            codec: &s.codec,
            language: s.language.as_deref(),
            width: size.map(|s| s.0),
            height: size.map(|s| s.1),
            sample_rate: s.audio.as_ref().map(|a| a.sample_rate),
            channels: s.audio.as_ref().map(|a| a.channels),
        }
    });
    Media {
        media_type: &facts.media_type,
        duration_ms: facts.duration_ms,
        bit_rate: facts.bit_rate,
        streams: streams.collect(),
    }
}

/// `NAME.dc.xml`: Dublin Core as OAI-PMH has it. <https://www.openarchives.org/OAI/2.0/guidelines-oai_dc.htm>
pub(crate) fn dublin_core(of: &Subject<'_>) -> Bytes {
    let it = &of.facts.recording;
    let id = it.id.to_string();
    let sha256 = format!("urn:sha256:{}", of.digest.sha256);
    let date = it.dated().to_string();
    let session = it.session.map(|s| s.to_string());
    let kind = match (it.kind, of.media) {
        (Kind::Session, _) => "Collection",
        (_, Some(m)) if m.media_type.starts_with("audio/") => "Sound",
        _ => "MovingImage",
    };
    let mut elements = vec![("title", it.title.as_str()), ("identifier", &id), ("identifier", &sha256)];
    elements.extend([("date", date.as_str()), ("type", kind), ("source", it.name.as_str())]);
    elements.extend(of.media.map(|m| ("format", m.media_type.as_str())));
    elements.extend(it.tags.iter().map(|tag| ("subject", tag.as_str())));
    let fields: Vec<String> = it.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    elements.extend(fields.iter().map(|field| ("description", field.as_str())));
    elements.extend(of.participant.map(|p| ("contributor", p)));
    elements.extend(session.as_deref().map(|s| ("relation", s)));
    written(&elements).expect("memory takes it")
}

fn written(elements: &[(&str, &str)]) -> std::io::Result<Bytes> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let root = BytesStart::new("oai_dc:dc").with_attributes([
        ("xmlns:oai_dc", "http://www.openarchives.org/OAI/2.0/oai_dc/"),
        ("xmlns:dc", "http://purl.org/dc/elements/1.1/"),
    ]);
    xml.write_event(Event::Start(root))?;
    for (name, value) in elements {
        let value: String = value.chars().map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect();
        xml.create_element(format!("dc:{name}")).write_text_content(BytesText::new(&value))?;
    }
    xml.write_event(Event::End(BytesEnd::new("oai_dc:dc")))?;
    let mut text = xml.into_inner();
    text.write_all(b"\n")?;
    Ok(text.into())
}

/// What XML 1.0 can hold at all, escaped or not.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::samples;

    fn subject<'a>(facts: &'a Facts, digest: &'a domain::Digest) -> Subject<'a> {
        Subject {
            facts,
            rendition: "source",
            media: None,
            digest,
            file: "Weekly call.webm",
            participant: Some("Ana"),
        }
    }

    /// The documented shape: keys are added, and none changes.
    #[test]
    fn the_json_has_the_keys_that_it_is_documented_to_have() {
        let (facts, digest) = (samples::facts("call/ana.webm"), samples::digest(7));
        let value: serde_json::Value = serde_json::from_slice(&json(&subject(&facts, &digest))).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        let mut expected = vec![
            "videorec_metadata",
            "id",
            "title",
            "name",
            "kind",
            "recorded_at",
            "accepted_at",
            "tags",
            "fields",
            "session",
            "participant",
            "source",
            "rendition",
            "file",
            "media",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(value["recorded_at"], "2026-03-01T09:30:00Z");
        assert_eq!((&value["file"]["bytes"], &value["source"]["bytes"]), (&7.into(), &3.into()));
        assert_eq!(value["tags"], serde_json::json!(["call", "legal"]));
        assert_eq!(value["fields"], serde_json::json!({ "case": "A-17" }));
    }

    #[test]
    fn the_xml_is_inert_whatever_people_call_their_recordings() {
        let (mut facts, digest) = (samples::facts("call/ana.webm"), samples::digest(7));
        facts.recording.title = "]]><!ENTITY x>&\"'\u{0}\u{b}\u{ffff}".into();
        facts.recording.tags.insert("</dc:subject><script>".into());
        let xml = dublin_core(&subject(&facts, &digest));
        let text = std::str::from_utf8(&xml).unwrap();
        assert!(
            text.contains(
                "<dc:title>]]&gt;&lt;!ENTITY x&gt;&amp;&quot;&apos;\u{fffd}\u{fffd}\u{fffd}</dc:title>"
            ),
            "{text}"
        );
        assert!(!text.contains("<script>"), "{text}");
        let mut reader = quick_xml::Reader::from_str(text);
        let mut starts = 0;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(_) => starts += 1,
                Event::Eof => break,
                _ => {}
            }
        }
        // Title, two identifiers, date, type, source, three subjects, a description, contributor; and the root.
        assert_eq!(starts, 12, "{text}");
    }
}
