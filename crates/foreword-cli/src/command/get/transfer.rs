//! One URL after the other: connect or go on with the last connection, ask, follow, report.

use std::io::{self, Write};
use std::time::Duration;

use foreword_client::connection::{Connection, Dial};
use foreword_client::diagnosis::{self, Diagnosis};
use foreword_client::exchange::{Answer, ExchangeError, Request};
use foreword_client::target::{Scheme, Target, TargetError};
use foreword_client::transcript::{Observer, Step};
use foreword_http1::is_idempotent;
use tokio::time::Instant;

use super::report::{Ended, Trouble, WRITE};
use super::request::Blueprint;
use super::save::{Save, Wanted};
use super::setup::Session;
use super::watch::Watch;
use super::write_out::{Report, To};
use crate::output::talk;

/// The transfers of one run, and the connection that they may share.
pub(super) struct Transfers<'a> {
    session: &'a Session,
    kept: Option<(Target, Connection)>,
}

/// What is known of one transfer while it lasts.
struct Transfer<'a> {
    session: &'a Session,
    kept: &'a mut Option<(Target, Connection)>,
    dial: Dial,
    watch: Watch,
    save: Save,
    /// Where it has come to, and what was asked there.
    at: Option<(Target, Request)>,
    redirects: u32,
    redirect_time: Duration,
    /// Where a redirect leads that is not followed.
    redirect_url: Option<String>,
}

/// What a transfer failed with, and what that means.
type Failed = (Trouble, Option<Diagnosis>);

impl<'a> Transfers<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session, kept: None }
    }

    /// Carries one transfer out, from its URL to its `--write-out`.
    pub(super) async fn run(&mut self, index: usize, url: &str) -> Ended {
        let answer = &self.session.args.answer;
        let file = answer.output.get(index).map(|path| path.as_path());
        let wanted = Wanted {
            heads: answer.include || self.session.args.request.head,
            fail: answer.fail,
            follows: self.session.args.request.location,
        };
        let max_time = self.session.args.connection.max_time.filter(|time| !time.is_zero());
        let deadline = max_time.map(|time| Instant::now() + time);
        let mut transfer = Transfer {
            session: self.session,
            kept: &mut self.kept,
            dial: Dial { deadline, ..self.session.dial.clone() },
            watch: Watch::new(answer.verbose),
            save: Save::new(file, wanted),
            at: None,
            redirects: 0,
            redirect_time: Duration::ZERO,
            redirect_url: None,
        };
        let mut ended = match transfer.carry_out(url).await {
            Ok(()) => Ended::default(),
            Err((trouble, diagnosis)) => {
                let reader_gone = transfer.save.is_stdout() && trouble.is_closed_pipe();
                let ended = trouble.end(diagnosis);
                Ended { message: ended.message.filter(|_| !reader_gone), reader_gone, ..ended }
            }
        };
        transfer.write_out(index, url, &mut ended);
        ended
    }
}

impl Transfer<'_> {
    async fn carry_out(&mut self, url: &str) -> Result<(), Failed> {
        let target = Target::parse(url, self.session.dots()).map_err(|error| (Trouble::Url(error), None))?;
        let outcome = self.follow(target).await;
        // What came before a failure is shown too, as curl does.
        let written = self.save.finish(outcome.is_ok());
        outcome?;
        written.map_err(|error| (Trouble::Write(error), None))
    }

    /// Asks, and asks again wherever redirects lead.
    async fn follow(&mut self, mut target: Target) -> Result<(), Failed> {
        let mut blueprint = self.session.blueprint.clone();
        loop {
            let request = blueprint.request(&target);
            self.at = Some((target.clone(), request.clone()));
            let answer = self.ask(&target, &request).await?;
            let status = answer.status;
            let args = &self.session.args;
            let Some(location) = answer
                .location
                .filter(|place| !place.trim().is_empty() && matches!(status, 301..=303 | 307 | 308))
            else {
                let fail = args.answer.fail || args.answer.fail_with_body;
                return if fail && status >= 400 { Err((Trouble::Status(status), None)) } else { Ok(()) };
            };
            let next = target.follow(&location, self.session.dots());
            self.redirect_url = match &next {
                Ok(next) => Some(next.to_string()),
                // Where it leads can be told even if the client cannot go there.
                Err(TargetError::Scheme(_)) => Some(location.clone()),
                Err(_) => None,
            };
            if !args.request.location {
                return Ok(());
            }
            let next = next.map_err(|source| (Trouble::Location { location, source }, None))?;
            if self.redirects == args.request.max_redirs {
                return Err((Trouble::Redirects(args.request.max_redirs), None));
            }
            self.redirects += 1;
            self.redirect_url = None;
            self.redirect_time = self.watch.elapsed();
            self.watch.note(&format!("Following the redirect to {next}"));
            prepare(&mut blueprint, status, &target, &next);
            target = next;
        }
    }

    /// Sends one request and hears its answer, on the connection of the last one if that serves.
    async fn ask(&mut self, target: &Target, request: &Request) -> Result<Answer, Failed> {
        let kept = self.kept.take().filter(|(last, _)| last.shares_connection_with(target));
        if let Some((_, mut connection)) = kept {
            self.watch.step(Step::Reused);
            self.watch.seen.peer = Some(connection.peer);
            self.watch.seen.local = Some(connection.local);
            match connection.exchange(request, &self.dial, &mut self.save, &mut self.watch).await {
                // The server had enough of the connection before it saw the request: ask on a new one, RFC 9112 §9.3.1.
                Err(ExchangeError::NoAnswer { .. }) if is_idempotent(&request.method) => {
                    self.watch.note("The connection had ended meanwhile; asking on a new one");
                }
                outcome => return self.settle(outcome, connection, target, request).await,
            }
        }
        let mut connection = match Connection::open(target, &self.dial, &mut self.watch).await {
            Ok(connection) => connection,
            Err(error) => {
                let diagnosis = diagnosis::of_open(&error, target, &self.dial, &mut self.watch).await;
                return Err((Trouble::Open(error), diagnosis));
            }
        };
        let outcome = connection.exchange(request, &self.dial, &mut self.save, &mut self.watch).await;
        self.settle(outcome, connection, target, request).await
    }

    /// Keeps a connection that can go on, and finds out what a failure means.
    async fn settle(
        &mut self,
        outcome: Result<Answer, ExchangeError>,
        connection: Connection,
        target: &Target,
        request: &Request,
    ) -> Result<Answer, Failed> {
        let watch = &mut self.watch;
        match outcome {
            Ok(answer) => {
                let diagnosis = diagnosis::of_answer(&answer, request, target, &self.dial, watch).await;
                if diagnosis.is_some() {
                    return Err((Trouble::Header, diagnosis));
                }
                *self.kept = answer.reusable.then(|| (target.clone(), connection));
                Ok(answer)
            }
            Err(error) => {
                let diagnosis = diagnosis::of_exchange(&error, request, target, &self.dial, watch).await;
                Err((Trouble::Exchange(error), diagnosis))
            }
        }
    }

    /// Prints what `--write-out` asks for, whether the transfer failed or not.
    fn write_out(self, index: usize, url: &str, ended: &mut Ended) {
        let Some(format) = &self.session.write_out else { return };
        let (effective, scheme, method, uploaded) = match &self.at {
            None => (url.to_owned(), "", String::new(), 0),
            Some((target, request)) => {
                let scheme = match target.scheme {
                    _ if self.watch.seen.peer.is_none() => "",
                    Scheme::Https => "HTTPS",
                    Scheme::Http => "HTTP",
                };
                (target.to_string(), scheme, request.method.clone(), request.body.len() as u64)
            }
        };
        let file = self.session.args.answer.output.get(index);
        let report = Report {
            seen: &self.watch.seen,
            tally: &self.save.tally,
            url,
            effective,
            scheme,
            method,
            index,
            redirects: self.redirects,
            redirect_url: self.redirect_url.clone(),
            redirect_time: self.redirect_time,
            total: self.watch.elapsed(),
            uploaded,
            file: file.map(|path| path.display().to_string()),
            exit: ended.exit,
            error: ended.message.clone(),
        };
        for (to, text) in report.fill(format) {
            match to {
                To::Stderr => talk(&text),
                To::Stdout if ended.reader_gone => {}
                To::Stdout => {
                    let mut stdout = io::stdout().lock();
                    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                        ended.reader_gone = error.kind() == io::ErrorKind::BrokenPipe;
                        ended.exit = if ended.exit == 0 { WRITE } else { ended.exit };
                    }
                }
            }
        }
    }
}

/// What changes about a request when it is sent elsewhere.
fn prepare(blueprint: &mut Blueprint, status: u16, from: &Target, to: &Target) {
    if matches!(status, 301..=303) {
        blueprint.without_content();
    }
    if !from.shares_connection_with(to) {
        blueprint.without_credentials();
    }
}
