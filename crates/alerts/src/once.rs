use async_trait::async_trait;
use domain::Alert;

use crate::{
    Error, Notify,
    digest::Digest,
    id::{self, NewsId},
    told::Told,
};

/// Tells by a way only what it has not told yet. Of several ways ([`All`](crate::All)) one may fail, and the whole is
/// told again: then those that did not fail stay quiet.
#[derive(Debug)]
pub struct Once<N> {
    way: N,
    told: Told<NewsId>,
}

impl<N: Notify> Once<N> {
    pub fn new(way: N) -> Self {
        Self { way, told: Told::default() }
    }
}

#[async_trait]
impl<N: Notify> Notify for Once<N> {
    async fn tell(&self, alert: &Alert) -> Result<(), Error> {
        let news = id::of(alert);
        if self.told.holds(&news) {
            return Ok(());
        }
        self.way.tell(alert).await?;
        self.told.add(news);
        Ok(())
    }

    async fn digest(&self, digest: &Digest) -> Result<(), Error> {
        let news = id::of(&digest.as_alert());
        if self.told.holds(&news) {
            return Ok(());
        }
        self.way.digest(digest).await?;
        self.told.add(news);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use domain::{Severity, Timestamp};

    use super::*;
    use crate::{All, ErrorKind};

    #[derive(Debug, Default)]
    struct Counts {
        told: AtomicU32,
        fails: AtomicU32,
    }

    #[async_trait]
    impl Notify for Arc<Counts> {
        async fn tell(&self, _: &Alert) -> Result<(), Error> {
            if self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                return Err(Error::new(ErrorKind::Unavailable, "down"));
            }
            self.told.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    fn alert(key: &str) -> Alert {
        Alert {
            key: key.into(),
            severity: Severity::Info,
            service: "s".into(),
            subject: "s".into(),
            cause: "c".into(),
            next: "n".into(),
            recording: None,
            at: Timestamp(0),
        }
    }

    #[tokio::test]
    async fn those_that_were_told_stay_quiet_while_another_fails() {
        let (well, ill) = (Arc::new(Counts::default()), Arc::new(Counts::default()));
        ill.fails.store(2, Ordering::SeqCst);
        let all = All(vec![Arc::new(Once::new(well.clone())), Arc::new(Once::new(ill.clone()))]);
        for told in [false, false, true, true] {
            assert_eq!(all.tell(&alert("k")).await.is_ok(), told);
        }
        for counts in [&well, &ill] {
            assert_eq!(counts.told.load(Ordering::SeqCst), 1);
        }
        for news in [
            alert("other"),
            Alert { at: Timestamp(1), ..alert("k") },
            Alert { severity: Severity::Critical, ..alert("k") },
        ] {
            all.tell(&news).await.unwrap();
        }
        assert_eq!(well.told.load(Ordering::SeqCst), 4, "another key, time or severity is news");
        // What was forgotten is told again; what is remembered stays bounded.
        for i in 0..2_000 {
            all.tell(&alert(&i.to_string())).await.unwrap();
        }
        all.tell(&alert("k")).await.unwrap();
        assert_eq!(well.told.load(Ordering::SeqCst), 2_005);
    }
}
