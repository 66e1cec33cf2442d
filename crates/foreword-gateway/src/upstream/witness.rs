//! Whoever deals with an endpoint, and can tell how that went.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};

use super::ejection::Reports;
use super::endpoints::Address;
use super::state::{Admission, Trial};
use super::view::Slot;
use crate::observe::cluster::ClusterAccount;
use crate::policy::sticky::Token;
use crate::stream::shortage::is_our_own;

/// Somebody who deals with an endpoint, and tells how that goes.
#[derive(Debug)]
pub(crate) struct Witness {
    slot: Rc<Slot>,
    /// Where it is counted what becomes of it.
    pub(crate) account: Rc<ClusterAccount>,
    /// There while it decides whether others may come; told once.
    trial: Cell<Option<Trial>>,
}

impl Witness {
    pub(super) fn new(slot: Rc<Slot>, account: Rc<ClusterAccount>, admission: Admission) -> Self {
        let trial = match admission {
            Admission::Usual => None,
            Admission::Trial(trial) => Some(trial),
        };
        Self { slot, account, trial: Cell::new(trial) }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.slot.address
    }

    /// The address as text.
    pub(crate) fn name(&self) -> &str {
        &self.slot.name
    }

    /// By what a cookie names it, where the cluster has one.
    pub(crate) fn token(&self) -> Option<Token> {
        self.slot.token
    }

    fn reports(&self) -> &Reports {
        &self.slot.reports
    }

    /// Whether this decides about others. Whoever asks is about to say how.
    fn was_trial(&self) -> bool {
        self.trial.take().is_some()
    }

    /// A new connection was made.
    pub(crate) fn connected(&self) {
        self.account.connected();
        self.reports().connected();
    }

    /// The endpoint refused the connection, or could not be reached. Where we could not even try, that is not its fault.
    pub(crate) fn connect_failed(&self, error: &io::Error) {
        self.account.connect_failed();
        if is_our_own(error) {
            return;
        }
        self.reports().account.failed();
        self.reports().connect_failed(self.was_trial(), error);
    }

    /// The endpoint did not take the connection in time.
    pub(crate) fn connect_timed_out(&self, after: Duration) {
        self.reports().account.failed();
        self.account.connect_timed_out();
        let why = format_args!("no connection within {} s", after.as_secs_f32());
        self.reports().connect_failed(self.was_trial(), &why);
    }

    /// It takes connections, which is all that can be known before bytes come.
    pub(crate) fn took_it(&self) {
        self.reports().passed(self.was_trial());
    }

    /// It answered.
    pub(crate) fn answered(&self) {
        self.reports().answered(self.was_trial());
    }

    /// It answered with this status.
    pub(crate) fn answered_with(&self, status: u16) {
        if status >= 500 && self.reports().counts_server_errors() {
            self.reports().answer_failed(self.was_trial(), &format_args!("status {status}"));
        } else {
            self.answered();
        }
    }

    /// It took the connection and did not answer.
    pub(crate) fn did_not_answer(&self, why: &dyn fmt::Display) {
        self.reports().account.failed();
        self.reports().answer_failed(self.was_trial(), why);
    }

    /// Whether the endpoint lets its connections go, so that none is kept for later.
    pub(crate) fn is_draining(&self) -> bool {
        self.reports().state.is_draining()
    }

    /// After how long this connection must end, since its endpoint drains; `None` as long as it does not.
    pub(crate) fn drains_for(&self) -> Option<Duration> {
        self.reports().state.drains_for()
    }

    /// Its connection is over.
    pub(super) fn ended(&self) {
        self.reports().account.ended();
    }

    /// Somebody who stays to the end of what this one began and leaves; `None` where nobody wants to know it, or enough stay
    /// already to tell how the endpoint is.
    pub(super) fn successor(&self) -> Option<Successor> {
        let failures = self.reports().ejection?.failures;
        let staying = self.slot.staying.get();
        if staying >= failures.min(MOST_WHO_STAY) {
            return None;
        }
        self.slot.staying.set(staying + 1);
        Some(Successor(self.deputy()))
    }

    /// Somebody who tells in this one's place, and decides about others if this one did.
    pub(super) fn deputy(&self) -> Self {
        let (slot, account) = (Rc::clone(&self.slot), Rc::clone(&self.account));
        Self { slot, account, trial: Cell::new(self.trial.take()) }
    }

    /// What a deputy did not decide is for this one to decide again; for the first to say so, where there are several.
    pub(super) fn relieve(&self, deputy: &Self) {
        if let Some(trial) = deputy.trial.take() {
            self.trial.set(Some(trial));
        }
    }
}

/// A trial of which nothing is known is no trial: the next one who comes may try.
impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.reports().state.give_back(trial);
        }
    }
}

/// Whoever stays for somebody who left. He takes no place at the endpoint that others wait for.
#[derive(Debug)]
pub(super) struct Successor(Witness);

impl Successor {
    pub(super) fn witness(&self) -> &Witness {
        &self.0
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let staying = &self.0.slot.staying;
        staying.set(staying.get().saturating_sub(1));
    }
}

/// Clients that come and go must not have us connect without end: so many tell as well how an endpoint is.
const MOST_WHO_STAY: u32 = 8;
