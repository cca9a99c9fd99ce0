//! What happens to a library: what people do, what time does, and what breaks.

use std::fmt;

use storage::{ErrorKind, Fault, Op};
use worker::Point;

use crate::law::Law;

#[derive(Debug, Clone)]
pub struct Case {
    pub laws: Vec<Law>,
    /// Somebody has looked at the plan of the first one.
    pub seen: bool,
    pub history: Vec<Step>,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub what: Event,
    /// The next event happens while the work that follows from this one is under way.
    pub meanwhile: bool,
}

/// `of` names a recording, modulo how many there are that it makes a difference to; `at` a store.
#[derive(Debug, Clone)]
pub enum Event {
    Take {
        many: usize,
        cam: bool,
        tag: Option<&'static str>,
        aged_d: Option<i64>,
        padding: usize,
    },
    Hold {
        of: usize,
        name: &'static str,
    },
    Release {
        of: usize,
        name: Option<&'static str>,
    },
    /// Somebody says that it is so, or that it is not.
    Mark {
        of: usize,
        tag: &'static str,
        is: bool,
    },
    Undelete {
        of: usize,
        grace_d: i64,
    },
    Delete {
        of: usize,
        many: usize,
        trash_h: Option<i64>,
    },
    Move {
        of: usize,
        many: usize,
        to: usize,
        keep_d: i64,
    },
    Backup {
        of: usize,
        many: usize,
        to: usize,
    },
    Pass {
        minutes: i64,
    },
    Back {
        minutes: i64,
    },
    See,
    Law {
        of: usize,
        seen: bool,
    },
    /// The next so many calls of it fail like this.
    Trouble {
        at: usize,
        op: Op,
        nth: u64,
        fault: Fault,
    },
    /// A bit rots that lay there well, or the object vanishes.
    Damage {
        of: usize,
        at: usize,
        lost: bool,
    },
    Restart,
    /// The process ends when it comes there for the `nth` time.
    Kill {
        point: Point,
        nth: u32,
    },
    /// The process ends while it waits for that answer.
    KillIn {
        at: usize,
        op: Op,
        nth: u64,
    },
    Retry,
}

pub const STORES: [&str; 3] = [worker::LIBRARY_STORE, "replica", "attic"];

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = |at: &usize| STORES[*at];
        match self {
            Self::Take { many, cam, tag, aged_d, padding } => {
                write!(f, "{many} recordings come in, {} bytes and more each", 21 + padding)?;
                if *cam {
                    f.write_str(", below cam/")?;
                }
                if let Some(tag) = tag {
                    write!(f, ", tagged {tag}")?;
                }
                aged_d.map_or(Ok(()), |days| write!(f, ", recorded {days} days ago"))
            }
            Self::Hold { of, name } => write!(f, "hold {of} by `{name}`"),
            Self::Release { of, name } => write!(f, "release {of} of {}", name.unwrap_or("all holds")),
            Self::Mark { of, tag, is: true } => write!(f, "{of} is tagged {tag}"),
            Self::Mark { of, tag, is: false } => write!(f, "{of} is {tag} no more"),
            Self::Undelete { of, grace_d } => write!(f, "undelete {of}, kept for {grace_d} days"),
            Self::Delete { of, many, trash_h: None } => write!(f, "delete {many} from {of} on by hand"),
            Self::Delete { of, many, trash_h: Some(hours) } => {
                write!(f, "delete {many} from {of} on by hand, {hours} h in the trash")
            }
            Self::Move { of, many, to, keep_d } => {
                write!(
                    f,
                    "move {many} from {of} on to {} by hand, the former place kept for {keep_d} days",
                    store(to)
                )
            }
            Self::Backup { of, many, to } => write!(f, "backup {many} from {of} on to {} by hand", store(to)),
            Self::Pass { minutes } => write!(f, "{} pass", time(*minutes)),
            Self::Back { minutes } => write!(f, "the clock is set back by {}", time(*minutes)),
            Self::See => f.write_str("somebody looks at the plan"),
            Self::Law { of, seen } => {
                let seen = if *seen { "its plan was looked at" } else { "nobody has seen its plan" };
                write!(f, "policy {of} is put in force; {seen}")
            }
            Self::Trouble { at, op, nth, fault } => {
                let how = match fault {
                    Fault::Fail { kind: ErrorKind::Unavailable, .. } => "fails for the moment".to_owned(),
                    Fault::Fail { kind, .. } => format!("fails for good ({kind:?})"),
                    other => format!("meets {other:?}"),
                };
                write!(f, "call {nth} of {op:?} in {} from here {how}", store(at))
            }
            Self::Damage { of, at, lost: false } => write!(f, "a bit of {of} rots in {}", store(at)),
            Self::Damage { of, at, lost: true } => write!(f, "{of} vanishes from {}", store(at)),
            Self::Restart => f.write_str("the worker is stopped and started anew"),
            Self::Kill { point, nth } => {
                write!(f, "the worker is killed at {} number {nth} from here", point.name())
            }
            Self::KillIn { at, op, nth } => {
                write!(f, "the worker is killed in call {nth} of {op:?} in {} from here", store(at))
            }
            Self::Retry => f.write_str("what gave up is retried"),
        }
    }
}

fn time(minutes: i64) -> String {
    match minutes {
        m if m % (24 * 60) == 0 => format!("{} days", m / (24 * 60)),
        m if m % 60 == 0 => format!("{} hours", m / 60),
        m => format!("{m} minutes"),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.what, if self.meanwhile { "; meanwhile:" } else { "" })
    }
}

/// Policy files, and the history, an event a line.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, law) in self.laws.iter().enumerate() {
            writeln!(f, "# policy {n}\n{law}")?;
        }
        writeln!(f, "# history")?;
        let seen = if self.seen { "somebody has looked at its plan" } else { "nobody has seen its plan" };
        writeln!(f, " 0. policy 0 is in force; {seen}")?;
        for (n, step) in self.history.iter().enumerate() {
            writeln!(f, "{:2}. {step}", n + 1)?;
        }
        Ok(())
    }
}
