use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_s3::{
    config::http::{HttpRequest, HttpResponse},
    primitives::{ByteStream, SdkBody},
};
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};

/// An HTTP client that writes down what is asked, and answers on cue otherwise than the server would.
///
/// It also mends what the emulator gets wrong and S3 does not, so that the real requests can be tested on it:
/// - it takes the checksum of the whole object, at the end of a multipart upload, for one of the parts' checksums: the
///   tap notes that checksum, for tests to compare, and passes the request on without it;
/// - where no versions are kept, an overwritten object keeps its tags: the tap removes them;
/// - it does not know `encoding-type` in lists of versions: the tap encodes the keys.
#[derive(Clone)]
pub struct Tap {
    inner: SharedHttpClient,
    state: Arc<State>,
}

struct State {
    keeps_versions: bool,
    seen: Mutex<Vec<Seen>>,
    cues: Mutex<Vec<(&'static str, u64, Cue)>>,
    /// Bytes of requests that are not answered yet, now and at most.
    sending: AtomicUsize,
    most: AtomicUsize,
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Seen {
    pub op: &'static str,
    pub headers: Vec<(String, String)>,
    pub uri: String,
    pub body: usize,
}

/// What happens to a request.
#[derive(Clone)]
pub enum Cue {
    /// It does not reach the server, which says so in its own words.
    Refuse { status: u16, code: &'static str },
    /// It reaches the server; the answer does not come back.
    LoseAnswer,
    /// Nothing happens, ever.
    Hang,
    /// One bit of the body flips on the way there.
    FlipRequest { at: usize },
    /// One bit of the body flips on the way back.
    FlipAnswer { at: usize },
    /// Where this text is first in the answer, there is that one.
    Swap(&'static str, &'static str),
    /// The answer is another one.
    Edit(Arc<dyn Fn(&mut HttpResponse) + Send + Sync>),
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Tap {
    pub fn new(keeps_versions: bool) -> Self {
        let state = State {
            keeps_versions,
            seen: Mutex::default(),
            cues: Mutex::default(),
            sending: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        };
        Self { inner: aws_smithy_http_client::Builder::new().build_http(), state: Arc::new(state) }
    }

    /// Cues for the `nth` such request from now (1 is the next one).
    pub fn on(&self, op: &'static str, nth: u64, cue: Cue) -> &Self {
        assert!(nth > 0 && OPS.contains(&op), "{op} is asked by nobody");
        let mut cues = self.state.cues.lock().unwrap();
        assert!(!cues.iter().any(|(of, at, _)| (*of, *at) == (op, nth)), "two cues for one {op}");
        cues.push((op, nth, cue));
        drop(cues);
        self
    }

    /// The next `n` such requests.
    pub fn on_next(&self, op: &'static str, n: u64, cue: &Cue) -> &Self {
        for nth in 1..=n {
            self.on(op, nth, cue.clone());
        }
        self
    }

    /// All requests of that kind so far.
    pub fn seen(&self, op: &str) -> Vec<Seen> {
        self.state.seen.lock().unwrap().iter().filter(|seen| seen.op == op).cloned().collect()
    }

    pub fn count(&self, op: &str) -> usize {
        self.seen(op).len()
    }

    /// All kinds of requests so far, in order.
    pub fn ops(&self) -> Vec<&'static str> {
        self.state.seen.lock().unwrap().iter().map(|seen| seen.op).collect()
    }

    /// As if nothing had been asked, and with no cues left.
    pub fn forget(&self) {
        self.state.seen.lock().unwrap().clear();
        let cues = std::mem::take(&mut *self.state.cues.lock().unwrap());
        assert!(cues.is_empty(), "{} cues were never played", cues.len());
    }

    /// Bytes of bodies that were on their way at once, at most.
    pub fn most_bytes(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }
}

pub fn edit(change: impl Fn(&mut HttpResponse) + Send + Sync + 'static) -> Cue {
    Cue::Edit(Arc::new(change))
}

pub fn header(name: &'static str, value: impl Into<String>) -> Cue {
    let value = value.into();
    edit(move |response| {
        response.headers_mut().insert(name, value.clone());
    })
}

impl HttpClient for Tap {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Tapped { inner, state: self.state.clone() })
    }
}

struct Tapped {
    inner: SharedHttpConnector,
    state: Arc<State>,
}

impl HttpConnector for Tapped {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, state) = (self.inner.clone(), self.state.clone());
        HttpConnectorFuture::new(async move {
            let op = op(&request);
            let body = request.body().bytes().map_or(0, <[u8]>::len);
            let cue = state.note(op, &request, body);
            let _sending = Sending::begin(&state, body);
            play(&inner, &state, op, request, cue).await
        })
    }
}

async fn play(
    inner: &SharedHttpConnector,
    state: &State,
    op: &'static str,
    mut request: HttpRequest,
    cue: Option<Cue>,
) -> Result<HttpResponse, ConnectorError> {
    match &cue {
        Some(Cue::Refuse { status, code }) => return Ok(refusal(*status, code)),
        Some(Cue::Hang) => std::future::pending().await,
        Some(Cue::FlipRequest { at }) => {
            let mut bytes = request.body().bytes().expect("a body in memory").to_vec();
            bytes[*at] ^= 1;
            *request.body_mut() = bytes.into();
        }
        _ => {}
    }
    let mut response = mended(inner, state, op, request).await?;
    match cue {
        Some(Cue::LoseAnswer) => return Err(ConnectorError::io("the answer was lost".into())),
        Some(Cue::FlipAnswer { at }) => {
            let mut bytes = collect(&mut response).await;
            bytes[at] ^= 1;
            *response.body_mut() = bytes.into();
        }
        Some(Cue::Swap(from, to)) => {
            let text = String::from_utf8(collect(&mut response).await).expect("text");
            assert!(text.contains(from), "no {from} in {text}");
            *response.body_mut() = text.replacen(from, to, 1).into_bytes().into();
            response.headers_mut().remove("content-length");
        }
        Some(Cue::Edit(change)) => change(&mut response),
        _ => {}
    }
    Ok(response)
}

impl State {
    fn note(&self, op: &'static str, request: &HttpRequest, body: usize) -> Option<Cue> {
        let headers = request.headers().iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        self.seen.lock().unwrap().push(Seen { op, headers, uri: request.uri().to_owned(), body });
        let mut cues = self.cues.lock().unwrap();
        for (_, left, _) in cues.iter_mut().filter(|(of, ..)| *of == op) {
            *left -= 1;
        }
        let due = cues.iter().position(|(of, left, _)| *of == op && *left == 0)?;
        Some(cues.remove(due).2)
    }
}

struct Sending<'a>(&'a State, usize);

impl<'a> Sending<'a> {
    fn begin(state: &'a State, bytes: usize) -> Self {
        let now = state.sending.fetch_add(bytes, Ordering::SeqCst) + bytes;
        state.most.fetch_max(now, Ordering::SeqCst);
        Self(state, bytes)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(self.1, Ordering::SeqCst);
    }
}

const OPS: &[&str] = &[
    "PutObject",
    "CopyObject",
    "GetObject",
    "HeadObject",
    "DeleteObject",
    "CreateMultipartUpload",
    "UploadPart",
    "UploadPartCopy",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "GetObjectTagging",
    "PutObjectTagging",
    "RestoreObject",
    "HeadBucket",
    "GetBucketVersioning",
    "GetBucketLifecycleConfiguration",
    "ListObjectVersions",
    "ListObjectsV2",
    "ListMultipartUploads",
];

fn op(request: &HttpRequest) -> &'static str {
    let (path, query) = path_and_query(request.uri());
    let is_object = path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let copies = request.headers().get("x-amz-copy-source").is_some();
    match (request.method(), is_object) {
        ("PUT", true) if has("partNumber") && copies => "UploadPartCopy",
        ("PUT", true) if has("partNumber") => "UploadPart",
        ("PUT", true) if has("tagging") => "PutObjectTagging",
        ("PUT", true) if copies => "CopyObject",
        ("PUT", true) => "PutObject",
        ("GET", true) if has("tagging") => "GetObjectTagging",
        ("GET", true) => "GetObject",
        ("HEAD", true) => "HeadObject",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
        ("POST", true) if has("restore") => "RestoreObject",
        ("HEAD", false) => "HeadBucket",
        ("GET", false) if has("versioning") => "GetBucketVersioning",
        ("GET", false) if has("lifecycle") => "GetBucketLifecycleConfiguration",
        ("GET", false) if has("versions") => "ListObjectVersions",
        ("GET", false) if has("uploads") => "ListMultipartUploads",
        ("GET", false) if has("list-type") => "ListObjectsV2",
        _ => "other",
    }
}

fn path_and_query(uri: &str) -> (&str, &str) {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
    path.split_once('?').unwrap_or((path, ""))
}

async fn mended(
    inner: &SharedHttpConnector,
    state: &State,
    op: &str,
    mut request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    if op == "CompleteMultipartUpload" {
        request.headers_mut().remove("x-amz-checksum-crc64nvme");
    }
    let written = matches!(op, "PutObject" | "CompleteMultipartUpload") && !state.keeps_versions;
    let uri = request.uri().to_owned();
    let mut response = inner.call(request).await?;
    if written && response.status().is_success() {
        let mut untag = HttpRequest::new(SdkBody::empty());
        untag.set_method("DELETE").expect("a method");
        untag.set_uri(format!("{}?tagging", uri.split('?').next().unwrap_or_default())).expect("a uri");
        inner.call(untag).await?;
    }
    if op == "ListObjectVersions" {
        let listed = String::from_utf8(collect(&mut response).await).expect("XML");
        *response.body_mut() = encode_keys(&listed).into_bytes().into();
        response.headers_mut().remove("content-length");
    }
    Ok(response)
}

fn encode_keys(xml: &str) -> String {
    let mut out = xml.replacen("<IsTruncated>", "<EncodingType>url</EncodingType><IsTruncated>", 1);
    for tag in ["Key", "NextKeyMarker"] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let pieces: Vec<&str> = out.split(&open).collect();
        let mut encoded = pieces[0].to_owned();
        for piece in &pieces[1..] {
            let (key, rest) = piece.split_once(&close).expect("it is closed");
            let key = key.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            encoded += &format!("{open}{}{close}{rest}", crate::s3::copying::percent_encode(&key));
        }
        out = encoded;
    }
    out
}

async fn collect(response: &mut HttpResponse) -> Vec<u8> {
    ByteStream::new(response.take_body()).collect().await.expect("a whole answer").to_vec()
}

fn refusal(status: u16, code: &str) -> HttpResponse {
    let text = match code {
        "" => String::new(),
        code => format!("<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"),
    };
    HttpResponse::new(StatusCode::try_from(status).expect("a status"), text.into_bytes().into())
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tapped")
    }
}
