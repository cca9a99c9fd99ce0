use async_trait::async_trait;
use domain::{Alert, Severity};
use tracing::{error, info, warn};

use crate::{Error, Notify};

/// Tells whoever reads the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

#[async_trait]
impl Notify for Log {
    async fn tell(&self, alert: &Alert) -> Result<(), Error> {
        macro_rules! tell {
            ($level:ident) => {
                $level!(
                    alert.key,
                    alert.service,
                    recording.id = alert.recording.map(tracing::field::display),
                    cause = alert.cause,
                    next = alert.next,
                    "{}",
                    alert.subject
                )
            };
        }
        match alert.severity {
            Severity::Info => tell!(info),
            Severity::Warning => tell!(warn),
            Severity::Critical => tell!(error),
        }
        Ok(())
    }
}
