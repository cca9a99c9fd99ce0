//! Doors that OpenSSH opens only to accounts of the system: a small server of ours lets in, and hands over to the real `sftp-server`.
#![expect(clippy::disallowed_methods, reason = "a server for tests")]

use std::{borrow::Cow, collections::HashMap, process::Stdio, sync::Mutex};

use russh::{
    Channel, ChannelId,
    keys::HashAlg,
    server::{self, ChannelOpenHandle, Handler, Msg, Response, Session},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, process::Command};

use super::*;

const PASSWORD: &str = "canary-pa55";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Password,
    /// It asks, in its own words.
    Question,
    /// It wants a one-time code besides, which nobody has.
    TwoQuestions,
}

struct Doorkeeper {
    door: Door,
    folder: PathBuf,
    channels: Mutex<HashMap<ChannelId, Channel<Msg>>>,
}

impl Handler for Doorkeeper {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<server::Auth, russh::Error> {
        let known = self.door == Door::Password && password == PASSWORD;
        Ok(if known { server::Auth::Accept } else { server::Auth::reject() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<server::Auth, russh::Error> {
        let prompts: &'static [(Cow<'static, str>, bool)] = match self.door {
            Door::Password => return Ok(server::Auth::reject()),
            Door::Question => &[(Cow::Borrowed("Your password, please: "), false)],
            Door::TwoQuestions => &[(Cow::Borrowed("Password: "), false), (Cow::Borrowed("Code: "), false)],
        };
        let Some(answers) = response else {
            let (name, instructions) = (Cow::Borrowed("door"), Cow::Borrowed(""));
            return Ok(server::Auth::Partial { name, instructions, prompts: Cow::Borrowed(prompts) });
        };
        let right = answers.map(|a| a.to_vec()).collect::<Vec<_>>() == [PASSWORD.as_bytes()];
        Ok(if right { server::Auth::Accept } else { server::Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.lock().unwrap().insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let channel = self.channels.lock().unwrap().remove(&id).expect("opened before");
        session.channel_success(id)?;
        let mut command = Command::new("/usr/lib/openssh/sftp-server");
        command.arg("-d").arg(&self.folder).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        tokio::spawn(async move {
            let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let (mut from, mut to) = tokio::io::split(channel.into_stream());
            let requests = async {
                let _ = tokio::io::copy(&mut from, &mut stdin).await;
                let _ = stdin.shutdown().await;
            };
            let answers = tokio::io::copy(&mut stdout, &mut to);
            let _ = tokio::join!(requests, answers);
            drop(child);
        });
        Ok(())
    }
}

async fn behind(door: Door, auth: Vec<Auth>) -> (Sftp, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let text = secret(&Sshd::shared().key("client"));
    let key = russh::keys::decode_secret_key(text.expose(), None).unwrap();
    let mut options = Options::new("127.0.0.1", "partner");
    options.host_keys = vec![key.public_key().fingerprint(HashAlg::Sha256).to_string()];
    options.auth = auth;
    let config = server::Config {
        auth_rejection_time: Duration::from_millis(10),
        keys: vec![key],
        ..Default::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    options.port = listener.local_addr().unwrap().port();
    let (config, root) = (Arc::new(config), folder.path().to_owned());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let keeper = Doorkeeper { door, folder: root.clone(), channels: Mutex::default() };
            let running = server::run_stream(config.clone(), stream, keeper);
            tokio::spawn(async move {
                if let Ok(session) = running.await {
                    let _ = session.await;
                }
            });
        }
    });
    (Sftp::new("partner", options), folder)
}

#[tokio::test]
async fn a_password_is_let_in_also_as_an_answer() {
    for door in [Door::Password, Door::Question] {
        let (to, folder) = behind(door, vec![Auth::Password(PASSWORD.into())]).await;
        let bytes = pattern(300_000);
        to.put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap_or_else(|e| panic!("{door:?}: {e}"));
        assert!(std::fs::read(folder.path().join("a")).unwrap() == bytes, "{door:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_second_question_are_denied() {
    for (door, password) in
        [(Door::Password, "canary-wrong"), (Door::Question, "canary-wrong"), (Door::TwoQuestions, PASSWORD)]
    {
        let (to, _folder) = behind(door, vec![Auth::Password(password.into())]).await;
        let error = to.check().await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{door:?}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn an_agents_keys_are_let_in() {
    let server = Sshd::shared();
    let agent = server.agent();
    let (to, _) = sftp(|o| o.auth = vec![Auth::Agent { socket: agent.socket() }]);
    to.check().await.unwrap();
    let (nobody, _) = sftp(|o| o.auth = vec![Auth::Agent { socket: "/nowhere".into() }]);
    let error = nobody.check().await.unwrap_err();
    assert!(error.to_string().contains("agent"), "{error}");
}
