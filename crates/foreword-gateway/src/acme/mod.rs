//! Certificates that take care of themselves: obtained from a CA by ACME, renewed before they end, kept on disk.

mod due;
mod http;
mod order;
mod state;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{Account, CertificateIdentifier, Error, NewAccount};
use rustls_pki_types::CertificateDer;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, timeout};

use self::due::{Window, rest};
use self::http::Caller;
use self::order::{Issued, OrderError, Wanted, asking, is, order, told};
use self::state::{State, StateError};
pub(crate) use self::state::{certificate, folder_of};
use crate::observe::Observer;
use crate::plan::{AcmePlan, Plan, TlsPlan};
use crate::refusal::Code;
use crate::tls::challenges::Challenges;
use crate::tls::issued::{self, Issuance};

/// Keeps the certificates of the plan in force. It lives on the control thread, never on a worker's.
pub(crate) struct Keeper {
    observer: Arc<Observer>,
    challenges: Arc<Challenges>,
    with: Option<Rc<Authority>>,
    /// For each name the task that sees to it.
    tasks: BTreeMap<Box<str>, AbortHandle>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("names", &self.tasks.keys()).finish_non_exhaustive()
    }
}

impl Keeper {
    pub(crate) fn new(observer: Arc<Observer>, challenges: Arc<Challenges>) -> Self {
        Self { observer, challenges, with: None, tasks: BTreeMap::new() }
    }

    /// Sees to the names of `plan` from now on. Those that it saw to before go on undisturbed, unless the CA is another one.
    pub(crate) fn follow(&mut self, plan: &Plan) {
        let users: Vec<(Box<str>, Arc<TlsPlan>)> = plan
            .listeners
            .iter()
            .filter_map(|listener| Some((listener.name.clone(), Arc::clone(listener.tls.as_ref()?))))
            .collect();
        let names: Vec<Box<str>> = users.iter().flat_map(|(_, tls)| tls.issued_names()).collect();
        if self.with.as_ref().map(|authority| &authority.plan) != plan.acme.as_ref() {
            self.tasks.values().for_each(AbortHandle::abort);
            self.tasks.clear();
            let plan = plan.acme.clone();
            self.with = plan.map(|plan| Rc::new(Authority::new(plan, &self.observer, &self.challenges)));
        }
        let Some(authority) = &self.with else { return };
        authority.users.replace(users);
        self.tasks.retain(|name, task| {
            let stays = names.contains(name);
            if !stays {
                task.abort();
            }
            stays
        });
        for name in names {
            let authority = Rc::clone(authority);
            self.tasks.entry(name).or_insert_with_key(|name| {
                let name = name.clone();
                spawn_local(async move { authority.keep(&name).await }).abort_handle()
            });
        }
    }
}

/// A CA, and what it is asked for.
struct Authority {
    plan: AcmePlan,
    observer: Arc<Observer>,
    challenges: Arc<Challenges>,
    account: Mutex<Option<Account>>,
    /// Few orders at a time: a CA minds many.
    seats: Semaphore,
    /// The listeners that show the certificates.
    users: RefCell<Vec<(Box<str>, Arc<TlsPlan>)>>,
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    State(#[from] StateError),
    /// The CA, or the way to it, cannot be used at all.
    #[error("{0}")]
    Unusable(String),
    /// The CA's clock is not ours.
    #[error(
        "the certificate that was issued a moment ago is due for renewal already: does the clock go right?"
    )]
    DueAtOnce,
    #[error("expected a certificate within {} s, found none", PATIENCE.as_secs())]
    Late,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Order(error.into())
    }
}

/// What is next for a certificate.
enum Next {
    /// It is good for a while.
    Wait(Duration),
    /// It is to be obtained.
    Order(Due),
}

/// In whose place a certificate is to be obtained.
#[derive(Default)]
struct Due {
    /// The one that is there, if it can be read.
    before: Option<Issuance>,
    /// What the CA calls it, if the CA wants to know.
    replaces: Option<CertificateIdentifier<'static>>,
}

/// What came of an attempt.
enum Attempt {
    Issued,
    /// Somebody else is at it, or has done it.
    Elsewhere,
}

impl Authority {
    fn new(plan: AcmePlan, observer: &Arc<Observer>, challenges: &Arc<Challenges>) -> Self {
        Self {
            plan,
            observer: Arc::clone(observer),
            challenges: Arc::clone(challenges),
            account: Mutex::new(None),
            seats: Semaphore::new(ORDERS),
            users: RefCell::default(),
        }
    }

    /// Sees to the certificate of one name for good.
    async fn keep(&self, name: &str) {
        // The same for as long as the process lives, and another one in each.
        let share = fastrand::f64();
        let mut failures = 0;
        let mut was_issued = false;
        loop {
            let due = match self.next(name, share).await {
                Next::Wait(pause) => {
                    (failures, was_issued) = (0, false);
                    sleep(pause).await;
                    continue;
                }
                Next::Order(due) => due,
            };
            // Nobody is asked for one after the other without a rest, whatever its clock says.
            let outcome = match was_issued {
                true => Err(Failure::DueAtOnce),
                false => self.attempt(name, due, failures).await,
            };
            was_issued = matches!(outcome, Ok(Attempt::Issued));
            match outcome {
                Ok(Attempt::Issued) => {
                    self.observer.certificate_was_issued();
                    self.show(name);
                }
                Ok(Attempt::Elsewhere) => sleep(ELSEWHERE).await,
                Err(failure) => {
                    failures += 1;
                    self.observer.certificate_was_not_issued();
                    self.rest_after(&failure, name, failures).await;
                }
            }
        }
    }

    async fn rest_after(&self, failure: &Failure, name: &str, failures: u32) {
        let pause = rest(failures, fastrand::f64());
        tracing::error!(
            "acme: no certificate for `{name}`: {}; it is tried again in {} [{}]",
            told(failure),
            in_words(pause),
            Code::CertificateNotIssued
        );
        sleep(pause).await;
    }

    /// Settles by the certificate on disk, and by what the CA suggests for it, whether it is time.
    async fn next(&self, name: &str, share: f64) -> Next {
        let file = certificate(&self.plan.folder, name);
        let issuance = match issued::issuance(&file) {
            Ok(Some(issuance)) => issuance,
            Ok(None) => return Next::Order(Due::default()),
            Err(problem) => {
                tracing::warn!("acme: {problem}: another certificate is ordered");
                return Next::Order(Due::default());
            }
        };
        let id = identifier(&issuance.leaf);
        let (window, ask_again) = self.window(&issuance, id.as_ref()).await;
        match window.at(share).duration_since(SystemTime::now()) {
            Ok(left) if !left.is_zero() => Next::Wait(left.min(ask_again.unwrap_or(LATEST))),
            _ => {
                let replaces = id.filter(|_| ask_again.is_some());
                Next::Order(Due { before: Some(issuance), replaces })
            }
        }
    }

    /// When the certificate should be renewed, and when to ask for that again, if the CA suggests anything.
    async fn window(
        &self,
        issuance: &Issuance,
        id: Option<&CertificateIdentifier<'static>>,
    ) -> (Window, Option<Duration>) {
        let own = Window::of_lifetime(issuance.not_before, issuance.not_after);
        let (Some(id), Ok(account)) = (id, self.account().await) else { return (own, None) };
        match account.renewal_info(id).await {
            Ok((info, ask_again)) => {
                let suggested = info.suggested_window;
                let window = Window::suggested(suggested.start.into(), suggested.end.into());
                (window.unwrap_or(own), Some(ask_again.clamp(SOONEST, LATEST)))
            }
            Err(Error::Unsupported(_)) => (own, None),
            Err(error) => {
                tracing::debug!("acme: no renewal information: {error}");
                (own, None)
            }
        }
    }

    /// Orders a certificate, in its turn.
    async fn attempt(&self, name: &str, due: Due, failures: u32) -> Result<Attempt, Failure> {
        let state = State::open(&self.plan.folder)?;
        let Ok(_seat) = self.seats.acquire().await else { return Ok(Attempt::Elsewhere) };
        let Some(_turn) = state.take_turn(name)? else {
            tracing::info!("acme: another process sees to the certificate for `{name}`");
            return Ok(Attempt::Elsewhere);
        };
        let now_there = issued::issuance(&state.certificate(name)).ok().flatten();
        if now_there != due.before {
            return Ok(Attempt::Elsewhere);
        }
        // Each attempt takes another challenge, if there are two: one of the ports may be closed to the CA.
        let challenges = &self.plan.challenges;
        let turn = usize::try_from(failures).unwrap_or_default().checked_rem(challenges.len());
        let Some(&challenge) = turn.and_then(|turn| challenges.get(turn)) else {
            return Err(Failure::Unusable("no challenge can be answered".to_owned()));
        };
        // A CA that does not want to hear of the one before would refuse the order for it.
        let replaces = due.replaces.filter(|_| failures == 0);
        let wanted = Wanted { name, challenge, profile: self.plan.profile.as_deref(), replaces };
        let work = async {
            let account = self.account().await?;
            let issued = order(&account, &wanted, &self.challenges).await;
            if let Err(OrderError::Asking(Error::Api(problem))) = &issued
                && is(problem, "accountDoesNotExist")
            {
                self.forget_account(&state).await?;
            }
            self.keep_if_fit(name, &issued?, &state)
        };
        timeout(PATIENCE, work).await.map_err(|_| Failure::Late)??;
        Ok(Attempt::Issued)
    }

    /// Keeps a certificate that can be used for the name. One that cannot does not take the place of one that can.
    fn keep_if_fit(&self, name: &str, issued: &Issued, state: &State) -> Result<(), Failure> {
        let pem = format!("{}{}", issued.chain, issued.key);
        issued::check(&pem, name).map_err(OrderError::Unfit)?;
        Ok(state.keep_certificate(name, &issued.chain, &issued.key)?)
    }

    /// The account with the CA: the one that is kept, or a new one.
    async fn account(&self) -> Result<Account, Failure> {
        let mut known = self.account.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let caller = Caller::new(self.plan.directory_ca.as_deref()).map_err(Failure::Unusable)?;
        let builder = || Account::builder_with_http(Box::new(caller.clone()));
        let state = State::open(&self.plan.folder)?;
        let account = match state.account()? {
            Some(credentials) => builder().from_credentials(credentials).await?,
            None => {
                let contact: Vec<&str> = self.plan.contact.iter().map(String::as_str).collect();
                // Whoever has no `terms` in the file does not come here.
                let new = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let made =
                    asking(async || builder().create(&new, self.plan.directory.clone(), None).await).await;
                let (account, credentials) = made?;
                state.keep_account(&credentials)?;
                tracing::info!("acme: an account was opened at {}", self.plan.directory);
                account
            }
        };
        *known = Some(account.clone());
        Ok(account)
    }

    /// The next attempt opens another account.
    async fn forget_account(&self, state: &State) -> Result<(), StateError> {
        *self.account.lock().await = None;
        state.put_account_away()
    }

    /// Has the listeners show what is on disk now.
    fn show(&self, name: &str) {
        tracing::info!("acme: a certificate for `{name}` was issued by {}", self.plan.directory);
        for (listener, tls) in &*self.users.borrow() {
            if !tls.issued_names().iter().any(|issued| **issued == *name) {
                continue;
            }
            match tls.read_certificates_again(SystemTime::now()) {
                Ok(warnings) => {
                    for warning in warnings {
                        tracing::warn!("listener {listener}: certificates: {warning}");
                    }
                }
                Err(problems) => {
                    self.observer.files_were_refused();
                    for problem in problems {
                        tracing::error!(
                            "listener {listener}: certificates: {problem}; what was read before goes on [{}]",
                            Code::FilesRefused
                        );
                    }
                }
            }
        }
    }
}

/// What a CA calls a certificate when it says how long it is good, RFC 9773 §4.1.
fn identifier(leaf: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(leaf).ok().map(CertificateIdentifier::into_owned)
}

fn in_words(pause: Duration) -> String {
    match pause.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}

/// For one attempt, whatever the CA does.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// How many orders run at once.
const ORDERS: usize = 4;

/// When to look again whether somebody else has done it.
const ELSEWHERE: Duration = Duration::from_secs(60);

/// How often to ask a CA that suggests when to renew: RFC 9773 §4.3 wants it bounded both ways. Where it suggests nothing,
/// the disk is looked at as rarely.
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);
