use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// What has been told lately, so that trouble with one is no reason to tell the others again. In memory only: after a
/// restart somebody may be told twice, which [`Notify`](crate::Notify) allows.
#[derive(Debug)]
pub(crate) struct Told<T>(Mutex<VecDeque<T>>);

/// The relay repeats at most so many undelivered alerts at a time; with some room for several recipients each.
const REMEMBERED: usize = 1000;

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: PartialEq> Told<T> {
    pub(crate) fn holds(&self, it: &T) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(it)
    }

    pub(crate) fn add(&self, it: T) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() == REMEMBERED {
            told.pop_front();
        }
        told.push_back(it);
    }
}
