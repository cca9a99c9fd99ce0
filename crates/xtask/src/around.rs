//! What a fleet finds around it, wholly on this machine: an emulator of S3, SQS and SNS, a PostgreSQL, and in them what
//! `demo/cloud.py` makes with the ordinary AWS SDK: a bucket that notifies a queue, a queue for each lane, a topic.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use testbed::{Ministack, Postgres};

use crate::{
    run::{root, target},
    setup,
};

pub struct Around {
    pub aws: Ministack,
    /// Python with the AWS SDK.
    pub python: PathBuf,
    /// Another server for S3 than the emulator.
    pub s3: Option<String>,
    binary: PathBuf,
    catalog: String,
    /// What the script says that a worker wants.
    environment: Vec<(String, String)>,
    /// Ends with us.
    _database: Postgres,
}

/// Installs what is missing, so that a start does not take minutes.
pub fn install() {
    testbed::ensure_boto3();
    testbed::ensure_ministack();
    testbed::ensure_postgres();
}

impl Around {
    /// `profile`: which of cargo's builds of `videorec` it is for, `debug` or `release`.
    pub fn start(profile: &str) -> Result<Self, String> {
        let database = Postgres::start();
        let mut around = Self {
            aws: Ministack::start(),
            python: testbed::ensure_boto3(),
            s3: None,
            binary: target().join(profile).join("videorec"),
            catalog: database.database(),
            environment: Vec::new(),
            _database: database,
        };
        let said = around.script(&["setup"])?;
        let pairs = said.lines().filter_map(|l| l.split_once('='));
        around.environment = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Ok(around)
    }

    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub fn variable(&self, name: &str) -> Result<&str, String> {
        let found = self.environment.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| format!("cloud.py did not say {name}"))
    }

    /// A program that talks to the emulator as if it were AWS.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("AWS_ENDPOINT_URL", self.aws.endpoint())
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some(endpoint) = &self.s3 {
            command.env("AWS_ENDPOINT_URL_S3", endpoint);
        }
        command
    }

    pub fn script(&self, args: &[&str]) -> Result<String, String> {
        let mut command = self.command(&self.python);
        command.arg(root().join("crates/xtask/src/demo/cloud.py")).args(args).stderr(Stdio::inherit());
        let out = command.output().map_err(|e| format!("python did not start: {e}"))?;
        if !out.status.success() {
            return Err(format!("cloud.py {args:?} failed: {}", out.status));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// The binary, pointed at this fleet.
    pub fn videorec(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.binary);
        command.envs(self.environment.iter().cloned()).env("VIDEOREC_CATALOG", &self.catalog).args(args);
        setup::without_layers(&mut command);
        command
    }

    /// A worker that is ready to be started: it works in `scratch`, and `log` is what it says.
    pub fn worker(&self, scratch: &Path, log: &Path) -> Result<Command, String> {
        let said = File::create(log).map_err(|e| format!("cannot make {}: {e}", log.display()))?;
        let mut command = self.videorec(&["work", "--listen", "127.0.0.1:0", "--scratch"]);
        command.arg(scratch).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        Ok(command)
    }
}

/// Asks it to end as ECS does.
pub fn terminate(process: &Child) -> Result<(), String> {
    let told = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
    told.map(drop).map_err(|e| format!("kill did not start: {e}"))
}
