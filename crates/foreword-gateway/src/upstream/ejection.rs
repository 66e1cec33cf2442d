//! Endpoints that fail those who come: they are left alone for a while, which grows each time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::state::EndpointState;
use crate::observe::EndpointAccount;
use crate::policy::cluster::Ejection;
use crate::refusal::Code;

/// What one worker reports of an endpoint: how connections to it turn out.
#[derive(Debug)]
pub(crate) struct Reports {
    pub(super) state: Arc<EndpointState>,
    pub(super) account: EndpointAccount,
    pub(super) ejection: Option<Ejection>,
}

impl Reports {
    /// A connection was made.
    pub(super) fn connected(&self) {
        reset(&self.state.failed_connects);
    }

    /// An answer came. `was_trial`: the endpoint may take everybody again.
    pub(super) fn answered(&self, was_trial: bool) {
        reset(&self.state.failed_answers);
        self.passed(was_trial);
    }

    /// The endpoint is good again, if it was tried for that.
    pub(super) fn passed(&self, was_trial: bool) {
        if was_trial {
            let state = &self.state;
            state.readmit();
            tracing::info!(
                "cluster `{}`: endpoint {} is up again: it passed its trial",
                state.cluster_name(),
                state.address
            );
        }
    }

    /// A connection was not made.
    pub(super) fn connect_failed(&self, was_trial: bool, why: &dyn fmt::Display) {
        self.failed(&self.state.failed_connects, "connections", was_trial, why);
    }

    /// An answer did not come, or one that says that the server is at fault.
    pub(super) fn answer_failed(&self, was_trial: bool, why: &dyn fmt::Display) {
        self.failed(&self.state.failed_answers, "answers", was_trial, why);
    }

    /// Whether answers that say so count as failures.
    pub(super) fn counts_server_errors(&self) -> bool {
        self.ejection.is_some_and(|ejection| ejection.server_errors)
    }

    fn failed(&self, in_a_row: &AtomicU32, what: &str, was_trial: bool, why: &dyn fmt::Display) {
        let Some(ejection) = self.ejection else { return };
        let count = in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if was_trial {
            self.eject_again(&ejection, why);
        } else if count >= ejection.failures && self.state.ejected_until.load(Ordering::Relaxed) == 0 {
            in_a_row.store(0, Ordering::Relaxed);
            self.eject(&ejection, &format!("{count} failed {what} in a row, the last: {why}"));
        }
    }

    fn eject(&self, ejection: &Ejection, why: &str) {
        let state = &self.state;
        let Some(cluster) = state.cluster.upgrade() else { return };
        let mut duration = Duration::ZERO;
        let ejected = cluster.eject(ejection.max_share, || {
            duration = next_duration(state, ejection);
            state.leave_alone(duration, why.to_owned());
        });
        if ejected {
            self.tell(duration, why);
        } else {
            tracing::debug!(
                "cluster `{}`: endpoint {} is not ejected: `max_share` of the others are",
                cluster.name,
                state.address
            );
        }
    }

    /// It was out already, so there is nobody to ask.
    fn eject_again(&self, ejection: &Ejection, why: &dyn fmt::Display) {
        let duration = next_duration(&self.state, ejection);
        let why = format!("its trial failed: {why}");
        self.state.leave_alone(duration, why.clone());
        self.tell(duration, &why);
    }

    fn tell(&self, duration: Duration, why: &str) {
        let state = &self.state;
        state.series.is_up(false);
        state.series.ejected();
        tracing::warn!(
            "cluster `{}`: endpoint {} is ejected for {} s: {why} [{}]",
            state.cluster_name(),
            state.address,
            duration.as_secs_f32(),
            Code::EndpointEjected
        );
    }
}

/// Twice as long each time, up to a bound; each `time` that it has been good since makes up for one ejection.
fn next_duration(state: &EndpointState, ejection: &Ejection) -> Duration {
    let lived_down =
        state.usable_for().map_or(0, |good_for| good_for.as_millis() / ejection.time.as_millis().max(1));
    let before = state.ejections.load(Ordering::Relaxed);
    let before = before.saturating_sub(u32::try_from(lived_down).unwrap_or(u32::MAX));
    state.ejections.store(before.saturating_add(1), Ordering::Relaxed);
    ejection.time.saturating_mul(1 << before.min(MOST_DOUBLINGS)).min(ejection.max_time)
}

/// Nothing is written where nothing has failed: the line of memory stays with every worker.
fn reset(in_a_row: &AtomicU32) {
    if in_a_row.load(Ordering::Relaxed) > 0 {
        in_a_row.store(0, Ordering::Relaxed);
    }
}

/// A day in seconds is less than two to the seventeenth.
const MOST_DOUBLINGS: u32 = 17;

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;
    use crate::observe::Observer;
    use crate::policy::cluster::WhenAllDown;
    use crate::upstream::endpoints::Address;
    use crate::upstream::membership::{ClusterState, States};
    use crate::upstream::state::{Admission, Condition, Finding};

    /// An ejection ends when a real clock says so: this one after all tests.
    const EJECTION: Ejection = Ejection {
        failures: 3,
        server_errors: true,
        time: Duration::from_secs(3600),
        max_time: Duration::from_secs(3600),
        max_share: 50,
    };

    /// One whose end is waited for.
    const SHORT: Ejection = Ejection { time: Duration::from_millis(20), ..EJECTION };

    fn cluster(count: u16) -> (Arc<ClusterState>, Vec<Reports>) {
        let cluster = States::new(Observer::new(1)).cluster("app");
        let address = |port| Address::Inet(([127, 0, 0, 1], port).into());
        let members = cluster.has(&(1..=count).map(address).collect::<Vec<_>>(), WhenAllDown::default());
        let account = |state: &EndpointState| EndpointAccount::new(&state.series, 0);
        let reports =
            |state: Arc<EndpointState>| Reports { account: account(&state), state, ejection: Some(EJECTION) };
        (cluster, members.into_iter().map(reports).collect())
    }

    fn fail(reports: &Reports, times: u32) {
        (0..times).for_each(|_| reports.connect_failed(false, &"connection refused"));
    }

    fn condition(reports: &Reports) -> Condition {
        reports.state.condition()
    }

    /// Waits until the ejection is over, and takes the trial.
    fn trial(reports: &Reports) {
        while !reports.state.is_usable() {
            sleep(Duration::from_millis(1));
        }
        assert!(matches!(reports.state.admit(), Some(Admission::Trial(_))));
    }

    #[test]
    fn only_failures_in_a_row_eject() {
        let (_cluster, all) = cluster(2);
        fail(&all[0], 2);
        all[0].connected();
        fail(&all[0], 2);
        assert_eq!(condition(&all[0]), Condition::Up);
        fail(&all[0], 1);
        assert_eq!(condition(&all[0]), Condition::Ejected);
        assert!(!all[0].state.is_usable());
        assert_eq!(
            all[0].state.why().unwrap(),
            "3 failed connections in a row, the last: connection refused"
        );
    }

    #[test]
    fn connections_that_are_made_do_not_make_up_for_answers_that_do_not_come() {
        let (_cluster, all) = cluster(2);
        for _ in 0..3 {
            all[0].connected();
            all[0].answer_failed(false, &"the connection was closed");
        }
        assert_eq!(condition(&all[0]), Condition::Ejected);
    }

    #[test]
    fn after_its_time_one_connection_tries_it_and_decides() {
        let (_cluster, mut all) = cluster(4);
        all.iter_mut().take(2).for_each(|reports| reports.ejection = Some(SHORT));
        let [good, bad, ..] = &mut all[..] else { panic!("four endpoints") };
        for reports in [&*good, &*bad] {
            fail(reports, 3);
            trial(reports);
            assert!(!reports.state.is_usable(), "nobody else comes while it is tried");
            assert_eq!(reports.state.admit(), None);
        }
        bad.ejection = Some(EJECTION);
        bad.connect_failed(true, &"connection refused");
        assert_eq!(condition(bad), Condition::Ejected);
        good.answered(true);
        assert_eq!(condition(good), Condition::Up);
        assert_eq!(good.state.why(), None);
        assert_eq!(good.state.admit(), Some(Admission::Usual));
        assert!(good.state.usable_for().is_some(), "it may start slowly");
    }

    #[test]
    fn each_ejection_is_twice_as_long_up_to_a_bound_and_good_times_make_up_for_it() {
        let (_cluster, all) = cluster(1);
        let state = &all[0].state;
        let ejection =
            Ejection { time: Duration::from_secs(10), max_time: Duration::from_secs(60), ..EJECTION };
        let seconds: Vec<_> = (0..5).map(|_| next_duration(state, &ejection).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 60, 60]);
        state.ejections.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(next_duration(state, &ejection).as_secs(), 60);

        state.found(Finding::Down("away".into()));
        state.found(Finding::Up);
        state.ejections.store(2, Ordering::Relaxed);
        sleep(SHORT.time * 3);
        assert_eq!(next_duration(state, &SHORT), SHORT.time, "it has been good for longer than two times");
    }

    #[test]
    fn no_more_than_the_share_is_ejected() {
        let (_cluster, all) = cluster(4);
        all.iter().for_each(|reports| fail(reports, 3));
        let ejected = all.iter().filter(|reports| condition(reports) == Condition::Ejected).count();
        assert_eq!(ejected, 2);
        let (_cluster, single) = cluster(1);
        fail(&single[0], 30);
        assert_eq!(condition(&single[0]), Condition::Up, "there is nobody else");
    }

    #[test]
    fn what_its_check_says_and_what_those_who_came_say_must_both_be_good() {
        let (_cluster, all) = cluster(2);
        all[0].state.found(Finding::Down("expected status 200, found 500".into()));
        assert!(!all[0].state.is_usable());
        fail(&all[0], 3);
        all[0].state.found(Finding::Up);
        assert_eq!(condition(&all[0]), Condition::Ejected);
    }

    #[test]
    fn what_is_known_of_an_endpoint_outlives_the_plan_that_named_it() {
        let (cluster, all) = cluster(2);
        fail(&all[0], 3);
        let addresses: Vec<_> = all.iter().map(|reports| reports.state.address.clone()).collect();
        drop(all);
        let again = cluster.has(&addresses, WhenAllDown::default());
        assert_eq!(again[0].condition(), Condition::Ejected);
        cluster.has(&addresses[1..], WhenAllDown::default());
        drop(again);
        let back = cluster.has(&addresses, WhenAllDown::default());
        assert_eq!(back[0].condition(), Condition::Up, "it was gone in between");
    }

    #[test]
    fn a_trial_of_which_nothing_came_is_given_back_once() {
        let (_cluster, mut all) = cluster(2);
        all[0].ejection = Some(SHORT);
        fail(&all[0], 3);
        let state = &all[0].state;
        while !state.is_usable() {
            sleep(Duration::from_millis(1));
        }
        let Some(Admission::Trial(trial)) = state.admit() else { panic!("expected a trial") };
        assert!(!state.is_usable());
        state.give_back(trial);
        assert!(state.is_usable(), "the next may try at once");
        assert_eq!(condition(&all[0]), Condition::Ejected);
        // Later than the one before, so that they can be told apart.
        let next = loop {
            sleep(Duration::from_millis(2));
            let Some(Admission::Trial(next)) = state.admit() else { panic!("expected a trial") };
            if next != trial {
                break next;
            }
            state.give_back(next);
        };
        state.give_back(trial);
        assert!(!state.is_usable(), "another has come to try it, which is his to give back");
        state.give_back(next);
        all[0].answered(true);
        assert_eq!(condition(&all[0]), Condition::Up);
    }
}
