use std::sync::{Mutex, PoisonError};

use rustls::{
    NamedGroup,
    client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
};

/// What resumes one control connection's TLS session.
///
/// Servers take a data connection for ours when it resumes that very session, and refuse one that resumes a data connection's. So
/// only what the control connection was given is kept. With TLS 1.2 that is good for any number of data connections. With TLS 1.3
/// each ticket is shown once, and there are two, as a rule.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    closed: bool,
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Vec<Tls13ClientSessionValue>,
    /// There were some.
    is_tls13: bool,
}

/// More than any server sends by itself.
const MOST: usize = 16;

impl Tickets {
    /// Nothing is kept any more from here on: the control connection has said who it is, and data connections follow.
    pub(super) fn close(&self) {
        self.with(|kept| kept.closed = true);
    }

    /// Whether a further data connection could not show that it is ours.
    pub(super) fn are_spent(&self) -> bool {
        self.with(|kept| kept.is_tls13 && kept.tls13.is_empty())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, act: impl FnOnce(&mut Kept)) {
        self.with(|kept| {
            if !kept.closed {
                act(kept);
            }
        });
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.with(|kept| kept.group = Some(group));
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(|kept| kept.group)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.keep(|kept| kept.tls12 = Some(value));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(|kept| kept.tls12.clone())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.with(|kept| kept.tls12 = None);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.keep(|kept| {
            kept.is_tls13 = true;
            if kept.tls13.len() < MOST {
                kept.tls13.push(value);
            }
        });
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(|kept| kept.tls13.pop())
    }
}
