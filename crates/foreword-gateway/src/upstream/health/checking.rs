//! The checks of one endpoint, one after the other, and what follows from them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::once::{Fault, check_once};
use crate::observe::CheckResult;
use crate::policy::cluster::Cluster;
use crate::policy::health::{HealthCheck, Judge};
use crate::refusal::Code;
use crate::upstream::state::{Condition, EndpointState, Finding};

/// An endpoint that is checked until this is dropped, or nobody needs it any more.
#[derive(Debug)]
pub(super) struct Checking {
    pub(super) check: Arc<HealthCheck>,
    task: AbortHandle,
}

/// Who needs an endpoint to be checked: the newest cluster of its name, for as long as it lives.
pub(super) type NeededBy = Rc<RefCell<Weak<Cluster>>>;

impl Checking {
    pub(super) fn start(
        check: &Arc<HealthCheck>,
        state: Arc<EndpointState>,
        needed_by: NeededBy,
        seats: Rc<Semaphore>,
    ) -> Self {
        let task = spawn_local(keep_checking(Arc::clone(check), state, needed_by, seats)).abort_handle();
        Self { check: Arc::clone(check), task }
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_checking(
    check: Arc<HealthCheck>,
    state: Arc<EndpointState>,
    needed_by: NeededBy,
    seats: Rc<Semaphore>,
) {
    let mut judge = Judge::new(&check, state.condition() == Condition::Down);
    loop {
        let Some(cluster) = needed_by.borrow().upgrade() else { return };
        // Of the newest plan, and without keeping it alive.
        let tls = cluster.tls.clone();
        drop(cluster);
        // The seats are never taken away.
        let Ok(seat) = seats.acquire().await else { return };
        let outcome = check_once(&check, tls.as_ref(), &state.address).await;
        drop(seat);
        state.series.checked(match &outcome {
            Ok(()) => CheckResult::Passed,
            Err(Fault::TimedOut { .. }) => CheckResult::TimedOut,
            Err(_) => CheckResult::Failed,
        });
        if let Some(in_a_row) = judge.hear(outcome.is_ok()) {
            conclude(&state, outcome, in_a_row);
        }
        sleep(about(check.interval)).await;
    }
}

/// Makes known that an endpoint went down or came back.
fn conclude(state: &EndpointState, outcome: Result<(), Fault>, in_a_row: u32) {
    let cluster = state.cluster_name();
    let (address, times) = (&state.address, Times(in_a_row));
    match outcome {
        Ok(()) => {
            tracing::info!("cluster `{cluster}`: endpoint {address} is up again: its check passed {times}");
            state.found(Finding::Up);
        }
        Err(fault) => {
            tracing::warn!(
                "cluster `{cluster}`: endpoint {address} is down: its check failed {times}: {fault} [{}]",
                Code::EndpointDown
            );
            state.found(Finding::Down(fault.to_string()));
        }
    }
}

/// A tenth more or less: checks that began together do not stay together.
fn about(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + fastrand::f64() / 5.0)
}

struct Times(u32);

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            1 => f.write_str("once"),
            2 => f.write_str("twice"),
            more => write!(f, "{more} times in a row"),
        }
    }
}
