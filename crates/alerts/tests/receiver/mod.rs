//! A receiver of webhooks: keeps what is posted, and answers as it is told.

use std::sync::{Arc, Mutex};

use alerts::contract::{Heard, People};
use async_trait::async_trait;
use domain::{Alert, Severity};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use testbed::Certificates;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

#[derive(Clone)]
pub struct Receiver {
    pub port: u16,
    posts: Arc<Mutex<Vec<Post>>>,
    answer: Arc<Mutex<String>>,
}

#[derive(Debug, Clone)]
pub struct Post {
    /// `POST /path HTTP/1.1`
    pub request: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Post {
    pub fn header(&self, name: &str) -> &str {
        let mut of = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = of.next().unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        assert_eq!(of.next(), None, "{name} is there once");
        value
    }
}

pub const YES: &str = "HTTP/1.1 204 No Content\r\n\r\n";

impl Receiver {
    /// Ends with the test's runtime.
    pub async fn start(tls: Option<&Certificates>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            port: listener.local_addr().unwrap().port(),
            posts: Arc::default(),
            answer: Arc::new(Mutex::new(YES.to_owned())),
        };
        let (receiver, acceptor) = (this.clone(), tls.map(acceptor));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (receiver, acceptor) = (receiver.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => receiver.serve(stream).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => receiver.serve(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        this
    }

    /// From now on. After an empty answer the connection stays open and says nothing.
    pub fn answer(&self, answer: &str) {
        *self.answer.lock().unwrap() = answer.to_owned();
    }

    /// What came since the last call.
    pub fn posts(&self) -> Vec<Post> {
        std::mem::take(&mut *self.posts.lock().unwrap())
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let headers: Vec<(String, String)> = lines[1..]
            .iter()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let post = Post { request: lines[0].clone(), headers, body: String::from_utf8(body).unwrap() };
        self.posts.lock().unwrap().push(post);
        let answer = self.answer.lock().unwrap().clone();
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        stream.shutdown().await.ok()
    }
}

fn acceptor(certificates: &Certificates) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificates.certificate()).unwrap().map(|c| c.unwrap());
    let key = PrivateKeyDer::from_pem_file(certificates.key()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[async_trait(?Send)]
impl People for Receiver {
    async fn heard(&mut self) -> Vec<Heard> {
        let heard = self.posts().into_iter().map(|post| {
            // A digest has no severity.
            let alert = serde_json::from_str::<Alert>(&post.body);
            Heard { severity: alert.map_or(Severity::Info, |a| a.severity), text: post.body }
        });
        heard.collect()
    }
}
