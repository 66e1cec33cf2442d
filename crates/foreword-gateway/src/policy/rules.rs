//! The rules of a listener, read top-down: each may change something, and the first that ends the request decides.

use std::sync::Arc;
use std::time::Duration;

use foreword_rule::{Facts, Predicate, Template, Variable};

use super::cluster::Cluster;
use super::pages::ErrorPages;
use super::rate::RateLimit;

/// The rules of one listener, in order.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// One rule: when it holds, its changes are made, and its ending, if any, decides.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in the file, or `rule 3` where it has none.
    pub name: Box<str>,
    /// Its condition; without one it always holds.
    pub when: Option<Predicate>,
    /// How often it lets somebody pass; whoever comes too often ends there.
    pub limit: Option<Limit>,
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
    /// Refused for coming too often; in tcp mode the connection is closed.
    Limited {
        /// From 400 to 599.
        status: u16,
    },
    /// No rule ended it.
    NoMatch,
}

/// A bound on how often a rule lets somebody pass.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Who may come how often, and who did.
    pub rate: Arc<RateLimit>,
    /// What becomes of those who come too often.
    pub ending: Ending,
}

/// An answer of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// From 200 to 599.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: Box<str>,
    /// As it is written to the client.
    pub body: Arc<[u8]>,
    /// The `ETag` of a body from a file.
    pub etag: Option<Box<str>>,
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
    /// With [`Ending::Limited`], after how long the next one is welcome.
    pub wait: Option<Duration>,
}

impl Rules {
    /// Rules in the order in which they are asked.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Asks the rules in order until one ends it. `changed` is told the changes of every rule that held, in order, the
    /// ending one's included. `take` counts one more at the limit of a rule that held, and knows the time.
    pub fn decide<'r>(
        &'r self,
        facts: &impl Facts,
        take: impl Fn(&RateLimit) -> Result<(), Duration>,
        changed: &mut impl FnMut(&'r Change),
    ) -> Decision<'r> {
        for rule in self.rules.iter().filter(|rule| rule.holds(facts)) {
            if let Some(limit) = &rule.limit
                && let Err(wait) = take(&limit.rate)
            {
                return Decision { rule: Some(rule), ending: &limit.ending, wait: Some(wait) };
            }
            rule.changes.iter().for_each(&mut *changed);
            if let Some(ending) = &rule.ending {
                return Decision { rule: Some(rule), ending, wait: None };
            }
        }
        Decision { rule: None, ending: &Ending::NoMatch, wait: None }
    }

    /// Goes on counting where the rules before did: at those of the same name that allow the same.
    pub(crate) fn take_over(&mut self, before: &Self) {
        for limit in self.rules.iter_mut().filter_map(|rule| Some((&rule.name, rule.limit.as_mut()?))) {
            let (name, limit) = limit;
            let same =
                before.rules.iter().filter(|rule| rule.name == *name).find_map(|rule| rule.limit.as_ref());
            if let Some(same) = same.filter(|same| same.rate.rate() == limit.rate.rate()) {
                limit.rate = Arc::clone(&same.rate);
            }
        }
    }

    /// The rules, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.rules.iter()
    }
}

impl Rule {
    /// Whether its condition holds.
    pub fn holds(&self, facts: &impl Facts) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(facts))
    }
}
