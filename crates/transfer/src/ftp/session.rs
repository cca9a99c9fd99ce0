use std::{pin::Pin, sync::Arc, time::Duration};

use domain::Timestamp;
use rustls::{ClientConfig, client::Resumption};
use suppaftp::{
    FtpError, FtpResult, Mode, Status,
    tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream},
    types::FileType,
};
use tokio::{net::TcpStream, time::timeout};

use super::{
    Tls,
    features::Features,
    listing,
    refused::{Blame, Refused},
    tickets::Tickets,
};
use crate::{Error, Name, reach, tls};

/// One logged-in connection. Its methods name files by their whole path on the server, see [`Session::path`].
pub(super) struct Session {
    ftp: AsyncRustlsFtpStream,
    /// Without a slash at its end.
    home: String,
    pub(super) features: Features,
    patience: Duration,
    tickets: Arc<Tickets>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Connecting {
    /// The server takes no TLS of this version.
    OtherVersion(Error),
    Failed(Error),
}

impl From<Error> for Connecting {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Connecting> for Error {
    fn from(connecting: Connecting) -> Self {
        let (Connecting::OtherVersion(error) | Connecting::Failed(error)) = connecting;
        error
    }
}

pub(super) type Data = TransferStream<AsyncRustlsStream>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
}

/// Which half of a rename was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rename {
    From,
    To,
}

const BEGINS: [Status; 2] = [Status::AboutToSend, Status::AlreadyOpen];

impl Session {
    pub(super) async fn connect(blame: &Blame, tls: Option<&ClientConfig>) -> Result<Self, Connecting> {
        let options = &blame.options;
        let addresses = options.server().addresses(&blame.name, options.patience).await?;
        let tickets = Arc::new(Tickets::default());
        let tls = tls.map(|tls| {
            let mut tls = tls.clone();
            tls.resumption = Resumption::store(tickets.clone());
            tls
        });
        let connected = within(options.patience, greet(blame, &addresses, tls)).await;
        let mut ftp = connected.map_err(|e| {
            // What rustls makes of the server's alert, in the only form that comes through.
            let other = matches!(&e, Refused::Broken(why) if why.contains("ProtocolVersion"));
            let error = blame.error("let in", &options.user, e);
            if other { Connecting::OtherVersion(error) } else { Connecting::Failed(error) }
        })?;
        // Best effort: a connection that is not kept alive is still one.
        let _ = reach::prepare(&*ftp.get_ref().await);
        // Whatever address the answer names, we talk to the server that we know.
        ftp.set_passive_nat_workaround(true);
        let patience = options.patience;
        let mut ftp = ftp.passive_stream_builder(move |address| data_connection(address, patience));
        let login = within(patience, ftp.login(options.user.as_str(), options.password.expose())).await;
        login.map_err(|e| blame.login(e))?;
        let mut this = Self {
            ftp,
            home: String::new(),
            features: Features::default(),
            patience,
            tickets: tickets.clone(),
        };
        this.settle_in(&options.root, options.tls)
            .await
            .map_err(|e| blame.error("prepare", "a connection", e))?;
        tickets.close();
        Ok(this)
    }

    /// It is good for no further data connection.
    pub(super) fn is_spent(&self) -> bool {
        self.tickets.are_spent()
    }

    async fn settle_in(&mut self, root: &str, tls: Tls) -> Result<(), Refused> {
        if tls == Tls::Implicit {
            // The library does so by itself after `AUTH` only.
            self.ask("PBSZ 0", &[Status::CommandOk]).await?;
            self.ask("PROT P", &[Status::CommandOk]).await?;
        }
        // Some do not know it, and some answer nonsense: then nothing is offered.
        self.features = match within(self.patience, self.ftp.feat()).await {
            Ok(said) => Features::of(said.iter().map(|(name, more)| (name.as_str(), more.as_deref()))),
            Err(Refused::Said { .. }) => Features::default(),
            Err(e) => return Err(e),
        };
        if self.features.utf8 {
            let on = within(self.patience, self.ftp.opts("UTF8", Some("ON"))).await;
            on.or_else(unless_broken)?;
        }
        let is_v6 = self.ftp.get_ref().await.peer_addr().is_ok_and(|a| a.ip().to_canonical().is_ipv6());
        // `PASV` can name no address of IPv6.
        let mode = if self.features.epsv || is_v6 { Mode::ExtendedPassive } else { Mode::Passive };
        self.ftp.set_mode(mode);
        within(self.patience, self.ftp.transfer_type(FileType::Binary)).await?;
        // A session stays in the folder that a listing needed: so every path is absolute.
        let at =
            if root.starts_with('/') { String::new() } else { within(self.patience, self.ftp.pwd()).await? };
        let (at, root) = (at.replace("\"\"", "\""), root.trim_matches('/'));
        self.home = match (at.trim_end_matches('/'), root) {
            (at, "") => at.to_owned(),
            (at, root) => format!("{at}/{root}"),
        };
        Ok(())
    }

    /// Of a file below the root.
    pub(super) fn path(&self, name: &Name) -> String {
        format!("{}/{}", self.home, name.as_str())
    }

    /// The root; `/`, where a server would not take an empty one.
    pub(super) fn home(&self) -> &str {
        &self.home
    }

    pub(super) async fn is_alive(&mut self) -> bool {
        within(self.patience.min(Duration::from_secs(5)), self.ftp.noop()).await.is_ok()
    }

    pub(super) async fn ask(&mut self, command: &str, answers: &[Status]) -> Result<String, Refused> {
        self.ask_within(self.patience, command, answers).await
    }

    pub(super) async fn ask_within(
        &mut self,
        patience: Duration,
        command: &str,
        answers: &[Status],
    ) -> Result<String, Refused> {
        let response = within(patience, self.ftp.custom_command(command, answers)).await?;
        // The last line is the answer, those before it are talk.
        let said = String::from_utf8_lossy(&response.body);
        Ok(said.trim().lines().last().unwrap_or_default().to_owned())
    }

    /// A file's size and time, if it is one.
    pub(super) async fn file(&mut self, path: &str) -> Result<Option<(u64, Option<Timestamp>)>, Refused> {
        if self.features.mlst {
            match within(self.patience, self.ftp.mlst(Some(path))).await {
                Ok(line) => match listing::facts(&line) {
                    Some(listing::Facts { kind: Some(Kind::File), size: Some(size), modified }) => {
                        return Ok(Some((size, modified)));
                    }
                    Some(listing::Facts { kind: Some(Kind::File), .. }) => {}
                    _ => return Ok(None),
                },
                Err(e) if is_absence(&e) => return Ok(None),
                Err(e) => lacking(e)?,
            }
        }
        let size = match self.ask(&format!("SIZE {path}"), &[Status::File]).await {
            Ok(said) => said.split_whitespace().nth(1).and_then(|n| n.parse().ok()),
            Err(e) if is_absence(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let Some(size) = size else { return Err(Refused::Broken("it does not tell a file's size".into())) };
        let modified = match self.ask(&format!("MDTM {path}"), &[Status::File]).await {
            Ok(said) => said.split_whitespace().nth(1).and_then(listing::time),
            Err(e) => unless_broken(e).map(|()| None)?,
        };
        Ok(Some((size, modified)))
    }

    pub(super) async fn kind(&mut self, path: &str) -> Result<Option<Kind>, Refused> {
        if self.features.mlst {
            match within(self.patience, self.ftp.mlst(Some(path))).await {
                Ok(line) => return Ok(listing::facts(&line).and_then(|facts| facts.kind)),
                Err(e) if is_absence(&e) => return Ok(None),
                Err(e) => lacking(e)?,
            }
        }
        if self.file(path).await?.is_some() {
            return Ok(Some(Kind::File));
        }
        match self.enter(path).await {
            Ok(()) => Ok(Some(Kind::Folder)),
            Err(e) => unless_broken(e).map(|()| None),
        }
    }

    pub(super) async fn enter(&mut self, folder: &str) -> Result<(), Refused> {
        let folder = if folder.is_empty() { "/" } else { folder };
        within(self.patience, self.ftp.cwd(folder)).await
    }

    pub(super) async fn make_folder(&mut self, folder: &str) -> Result<(), Refused> {
        within(self.patience, self.ftp.mkdir(folder)).await
    }

    pub(super) async fn delete(&mut self, path: &str) -> Result<(), Refused> {
        within(self.patience, self.ftp.rm(path)).await
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<(), (Rename, Refused)> {
        let begun = self.ask(&format!("RNFR {from}"), &[Status::RequestFilePending]).await;
        begun.map_err(|e| (Rename::From, e))?;
        let answers = [Status::RequestedFileActionOk, Status::CommandOk];
        let done = self.ask(&format!("RNTO {to}"), &answers).await;
        done.map_err(|e| (Rename::To, e))?;
        Ok(())
    }

    pub(super) async fn set_time(&mut self, path: &str, time: Timestamp) -> Result<(), Refused> {
        let time = listing::write_time(time);
        self.ask(&format!("MFMT {time} {path}"), &[Status::File, Status::CommandOk]).await.map(drop)
    }

    /// Begins a transfer at a place in the file.
    pub(super) async fn open(&mut self, command: &str, from: u64) -> Result<Data, Refused> {
        Ok(self.begin(command, from).await?.1)
    }

    /// The same, and what the server says to it.
    pub(super) async fn begin(&mut self, command: &str, from: u64) -> Result<(String, Data), Refused> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let opening = async {
            self.ftp.resume_transfer(from).await?;
            self.ftp.custom_data_command(command, &BEGINS).await
        };
        let (said, data) = within(self.patience, opening).await?;
        Ok((String::from_utf8_lossy(&said.body).trim_end().to_owned(), data))
    }

    /// Ends it: the server's word that it is complete.
    pub(super) async fn finish(&self, data: Data, patience: Duration) -> Result<(), Refused> {
        within(patience, data.finish()).await
    }
}

/// Until the server has said what it is, in secret where that was asked for.
async fn greet(
    blame: &Blame,
    addresses: &[std::net::SocketAddr],
    tls: Option<ClientConfig>,
) -> FtpResult<AsyncRustlsFtpStream> {
    let Some(config) = tls else { return AsyncRustlsFtpStream::connect(addresses).await };
    let connector = AsyncRustlsConnector::from(tls::connector(config));
    let host = &blame.options.host;
    if blame.options.tls == Tls::Implicit {
        return AsyncRustlsFtpStream::connect_secure_implicit(addresses, connector, host).await;
    }
    AsyncRustlsFtpStream::connect(addresses).await?.into_secure(connector, host).await
}

fn data_connection(
    address: std::net::SocketAddr,
    patience: Duration,
) -> Pin<Box<dyn Future<Output = FtpResult<TcpStream>> + Send + Sync>> {
    Box::pin(async move {
        let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "its data port does not answer");
        let connected = timeout(patience, TcpStream::connect(address)).await.map_err(late);
        let stream = connected.and_then(|done| done).map_err(FtpError::ConnectionError)?;
        reach::prepare(&stream).map_err(FtpError::ConnectionError)?;
        Ok(stream)
    })
}

pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = FtpResult<T>>,
) -> Result<T, Refused> {
    match timeout(patience, answer).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Refused::Late),
    }
}

/// That there is no such file; some servers say so with a code that means a name they do not like.
fn is_absence(refused: &Refused) -> bool {
    matches!(refused, Refused::Said { code: 450 | 501 | 550 | 553, .. })
}

/// Goes on where the server only lacks the command.
fn lacking(refused: Refused) -> Result<(), Refused> {
    match refused {
        Refused::Said { code: 500 | 502 | 504, .. } => Ok(()),
        e => Err(e),
    }
}

/// Goes on where it only said no.
fn unless_broken(refused: Refused) -> Result<(), Refused> {
    match refused {
        Refused::Said { .. } => Ok(()),
        e => Err(e),
    }
}
