use std::time::Duration;

use suppaftp::Status;

use super::{Ftp, refused::Refused};
use crate::{Algorithm, Checksum, Error, Name};

/// Bytes a second that the slowest server hashes.
const SLOWEST: u64 = 10 << 20;

/// What the server says; `None` when it does not, whatever it promised.
pub(super) async fn of(at: &Ftp, name: &Name) -> Result<Option<Checksum>, Error> {
    let mut session = at.session().await?;
    let path = session.path(name);
    let failed = |e| at.blame.error("hash", name, e);
    let hash = session.features.hash.first().copied();
    let command = session.features.commands.first().copied();
    if hash.is_none() && command.is_none() {
        session.release();
        return Ok(None);
    }
    let Some((size, _)) = session.file(&path).await.map_err(failed)? else {
        session.release();
        return Err(Error::not_found(crate::Destination::name(at), name));
    };
    let patience = at.blame.options.patience + Duration::from_secs(size / SLOWEST);
    let mut found = None;
    // A better one by its own command is worth more than what `HASH` has.
    let by_hash = hash.filter(|hash| command.is_none_or(|(own, _)| rank(*hash) <= rank(own)));
    if let Some(algorithm) = by_hash {
        let said = async {
            session.ask(&format!("OPTS HASH {algorithm}"), &[Status::CommandOk]).await?;
            session.ask_within(patience, &format!("HASH {path}"), &[Status::File]).await
        };
        match said.await {
            // `213 SHA-256 0-49 <hash> <name>`: what it did, and not what it was asked for, counts.
            Ok(said) => found = answered(&said, algorithm, Some(size)),
            Err(Refused::Said { .. }) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    // How a quote in a name is to be written differs from server to server.
    let command = command.filter(|_| !path.contains('"'));
    if let (None, Some((algorithm, command))) = (&found, command) {
        let answers = [Status::RequestedFileActionOk, Status::File, Status::CommandOk];
        // Quoted, since a range may follow a name.
        match session.ask_within(patience, &format!("{command} \"{path}\""), &answers).await {
            Ok(said) => found = answered(&said, algorithm, None),
            Err(Refused::Said { .. }) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    session.release();
    Ok(found)
}

fn rank(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 0,
        Algorithm::Sha512 => 1,
        Algorithm::Sha1 => 2,
        Algorithm::Md5 => 3,
        Algorithm::Crc32 => 4,
    }
}

/// The hash in an answer: `HASH`'s says of which bytes, with the last one or the one behind it as the end.
fn answered(said: &str, algorithm: Algorithm, size: Option<u64>) -> Option<Checksum> {
    let mut words = said.split_whitespace().skip(1);
    let Some(size) = size else { return words.find_map(|word| Checksum::parse(algorithm, word)) };
    let theirs: Algorithm = words.next()?.parse().ok()?;
    let (from, to) = words.next()?.split_once('-')?;
    let to: u64 = to.parse().ok()?;
    let whole = from == "0" && (to == size || to + 1 == size);
    (theirs == algorithm && whole).then(|| Checksum::parse(algorithm, words.next()?))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_of_the_whole_file_or_none() {
        let md5 = "5d41402abc4b2a76b9719d911017c592";
        let answered = |said: &str, size| answered(said, Algorithm::Md5, size).map(|c| c.hex);
        assert_eq!(answered(&format!("213 MD5 0-4 {md5} a b"), Some(5)).as_deref(), Some(md5));
        assert_eq!(answered(&format!("213 MD5 0-5 {md5} a"), Some(5)).as_deref(), Some(md5));
        assert_eq!(answered(&format!("213 MD5 0-3 {md5} a"), Some(5)), None);
        assert_eq!(answered(&format!("213 MD5 1-4 {md5} a"), Some(5)), None);
        assert_eq!(answered(&format!("213 SHA-1 0-4 {md5} a"), Some(5)), None);
        assert_eq!(answered(&format!("250 {}", md5.to_uppercase()), None).as_deref(), Some(md5));
        assert_eq!(answered("250 none", None), None);
    }
}
