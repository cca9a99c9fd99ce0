use domain::{Alert, Id};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum NewsTag {}
pub(crate) type NewsId = Id<NewsTag>;

/// The same news has the same id however often it is sent: whoever gets it twice can see that. What became worse within
/// the same moment is other news.
pub(crate) fn of(alert: &Alert) -> NewsId {
    let Alert { key, at, severity, .. } = alert;
    NewsId::derive(&[key.as_bytes(), &at.0.to_be_bytes(), severity.as_str().as_bytes()])
}

/// What all news of one cause have in common: a mail program shows them as one thread.
#[cfg(feature = "email")]
pub(crate) fn thread(alert: &Alert) -> NewsId {
    NewsId::derive(&[alert.key.as_bytes()])
}
