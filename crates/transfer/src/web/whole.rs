//! [`Destination::put`] where one request, or the last of several, makes a file: nothing shows before it, nothing is renamed after
//! it and nothing resumed.

use domain::Timestamp;

use super::upload::only;
use crate::{Body, Checked, Destination, Error, ErrorKind, Meta, Name, Put, Sent, Source, Verify, put};

/// Errors: `Exists`, when there is a file that is to stay.
pub(crate) async fn unless_there<D: Destination + ?Sized>(
    to: &D,
    name: &Name,
    put: &Put,
) -> Result<(), Error> {
    if !put.replace && !put.is_absent() && to.stat(name).await?.is_some() {
        return Err(Error::exists(to.name(), name));
    }
    Ok(())
}

/// It ends in an error, and before its last bytes, where it is not what it should be.
pub(crate) fn hashed(body: Body, name: &Name, put: &Put) -> Body {
    let (name, put) = (name.clone(), put.clone());
    let expected = put.expected;
    only(body, expected, move |found| put::changed_source(&name, &put, &found.sha256.to_string()))
}

/// What the file that was sent came to.
pub(crate) async fn arrived<D: Destination + ?Sized>(
    to: &D,
    name: &Name,
    source: &dyn Source,
    put: &Put,
    bytes: u64,
) -> Result<Sent, Error> {
    let (checked, modified) = match verify(to, name, source, put).await {
        // It is none that anybody should take for ours.
        Err(e) if e.kind() == ErrorKind::Corrupt => {
            if let Err(left) = to.remove(name).await {
                tracing::warn!(destination = to.name(), %name, error = %left, "a wrong file stays");
            }
            return Err(e);
        }
        done => done?,
    };
    let meta = Meta { name: name.clone(), size: put.expected.size, modified, hash: None };
    Ok(Sent { meta, bytes, resumed_from: 0, checked })
}

async fn verify<D: Destination + ?Sized>(
    to: &D,
    name: &Name,
    source: &dyn Source,
    put: &Put,
) -> Result<(Checked, Option<Timestamp>), Error> {
    if put.verify == Verify::None {
        return Ok((Checked::None, None));
    }
    let found = to.stat(name).await?.ok_or_else(|| put::vanished(to.name(), name))?;
    if found.size != put.expected.size {
        return Err(put::wrong_size(to.name(), name, found.size, put.expected.size));
    }
    let checked = match put.verify {
        Verify::Hash => put::compare(to, name, source, put).await?,
        _ => Checked::Size,
    };
    Ok((checked, found.modified))
}
