use std::{borrow::Cow, sync::Arc, time::Duration};

use russh::{
    Preferred, cipher,
    client::{self, AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse},
    keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKeyWithHashAlg, agent::client::AgentClient},
};

use super::{Auth, Options, session::Session};
use crate::{Error, ErrorKind, inert};

/// Connects, makes sure that the server is the one it should be, and only then says who we are.
pub(super) async fn connect(name: &str, options: &Options) -> Result<Session, Error> {
    let connecting = async {
        let mut connection = greet(name, options).await?;
        authenticate(name, options, &mut connection).await?;
        let lost = |e: russh::Error| unavailable(name, options, &e.to_string());
        let channel = connection.channel_open_session().await.map_err(lost)?;
        channel.request_subsystem(true, "sftp").await.map_err(lost)?;
        let (from, to) = channel.split();
        let session = Session::begin(connection, from, to, options.patience).await;
        session.map_err(|lost| unavailable(name, options, &lost.0))
    };
    match tokio::time::timeout(options.connect_within, connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            Err(unavailable(name, options, &format!("no connection within {:?}", options.connect_within)))
        }
    }
}

/// A server may have several keys and shows the one that suits what we can. Where the first is not the pinned one, it is asked
/// for those of other kinds before anybody is alarmed.
async fn greet(name: &str, options: &Options) -> Result<Handle<Keys>, Error> {
    let mut shown: Vec<String> = Vec::new();
    for kinds in [&KINDS[..], &KINDS[1..], &KINDS[4..]] {
        let seen = Arc::new(std::sync::Mutex::new(None));
        let keys = Keys { pinned: options.host_keys.clone(), seen: seen.clone() };
        let address = (options.host.as_str(), options.port);
        let error = match client::connect(config(options, kinds), address, keys).await {
            Ok(connection) => return Ok(connection),
            Err(e) => e,
        };
        let refused = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match (refused, error) {
            (Some(fingerprint), _) => {
                if !shown.contains(&fingerprint) {
                    shown.push(fingerprint);
                }
            }
            (None, russh::Error::NoCommonAlgo { .. }) if !shown.is_empty() => break,
            (None, russh::Error::NoCommonAlgo { kind, theirs, .. }) => {
                let message = format!(
                    "destination `{name}`: {} and we have no {kind:?} algorithm in common (it offers {}); have the server \
                     updated",
                    options.server(),
                    inert(&theirs.join(", "))
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            (None, error) => return Err(unavailable(name, options, &error.to_string())),
        }
    }
    Err(wrong_host_key(name, options, &shown))
}

/// Kinds of host keys, best first. SHA-1 signatures are not among them.
const KINDS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

fn config(options: &Options, kinds: &[Algorithm]) -> Arc<client::Config> {
    // ChaCha, the library's first choice, takes 1.8 times the processor's time where there is AES in hardware.
    const CIPHERS: &[cipher::Name] = &[
        cipher::AES_128_GCM,
        cipher::AES_256_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
    ];
    Arc::new(client::Config {
        preferred: Preferred {
            key: Cow::Owned(kinds.to_vec()),
            cipher: Cow::Borrowed(CIPHERS),
            ..Preferred::DEFAULT
        },
        window_size: 16 << 20,
        maximum_packet_size: 65_535,
        keepalive_interval: Some(options.patience.min(Duration::from_secs(15))),
        keepalive_max: 3,
        nodelay: true,
        ..client::Config::default()
    })
}

/// Lets pinned keys pass and remembers the one that was not.
pub(super) struct Keys {
    pinned: Vec<String>,
    seen: Arc<std::sync::Mutex<Option<String>>>,
}

impl Handler for Keys {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        // Certificates are not asked for.
        let russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let known = self.pinned.iter().any(|pinned| same_fingerprint(pinned, &fingerprint));
        if !known {
            let shown = format!("{fingerprint} ({})", key.algorithm());
            *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(shown);
        }
        Ok(known)
    }
}

/// People copy them with or without the prefix, and with padding.
fn same_fingerprint(pinned: &str, shown: &str) -> bool {
    let bare = |s: &str| s.trim().trim_start_matches("SHA256:").trim_end_matches('=').to_owned();
    let pinned = bare(pinned);
    !pinned.is_empty() && pinned == bare(shown)
}

async fn authenticate(name: &str, options: &Options, connection: &mut Handle<Keys>) -> Result<(), Error> {
    let broken = |e: russh::Error| unavailable(name, options, &e.to_string());
    let mut tried = Vec::new();
    let mut left = None;
    for auth in &options.auth {
        let result = match auth {
            Auth::Password(password) => {
                tried.push("password");
                by_password(connection, &options.user, password.expose()).await.map_err(broken)?
            }
            Auth::Key { key, passphrase } => {
                tried.push("publickey");
                let key = russh::keys::decode_secret_key(key.expose(), passphrase.as_ref().map(|p| p.expose()))
                    // The library's errors do not hold the key, and say little that helps.
                    .map_err(|_| {
                        let message = format!(
                            "destination `{name}`: its private key cannot be read: give it in OpenSSH's or PKCS#8's form, \
                             and its passphrase where it has one"
                        );
                        Error::new(ErrorKind::Invalid, message)
                    })?;
                let hash = connection.best_supported_rsa_hash().await.map_err(broken)?.flatten();
                let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash.or(Some(HashAlg::Sha512)));
                connection.authenticate_publickey(&options.user, key).await.map_err(broken)?
            }
            Auth::Agent { socket } => {
                tried.push("agent");
                by_agent(connection, &options.user, socket).await.map_err(|why| {
                    let message =
                        format!("destination `{name}`: the SSH agent does not help: {}", inert(&why));
                    Error::new(ErrorKind::Unavailable, message)
                })?
            }
        };
        match result {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => left = Some(remaining_methods),
        }
    }
    let methods = left.map_or_else(String::new, |left| format!("; it would take {left:?}"));
    let message = format!(
        "destination `{name}`: {} does not let user `{}` in (tried: {}){}; check the user, the password or the key there",
        options.server(),
        inert(&options.user),
        if tried.is_empty() { "nothing".to_owned() } else { tried.join(", ") },
        inert(&methods)
    );
    Err(Error::new(ErrorKind::Denied, message))
}

/// As a password, and where the server asks questions instead, as the answer to the one that it asks.
async fn by_password(
    connection: &mut Handle<Keys>,
    user: &str,
    password: &str,
) -> Result<AuthResult, russh::Error> {
    let result = connection.authenticate_password(user, password).await?;
    let AuthResult::Failure { remaining_methods, partial_success: false } = &result else {
        return Ok(result);
    };
    if !remaining_methods.contains(&russh::MethodKind::KeyboardInteractive) {
        return Ok(result);
    }
    let mut answer = connection.authenticate_keyboard_interactive_start(user, None).await?;
    // One question, and perhaps an empty round after it; whoever asks on wants something that we have not.
    for _ in 0..3 {
        match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                return Ok(AuthResult::Failure { remaining_methods, partial_success });
            }
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } if prompts.len() <= 1 => {
                let answers = prompts.iter().map(|_| password.to_owned()).collect();
                answer = connection.authenticate_keyboard_interactive_respond(answers).await?;
            }
            KeyboardInteractiveAuthResponse::InfoRequest { .. } => break,
        }
    }
    Ok(result)
}

async fn by_agent(
    connection: &mut Handle<Keys>,
    user: &str,
    socket: &std::path::Path,
) -> Result<AuthResult, String> {
    let mut agent = AgentClient::connect_uds(socket).await.map_err(|e| e.to_string())?;
    let identities = agent.request_identities().await.map_err(|e| e.to_string())?;
    let hash = connection.best_supported_rsa_hash().await.map_err(|e| e.to_string())?.flatten();
    let mut last = Err("it holds no key".to_owned());
    for identity in identities {
        let key = identity.public_key().into_owned();
        let hash = key.algorithm().is_rsa().then_some(hash.unwrap_or(HashAlg::Sha512));
        let result = connection.authenticate_publickey_with(user, key, hash, &mut agent).await;
        let result = result.map_err(|e| e.to_string())?;
        if result.success() {
            return Ok(result);
        }
        last = Ok(result);
    }
    last
}

fn wrong_host_key(name: &str, options: &Options, shown: &[String]) -> Error {
    let server = options.server();
    let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(" and ") };
    let message = if options.host_keys.is_empty() {
        format!(
            "destination `{name}`: {server} is not known: its key is {shown}. Ask whoever runs it whether that is right (not \
             over this connection), then pin it with `host_key`; nothing was sent"
        )
    } else {
        format!(
            "destination `{name}`: {server} shows the key {shown}, pinned is {}. Somebody may stand in between, or the server \
             has a new key: ask whoever runs it, then pin the new one with `host_key`; nothing was sent",
            inert(&options.host_keys.join(" or "))
        )
    };
    Error::new(ErrorKind::HostKeyChanged, message)
}

pub(super) fn unavailable(name: &str, options: &Options, why: &str) -> Error {
    let why = inert(why);
    let message = format!("destination `{name}`: {} does not answer as it should: {why}", options.server());
    Error::new(ErrorKind::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_compared_as_people_write_them() {
        let shown = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
        for same in [shown, " 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"] {
            assert!(same_fingerprint(same, shown), "{same}");
        }
        for other in ["", "SHA256:", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV", "47DEQpj8"] {
            assert!(!same_fingerprint(other, shown), "{other}");
        }
    }
}
