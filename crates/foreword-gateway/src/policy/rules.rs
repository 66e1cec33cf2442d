//! The rules of a listener, read top-down: each may change something, and the first that ends the request decides.

use std::sync::Arc;

use foreword_rule::{Facts, Index, Predicate, Template, Variable};

use super::bound::{Bound, Over};
use super::cluster::Cluster;
use super::compress::{Coded, Compress};
use super::pages::ErrorPages;
use super::terms::Terms;
use crate::passwords::Passwords;

/// The rules of one listener, in order.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// Which of them need not be asked.
    index: Index,
}

/// One rule: when it holds, its changes are made, and its ending, if any, decides.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in the file, or `rule 3` where it has none.
    pub name: Box<str>,
    /// Its condition; without one it always holds.
    pub when: Option<Predicate>,
    /// How often, and how many at once, it lets pass; whoever is too many ends there.
    pub limits: Vec<Limit>,
    /// Whose passwords it asks for: [`Ending::Authenticate`], where there is one.
    pub authenticate: Option<Ending>,
    /// What it changes, in the order of the file.
    pub changes: Vec<Change>,
    /// How it ends the request.
    pub ending: Option<Ending>,
}

/// How a request, or a connection in tcp mode, ends.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Refused with a status; in tcp mode the connection is closed.
    Deny {
        /// From 400 to 599.
        status: u16,
    },
    /// Closed without an answer.
    Close,
    /// Sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The `Location`.
        to: Template<Variable>,
    },
    /// Answered by us.
    Respond(Respond),
    /// Forwarded to a cluster.
    Forward(Arc<Cluster>),
    /// Refused for being too many; in tcp mode the connection is closed.
    Limited {
        /// From 400 to 599.
        status: u16,
    },
    /// Not settled before somebody has found out who the client is; then the rules [go on](Rules::go_on).
    Authenticate(BasicAuth),
    /// No rule ended it.
    NoMatch,
}

/// A bound on those whom a rule lets pass.
#[derive(Clone, Debug)]
pub struct Limit {
    /// How many they may be, and how many they are.
    pub bound: Bound,
    /// What becomes of those who are too many.
    pub ending: Ending,
}

/// Whose passwords are asked for.
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// As the client's user is told, and ready to be written: RFC 7617 §2.
    pub challenge: Box<str>,
    /// Who they are.
    pub passwords: Arc<Passwords>,
}

/// An answer of our own.
#[derive(Clone, Debug)]
pub struct Respond {
    /// From 200 to 599.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: Box<str>,
    /// As it is written to the client.
    pub body: Arc<[u8]>,
    /// The `ETag` of a body from a file.
    pub etag: Option<Box<str>>,
    /// The body, made smaller for those who like that.
    pub coded: Arc<Coded>,
}

/// What a rule changes on the way.
#[derive(Clone, Debug)]
pub enum Change {
    /// Sets fields of the request that is forwarded; other occurrences of the name go.
    SetRequestFields(Vec<SetField>),
    /// Removes fields of the request that is forwarded.
    RemoveRequestFields(Vec<Box<str>>),
    /// Sets fields of the response, ours included; other occurrences of the name go.
    SetResponseFields(Vec<SetField>),
    /// Removes fields of the response.
    RemoveResponseFields(Vec<Box<str>>),
    /// What is shown from here on where the request is refused.
    ErrorPages(Arc<ErrorPages>),
    /// Which answers are made smaller from here on; `None` undoes what was said before.
    Compress(Option<Arc<Compress>>),
    /// Says how somebody is served.
    Terms(Terms),
}

impl Change {
    /// Tells `terms` what it says of how somebody is served.
    pub(crate) fn tell(&self, terms: &mut Terms) {
        if let Self::Terms(said) = self {
            terms.hear(said);
        }
    }
}

/// A field and what it is set to.
#[derive(Clone, Debug)]
pub struct SetField {
    /// As it was written; names are compared without case.
    pub name: Box<str>,
    /// Written with [`Template::write`], so that no value can hold more than one field.
    pub value: Template<Variable>,
}

/// What the rules decided.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'r> {
    /// The rule that ended it; `None` with [`Ending::NoMatch`].
    pub rule: Option<&'r Rule>,
    /// How it ends.
    pub ending: &'r Ending,
    /// The place of that rule, or behind them all.
    pub place: usize,
    /// With [`Ending::Limited`], the bound that was met.
    pub over: Option<Over>,
}

impl Rules {
    /// Rules in the order in which they are asked.
    pub fn new(rules: Vec<Rule>) -> Self {
        let index = Index::of(rules.iter().map(|rule| rule.when.as_ref()));
        Self { rules, index }
    }

    /// Asks the rules in order until one ends it. `changed` is told the changes of every rule that held, in order, the
    /// ending one's included. `ask` counts one more at the bounds of a rule that held.
    pub fn decide<'r>(
        &'r self,
        facts: &impl Facts,
        mut ask: impl FnMut(&Bound) -> Result<(), Over>,
        changed: &mut impl FnMut(&'r Change),
    ) -> Decision<'r> {
        self.ask_from(0, facts, &mut ask, changed)
    }

    /// Goes on behind [`Ending::Authenticate`], now that the client's user is among the facts.
    pub fn go_on<'r>(
        &'r self,
        behind: Decision<'r>,
        facts: &impl Facts,
        mut ask: impl FnMut(&Bound) -> Result<(), Over>,
        changed: &mut impl FnMut(&'r Change),
    ) -> Decision<'r> {
        match behind.rule.and_then(|rule| rule.settle(behind.place, changed)) {
            Some(decision) => decision,
            None => self.ask_from(behind.place + 1, facts, &mut ask, changed),
        }
    }

    fn ask_from<'r>(
        &'r self,
        from: usize,
        facts: &impl Facts,
        ask: &mut impl FnMut(&Bound) -> Result<(), Over>,
        changed: &mut impl FnMut(&'r Change),
    ) -> Decision<'r> {
        let places = self.index.may_hold(facts).skip_while(|&place| place < from);
        let asked = places.filter_map(|place| Some((place, self.rules.get(place)?)));
        for (place, rule) in asked.filter(|(_, rule)| rule.holds(facts)) {
            for limit in &rule.limits {
                if let Err(over) = ask(&limit.bound) {
                    return Decision { rule: Some(rule), ending: &limit.ending, place, over: Some(over) };
                }
            }
            if let Some(ending) = &rule.authenticate {
                return Decision { rule: Some(rule), ending, place, over: None };
            }
            if let Some(decision) = rule.settle(place, changed) {
                return decision;
            }
        }
        Decision { rule: None, ending: &Ending::NoMatch, place: self.rules.len(), over: None }
    }

    /// Goes on counting where the rules before did: at those of the same name that bound the same.
    pub(crate) fn take_over(&mut self, before: &Self) {
        for rule in &mut self.rules {
            let same = before.rules.iter().filter(|before| before.name == rule.name);
            let bounds = same.flat_map(|before| before.limits.iter().map(|limit| &limit.bound));
            rule.limits.iter_mut().for_each(|limit| limit.bound.take_over(bounds.clone()));
        }
    }

    /// The rules, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.rules.iter()
    }
}

impl Rule {
    /// Makes its changes, and ends the request if it has an ending.
    fn settle<'r>(&'r self, place: usize, changed: &mut impl FnMut(&'r Change)) -> Option<Decision<'r>> {
        self.changes.iter().for_each(changed);
        let ending = self.ending.as_ref()?;
        Some(Decision { rule: Some(self), ending, place, over: None })
    }

    /// Whether its condition holds.
    pub fn holds(&self, facts: &impl Facts) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(facts))
    }
}
