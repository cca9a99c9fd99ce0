//! What opens a partner's door, by the name that the policy gives it: from the environment, from a file, from AWS Secrets Manager.

use std::{
    collections::BTreeMap,
    fmt, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use transfer::Secret;

/// Where secrets are looked for, in this order.
#[derive(Clone, Default)]
pub struct Secrets {
    /// By the variable's name without its beginning, [`Secrets::VARIABLE`].
    pub variables: BTreeMap<String, Secret>,
    pub folders: Vec<Folder>,
}

/// A folder with a file for each secret.
#[derive(Debug, Clone)]
pub struct Folder {
    pub path: PathBuf,
    /// systemd made it for this process alone, and its files may carry its group.
    pub of_systemd: bool,
}

/// What opens something. Which of these a secret has is its owner's business; what a protocol needs and does not find, it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub password: Option<Secret>,
    /// In OpenSSH's or PKCS#8's form.
    #[serde(default, deserialize_with = "secret")]
    pub private_key: Option<Secret>,
    #[serde(default, deserialize_with = "secret")]
    pub passphrase: Option<Secret>,
    #[serde(default, deserialize_with = "secret")]
    pub access_key_id: Option<Secret>,
    #[serde(default, deserialize_with = "secret")]
    pub secret_access_key: Option<Secret>,
    /// The whole of the JSON that Google makes for a service account.
    #[serde(skip)]
    pub service_account: Option<Secret>,
}

impl Secrets {
    pub const VARIABLE: &str = "VIDEOREC_SECRET_";
    /// Bytes: a key has some thousand.
    const LONGEST: u64 = 64 << 10;

    /// Errors: a clause that says what to do. It holds nothing of what was found.
    pub async fn get(&self, name: &str) -> Result<Keys, String> {
        if name.starts_with("arn:") {
            return Keys::parse(&of_aws(name).await?).map_err(|e| format!("secret `{name}` {e}"));
        }
        let variable = variable(name);
        if let Some(secret) = self.variables.get(&variable) {
            return Keys::parse(secret.expose()).map_err(|e| format!("{}{variable} {e}", Self::VARIABLE));
        }
        // Whoever writes the policy names a secret, and no file elsewhere.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.@+=-".contains(&b);
        if name.starts_with('.') || !name.bytes().all(plain) {
            return Err(format!(
                "`{name}` names no secret's file: letters, digits and `_.@+=-`, as in partner-sftp"
            ));
        }
        for folder in &self.folders {
            let path = folder.path.join(name);
            if let Some(text) = file(&path, folder.of_systemd)? {
                return Keys::parse(text.expose()).map_err(|e| format!("{} {e}", path.display()));
            }
        }
        let folders: Vec<_> = self.folders.iter().map(|f| f.path.join(name).display().to_string()).collect();
        let or = if folders.is_empty() {
            String::new()
        } else {
            format!(", or put it into {}", folders.join(" or "))
        };
        Err(format!("there is no secret `{name}`: set {}{variable}{or}", Self::VARIABLE))
    }
}

/// `partner-sftp`: `PARTNER_SFTP`.
fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

/// Nothing where there is no such file.
fn file(path: &Path, of_systemd: bool) -> Result<Option<Secret>, String> {
    let unreadable = |e: &std::io::Error| format!("cannot read {}: {e}", path.display());
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(&e)),
    };
    let others = if of_systemd { 0o007 } else { 0o077 };
    if metadata.permissions().mode() & others != 0 {
        return Err(format!("others may read {0}: `chmod 600 {0}`", path.display()));
    }
    if metadata.len() > Secrets::LONGEST {
        return Err(format!("{} is too large to be a secret", path.display()));
    }
    fs::read_to_string(path).map(|text| Some(Secret::new(text))).map_err(|e| unreadable(&e))
}

#[cfg(feature = "cloud")]
async fn of_aws(arn: &str) -> Result<String, String> {
    let sdk = crate::fleet::engines::sdk_config().await;
    let found = aws_sdk_secretsmanager::Client::new(&sdk).get_secret_value().secret_id(arn).send().await;
    let found = found.map_err(|e| {
        format!(
            "AWS does not give secret `{arn}`: {:#}; allow secretsmanager:GetSecretValue on it",
            crate::fleet::engines::sdk_error(&e)
        )
    })?;
    found.secret_string.ok_or_else(|| format!("secret `{arn}` is no text"))
}

#[cfg(not(feature = "cloud"))]
#[expect(clippy::unused_async, reason = "with the feature it connects")]
async fn of_aws(arn: &str) -> Result<String, String> {
    Err(format!("secret `{arn}` lies in AWS: this videorec was built without `--features cloud`"))
}

impl Keys {
    /// A password, a private key, or JSON with several. Errors: a clause that follows the secret's name.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim_start().starts_with('{') {
            #[derive(Deserialize)]
            struct OfGoogle {
                r#type: String,
            }
            if serde_json::from_str(text).is_ok_and(|it: OfGoogle| it.r#type == "service_account") {
                return Ok(Self { service_account: Some(Secret::new(text)), ..Self::default() });
            }
            // The parser's own error would show what it stumbled over.
            return serde_json::from_str(text).map_err(|e| {
                format!(
                    "begins like JSON and cannot be read (line {}): it has `username`, `password`, `private_key`, \
                     `passphrase`, `access_key_id` and `secret_access_key`, as far as they are needed",
                    e.line()
                )
            });
        }
        match text {
            "" => Err("is empty".into()),
            key if key.starts_with("-----BEGIN") => {
                Ok(Self { private_key: Some(Secret::new(format!("{key}\n"))), ..Self::default() })
            }
            password => Ok(Self { password: Some(Secret::new(password)), ..Self::default() }),
        }
    }
}

fn secret<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(d)?.map(Secret::new))
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("variables", &self.variables.keys())
            .field("folders", &self.folders)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder(dir: &Path) -> Secrets {
        let folders = vec![Folder { path: dir.to_owned(), of_systemd: false }];
        Secrets { folders, ..Secrets::default() }
    }

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn a_secret_is_found_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut secrets = in_folder(dir.path());
        let missing = secrets.get("partner-sftp").await.unwrap_err();
        assert!(
            missing.contains("VIDEOREC_SECRET_PARTNER_SFTP")
                && missing.contains(&*dir.path().to_string_lossy()),
            "{missing}"
        );
        write(&dir.path().join("partner-sftp"), "canary\n", 0o600);
        let found = secrets.get("partner-sftp").await.unwrap();
        assert_eq!(found, Keys { password: Some("canary".into()), ..Keys::default() });
        secrets.variables.insert("PARTNER_SFTP".into(), "-----BEGIN X-----\nabc".into());
        let found = secrets.get("partner-sftp").await.unwrap();
        assert_eq!(found.private_key.unwrap().expose(), "-----BEGIN X-----\nabc\n");
        assert!(!format!("{secrets:?}").contains("abc"));
    }

    #[tokio::test]
    async fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("outside"), "canary", 0o600);
        fs::create_dir(dir.path().join("in")).unwrap();
        for name in ["../outside", "/etc/hostname", ".hidden", "a/../../outside"] {
            let refused = in_folder(&dir.path().join("in")).get(name).await.unwrap_err();
            assert!(refused.contains("names no secret"), "{refused}");
        }
        for mode in [0o644, 0o640] {
            write(&dir.path().join("x"), "canary", mode);
            let refused = in_folder(dir.path()).get("x").await.unwrap_err();
            assert!(refused.contains("chmod 600") && !refused.contains("canary"), "{refused}");
        }
        let folders = vec![Folder { path: dir.path().to_owned(), of_systemd: true }];
        assert!(Secrets { folders, ..Secrets::default() }.get("x").await.is_ok());
    }

    #[test]
    fn several_come_as_json_and_mistakes_in_it_show_nothing() {
        let keys = Keys::parse(r#"{ "username": "drop", "private_key": "k", "passphrase": "p" }"#).unwrap();
        assert_eq!((keys.username.as_deref(), keys.passphrase), (Some("drop"), Some("p".into())));
        let google = Keys::parse(r#"{ "type": "service_account", "private_key": "k" }"#).unwrap();
        assert!(google.service_account.is_some() && google.private_key.is_none());
        for wrong in
            [r#"{ "passwrod": "canary" }"#, r#"{ "password": canary }"#, r#"{ "password": ["canary"] }"#]
        {
            let why = Keys::parse(wrong).unwrap_err();
            assert!(why.contains("`password`") && !why.contains("canary"), "{why}");
        }
        assert!(Keys::parse("\n").is_err());
    }
}
