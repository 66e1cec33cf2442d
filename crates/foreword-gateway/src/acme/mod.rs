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
use self::state::{State, StateError, beside, issuance};
pub(crate) use self::state::{certificate, folder_of};
use crate::observe::Observer;
use crate::plan::{AcmePlan, Plan, TlsPlan};
use crate::refusal::Code;
use crate::tls::challenges::Challenges;
use crate::tls::connector::EndpointTlsProblem;
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
    /// Nothing is believed that the CA could show.
    #[error("the CA cannot be asked")]
    Unbelievable(#[from] EndpointTlsProblem),
    #[error("expected a challenge that can be answered, found none")]
    NoChallenge,
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
        let lot = fastrand::f64();
        let mut failures = 0;
        let mut was_issued = false;
        loop {
            let due = match self.next(name, lot).await {
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
                    self.show(name).await;
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
    async fn next(&self, name: &str, lot: f64) -> Next {
        let issuance = match issuance(certificate(&self.plan.folder, name)).await {
            Ok(Some(issuance)) => issuance,
            Ok(None) => return Next::Order(Due::default()),
            Err(problem) => {
                tracing::warn!("acme: {problem}: another certificate is ordered");
                return Next::Order(Due::default());
            }
        };
        let id = identifier(&issuance.leaf);
        let (window, ask_again) = self.window(name, &issuance, id.as_ref()).await;
        match window.at(lot).duration_since(SystemTime::now()) {
            Ok(left) if !left.is_zero() => Next::Wait(left.min(ask_again.unwrap_or(LATEST))),
            _ => {
                let replaces = id.filter(|_| ask_again.is_some());
                Next::Order(Due { before: Some(issuance), replaces })
            }
        }
    }

    /// When the certificate should be renewed, and when to ask for that again, if the CA suggests anything. No account is opened
    /// to ask that.
    async fn window(
        &self,
        name: &str,
        issuance: &Issuance,
        id: Option<&CertificateIdentifier<'static>>,
    ) -> (Window, Option<Duration>) {
        let own = Window::of_lifetime(issuance.not_before, issuance.not_after);
        let Some(id) = id else { return (own, None) };
        let account = match self.kept_account(&mut *self.account.lock().await).await {
            Ok(Some(account)) => account,
            Ok(None) => return (own, None),
            // A CA that is away for a while is no news; it is asked again.
            Err(Failure::Order(error)) => {
                tracing::debug!("acme: no renewal information for `{name}`: {}", told(&error));
                return (own, None);
            }
            Err(failure) => {
                tracing::warn!("acme: the CA is not asked when to renew `{name}`: {}", told(&failure));
                return (own, None);
            }
        };
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
        let state = State::open(&self.plan.folder).await?;
        let Ok(_seat) = self.seats.acquire().await else { return Ok(Attempt::Elsewhere) };
        let Some(_turn) = state.take_turn(name).await? else {
            tracing::info!("acme: another process sees to the certificate for `{name}`");
            return Ok(Attempt::Elsewhere);
        };
        let now_there = state.issuance(name).await.ok().flatten();
        if now_there != due.before {
            return Ok(Attempt::Elsewhere);
        }
        // Each attempt takes another challenge, if there are two: one of the ports may be closed to the CA.
        let challenges = &self.plan.challenges;
        let turn = usize::try_from(failures).unwrap_or_default().checked_rem(challenges.len());
        let Some(&challenge) = turn.and_then(|turn| challenges.get(turn)) else {
            return Err(Failure::NoChallenge);
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
            self.keep_if_fit(name, &issued?, &state).await
        };
        timeout(PATIENCE, work).await.map_err(|_| Failure::Late)??;
        Ok(Attempt::Issued)
    }

    /// Keeps a certificate that can be used for the name. One that cannot does not take the place of one that can.
    async fn keep_if_fit(&self, name: &str, issued: &Issued, state: &State) -> Result<(), Failure> {
        let pem = format!("{}{}", issued.chain, issued.key);
        issued::check(&pem, name).map_err(OrderError::Unfit)?;
        Ok(state.keep_certificate(name, &issued.chain, &issued.key).await?)
    }

    /// The account with the CA: the one that is kept, or a new one.
    async fn account(&self) -> Result<Account, Failure> {
        let mut known = self.account.lock().await;
        if let Some(account) = self.kept_account(&mut known).await? {
            return Ok(account);
        }
        let caller = self.caller().await?;
        let contact: Vec<&str> = self.plan.contact.iter().map(String::as_str).collect();
        // Whoever has no `terms` in the file does not come here.
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = || Account::builder_with_http(Box::new(caller.clone()));
        let made = asking(async || builder().create(&new, self.plan.directory.clone(), None).await).await;
        let (account, credentials) = made?;
        State::open(&self.plan.folder).await?.keep_account(&credentials).await?;
        tracing::info!("acme: an account was opened at {}", self.plan.directory);
        *known = Some(account.clone());
        Ok(account)
    }

    /// The account that is known, or was kept, if there is one.
    async fn kept_account(&self, known: &mut Option<Account>) -> Result<Option<Account>, Failure> {
        if known.is_none() {
            let state = State::open(&self.plan.folder).await?;
            let Some(credentials) = state.account().await? else { return Ok(None) };
            let builder = Account::builder_with_http(Box::new(self.caller().await?));
            *known = Some(builder.from_credentials(credentials).await?);
        }
        Ok(known.clone())
    }

    async fn caller(&self) -> Result<Caller, EndpointTlsProblem> {
        let ca = self.plan.directory_ca.clone();
        beside(move || Caller::new(ca.as_deref())).await
    }

    /// The next attempt opens another account.
    async fn forget_account(&self, state: &State) -> Result<(), StateError> {
        *self.account.lock().await = None;
        state.put_account_away().await
    }

    /// Has the listeners show what is on disk now.
    async fn show(&self, name: &str) {
        tracing::info!("acme: a certificate for `{name}` was issued by {}", self.plan.directory);
        let users = self.users.borrow().clone();
        for (listener, tls) in users {
            if !tls.issued_names().iter().any(|issued| **issued == *name) {
                continue;
            }
            match beside(move || tls.read_certificates_again(SystemTime::now())).await {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::mpsc;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    const NAME: &str = "a.test";

    /// A CA that would be asked at this address.
    fn authority(folder: &Path, directory: &TcpListener) -> Authority {
        let plan = AcmePlan {
            directory: format!("https://{}/dir", directory.local_addr().unwrap()),
            directory_ca: None,
            folder: folder.to_owned(),
            contact: Vec::new(),
            challenges: Vec::new(),
            profile: None,
        };
        Authority::new(plan, &Observer::new(1), &Arc::default())
    }

    /// A folder with a certificate that a CA can be asked about, and which lasts.
    fn folder_with_a_certificate() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let ca = rcgen::CertifiedIssuer::self_signed(CertificateParams::default(), ca_key).unwrap();
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&key, &ca).unwrap();
        fs::write(certificate(folder.path(), NAME), made.pem() + &key.serialize_pem()).unwrap();
        folder
    }

    fn run<T>(story: impl Future<Output = T>) -> T {
        Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap()
            .block_on(story)
    }

    #[test]
    fn no_account_is_opened_only_to_ask_when_to_renew() {
        let folder = folder_with_a_certificate();
        let directory = TcpListener::bind("127.0.0.1:0").unwrap();
        directory.set_nonblocking(true).unwrap();
        let file = certificate(folder.path(), NAME);
        assert!(identifier(&issued::issuance(&file).unwrap().unwrap().leaf).is_some());
        let next = run(authority(folder.path(), &directory).next(NAME, 0.5));
        assert!(matches!(next, Next::Wait(_)));
        assert!(directory.accept().is_err(), "nobody has asked");
    }

    #[test]
    fn an_account_that_cannot_be_read_is_a_failure_and_the_certificate_goes_on() {
        let folder = folder_with_a_certificate();
        fs::write(folder.path().join("account.json"), "{").unwrap();
        let directory = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = authority(folder.path(), &directory);
        let (account, next) =
            run(async { (authority.kept_account(&mut None).await, authority.next(NAME, 0.5).await) });
        let Err(failure @ Failure::State(_)) = account else { panic!("expected a failure") };
        assert!(told(&failure).contains("expected an account"), "{}", told(&failure));
        assert!(matches!(next, Next::Wait(_)));
    }

    #[test]
    fn a_file_system_that_stands_still_stops_no_other_task_of_the_thread() {
        let folder = folder_with_a_certificate();
        let file = folder.path().join("account.json");
        // Whoever opens a pipe without a writer waits.
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &file,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let directory = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = folder.path().to_owned();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            run(async {
                let authority = authority(&path, &directory);
                let waiting =
                    spawn_local(async move { matches!(authority.next(NAME, 0.5).await, Next::Wait(_)) });
                tokio::task::yield_now().await;
                // The other task of the thread goes on, and lets the first one go.
                let opened = state::beside(move || fs::OpenOptions::new().write(true).open(&file)).await;
                drop(opened);
                tell.send(waiting.await.unwrap()).unwrap();
            });
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok(true), "the thread stands still");
    }
}
