//! Exit codes, and errors that carry one.

use std::{fmt, process::ExitCode};

/// What the process's end says. Documented in `videorec --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Done = 0,
    /// Done, but not all is as asked: a file was refused, a recording did not become ready, a check failed.
    Partly = 1,
    /// The command line or the policy file is wrong; nothing was done.
    Usage = 2,
    /// No such library, recording or job.
    NotFound = 3,
    /// Another process works on the library.
    Busy = 4,
    /// The machine: disk, permissions, ffmpeg, a missing sandbox layer.
    Machine = 5,
}

pub const HELP: &str = "\
Exit codes:
  0  done
  1  done, but not all is as asked: a file refused, a recording not ready, a check failed
  2  the command line or the policy is wrong; nothing was done
  3  no such library, recording or job
  4  another process works on the library
  5  the machine: disk, permissions, ffmpeg, a missing sandbox layer

Environment:
  VIDEOREC_LIBRARY        the library's folder, as --library
  VIDEOREC_FFMPEG         the ffmpeg to use; VIDEOREC_FFPROBE likewise
  VIDEOREC_ALLOW_MISSING  sandbox layers to do without, as --allow-missing
  VIDEOREC_LOG            what to log, e.g. `info` or `worker=debug`; VIDEOREC_LOG_FORMAT=json for JSON lines
  VIDEOREC_WEBHOOK        where to post alerts, signed with VIDEOREC_WEBHOOK_SECRET (Standard Webhooks: whsec_...)
  VIDEOREC_SMTP           mail alerts by smtps://user@host, smtp://user@host (STARTTLS) or smtp+plain://localhost; with
                          VIDEOREC_SMTP_PASSWORD, VIDEOREC_MAIL_FROM, VIDEOREC_MAIL_TO (several with commas)
  NO_COLOR                no colours

Environment of a fleet (see `videorec work --help`):
  VIDEOREC_CATALOG        postgres://USER@HOST/DATABASE; with it, every command but `up` and `ingest` works on the fleet
  VIDEOREC_STORE          s3://BUCKET/PREFIX for what is made
  VIDEOREC_WATCH          s3://BUCKET/PREFIX whose objects are recordings; several with commas
  VIDEOREC_QUEUE_EVENTS   the queues' URLs; VIDEOREC_QUEUE_INTERACTIVE and VIDEOREC_QUEUE_BULK likewise
  VIDEOREC_TOPIC          the ARN of the SNS topic for alerts
  VIDEOREC_ECS_CLUSTER    where `videorec fleet` looks for workers, with VIDEOREC_ECS_SERVICE
  VIDEOREC_METRICS        `emf`: metrics as CloudWatch EMF on standard output instead of Prometheus' /metrics
  AWS_*                   region, credentials, endpoints: the AWS SDK's own";

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// An error with the exit code it stands for.
#[derive(Debug)]
pub struct Coded {
    code: Code,
    message: String,
}

impl Coded {
    pub fn error(code: Code, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code, message: message.into() })
    }
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Coded {}

impl Code {
    /// An error that names no code is the machine's.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(|e| e.downcast_ref::<Coded>()).map_or(Self::Machine, |c| c.code)
    }
}

/// Writes an error where a person or a program looks for it.
pub fn report(error: &anyhow::Error, json: bool) {
    if json {
        let object = serde_json::json!({ "error": format!("{error:#}"), "exit_code": Code::of(error) as u8 });
        eprintln!("{object}");
    } else {
        eprintln!("videorec: {error:#}");
    }
}
