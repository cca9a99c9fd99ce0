use async_trait::async_trait;
use domain::{Alert, Severity};
use tracing::{error, info, warn};

use crate::{Error, Notify, render};

/// Tells whoever reads the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

#[async_trait]
impl Notify for Log {
    async fn tell(&self, alert: &Alert) -> Result<(), Error> {
        let alert = render::tame(alert);
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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::Value;
    use tracing::subscriber::DefaultGuard;

    use super::*;
    use crate::contract::{Heard, People, Subject};

    /// Reads what is logged in this thread.
    struct Reader {
        written: Written,
        _guard: DefaultGuard,
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[async_trait(?Send)]
    impl People for Reader {
        async fn heard(&mut self) -> Vec<Heard> {
            let written = std::mem::take(&mut *self.written.0.lock().unwrap());
            let lines = str::from_utf8(&written).unwrap().lines();
            lines
                .map(|line| {
                    let event: Value = serde_json::from_str(line).unwrap();
                    let severity = match event["level"].as_str().unwrap() {
                        "INFO" => Severity::Info,
                        "WARN" => Severity::Warning,
                        "ERROR" => Severity::Critical,
                        level => panic!("{level}"),
                    };
                    let fields = event["fields"].as_object().unwrap().values();
                    Heard {
                        severity,
                        text: fields.map(|v| v.as_str().unwrap()).collect::<Vec<_>>().join("\n"),
                    }
                })
                .collect()
        }
    }

    async fn subject() -> Subject {
        let written = Written::default();
        let writer = written.clone();
        let log = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let people = Reader { written, _guard: tracing::subscriber::set_default(log) };
        Subject { notify: Arc::new(Log), people: Box::new(people) }
    }
    crate::contract!(subject);
}
