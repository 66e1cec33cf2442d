//! Lists by their names: what conditions ask. Some may hold other entries while they are asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{error, fmt};

use arc_swap::ArcSwap;

use crate::error::shown;
use crate::{List, TextSet};

/// A list that conditions ask by its name.
pub struct NamedList {
    current: ArcSwap<List>,
    /// What conditions ask, where entries can be replaced. Locked when one is compiled and when that is done, never to ask.
    asked: Option<Mutex<Vec<Weak<Asked>>>>,
}

/// The entries of a list for one condition.
#[derive(Clone)]
pub(crate) enum Entries {
    /// They stay what they are.
    Fixed(Arc<List>),
    /// They are those of the list now.
    Following(Arc<Asked>),
}

/// The entries as one condition asks them: in the spelling of its variable.
pub(crate) struct Asked {
    entries: ArcSwap<List>,
    spell: Spell,
}

/// Spells a word as a variable's value would be; the error says what was expected.
pub(crate) type Spell = Box<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// Why a list cannot hold other entries. It holds what it held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// The entry that does not fit; none where the list as a whole does not.
    pub entry: Option<String>,
    /// What was expected and what was found.
    pub message: String,
}

impl NamedList {
    /// A list that always has these entries.
    pub fn fixed(list: List) -> Self {
        Self { current: ArcSwap::from_pointee(list), asked: None }
    }

    /// A list that has these entries until they are replaced, in one step for each condition that asks it.
    pub fn following(list: List) -> Self {
        Self { asked: Some(Mutex::default()), ..Self::fixed(list) }
    }

    /// Its entries now, as they were written.
    pub fn current(&self) -> Arc<List> {
        self.current.load_full()
    }

    /// Has it hold other entries from now on.
    ///
    /// # Errors
    /// The list is fixed, the entries are of another kind, or a condition asks the list for what such an entry can never equal. Nothing has changed.
    pub fn replace(&self, list: List) -> Result<(), ListError> {
        let refused = |message: String| Err(ListError { entry: None, message });
        let Some(asked) = &self.asked else {
            return refused("expected a list that may change, found one that is fixed".to_owned());
        };
        if let Some((expected, found)) = kinds(&self.current(), &list) {
            return refused(format!("expected {expected} as before, found {found}"));
        }
        let list = Arc::new(list);
        let mut asked = lock(asked);
        asked.retain(|asked| asked.strong_count() > 0);
        let asked: Vec<Arc<Asked>> = asked.iter().filter_map(Weak::upgrade).collect();
        let spelled = asked.iter().map(|asked| spell(&list, &asked.spell)).collect::<Result<Vec<_>, _>>()?;
        for (asked, entries) in asked.iter().zip(spelled) {
            asked.entries.store(entries);
        }
        self.current.store(list);
        Ok(())
    }

    /// The entries for one condition, which go on to be those of this list.
    pub(crate) fn ask(&self, spell_word: Spell) -> Result<Entries, ListError> {
        let Some(asked) = &self.asked else {
            return spell(&self.current(), &spell_word).map(Entries::Fixed);
        };
        // While it is locked nobody replaces what is spelled here.
        let mut asked = lock(asked);
        let entries = spell(&self.current(), &spell_word)?;
        let one = Arc::new(Asked { entries: ArcSwap::new(entries), spell: spell_word });
        asked.push(Arc::downgrade(&one));
        Ok(Entries::Following(one))
    }
}

/// A panic elsewhere leaves a list of those who ask, which is all that it is.
fn lock(asked: &Mutex<Vec<Weak<Asked>>>) -> MutexGuard<'_, Vec<Weak<Asked>>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entries {
    /// Has `ask` look at the entries.
    pub(crate) fn with(&self, ask: impl FnOnce(&List) -> bool) -> bool {
        match self {
            Self::Fixed(list) => ask(list),
            Self::Following(asked) => ask(&asked.entries.load()),
        }
    }
}

/// The words of a list as `spell` has them; the list itself where that changes none.
fn spell(list: &Arc<List>, spell: &Spell) -> Result<Arc<List>, ListError> {
    let List::Texts(words) = &**list else { return Ok(Arc::clone(list)) };
    let mut changed = false;
    let mut spelled = Vec::with_capacity(words.len());
    for word in words.words() {
        let word = String::from_utf8_lossy(word);
        let new = spell(&word).map_err(|expected| ListError {
            message: format!("expected {expected}, found `{}`", shown(&word)),
            entry: Some(word.clone().into_owned()),
        })?;
        changed |= *new != *word;
        spelled.push(new);
    }
    let respelled = || Arc::new(List::Texts(TextSet::of(spelled.iter().map(String::as_str))));
    Ok(if changed { respelled() } else { Arc::clone(list) })
}

/// What two lists hold, if it is not the same.
fn kinds(before: &List, after: &List) -> Option<(&'static str, &'static str)> {
    match (before, after) {
        (List::Addresses(_), List::Texts(_)) => Some(("addresses", "words")),
        (List::Texts(_), List::Addresses(_)) => Some(("words", "addresses")),
        _ => None,
    }
}

impl From<List> for NamedList {
    fn from(list: List) -> Self {
        Self::fixed(list)
    }
}

impl fmt::Debug for NamedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedList").field(&self.current()).finish()
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for ListError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use super::*;
    use crate::{Facts, Index, Predicate, Scope, Variable};

    struct Known {
        ip: IpAddr,
        host: &'static str,
    }

    impl Facts for Known {
        fn ip(&self, _: &Variable) -> Option<IpAddr> {
            Some(self.ip)
        }
        fn number(&self, _: &Variable) -> Option<u64> {
            None
        }
        fn text(&self, _: &Variable) -> Option<&[u8]> {
            Some(self.host.as_bytes())
        }
        fn any_field(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            false
        }
    }

    fn list(entries: &[&str]) -> List {
        List::parse(entries.iter().copied()).unwrap()
    }

    fn known(ip: &str, host: &'static str) -> Known {
        Known { ip: ip.parse().unwrap(), host }
    }

    #[test]
    fn a_condition_asks_what_its_list_holds_now_in_its_own_spelling() {
        let (office, sites) = (
            Arc::new(NamedList::following(list(&["10.0.0.0/8"]))),
            Arc::new(NamedList::following(list(&["a.test"]))),
        );
        let lists = BTreeMap::from([
            ("office".to_owned(), Arc::clone(&office)),
            ("sites".to_owned(), Arc::clone(&sites)),
        ]);
        let scope = Scope::with_everything(&lists);
        let both = Predicate::compile("client.ip in @office && host in @sites", &scope).unwrap();
        assert!(both.holds(&known("10.0.0.1", "a.test")));
        office.replace(list(&["192.0.2.0/24"])).unwrap();
        assert!(!both.holds(&known("10.0.0.1", "a.test")));
        sites.replace(list(&["B.Test"])).unwrap();
        assert!(both.holds(&known("192.0.2.1", "b.test")));
        assert!(both.clone().holds(&known("192.0.2.1", "b.test")), "a copy asks the same list");
        drop(both);
        office.replace(list(&["::/0"])).unwrap();
        assert!(lock(office.asked.as_ref().unwrap()).is_empty(), "nobody asks any more");
    }

    #[test]
    fn entries_that_do_not_fit_change_nothing() {
        let sites = Arc::new(NamedList::following(list(&["/a"])));
        let lists = BTreeMap::from([("sites".to_owned(), Arc::clone(&sites))]);
        let path = Predicate::compile("path in @sites", &Scope::with_everything(&lists)).unwrap();
        let error = sites.replace(list(&["10.0.0.1"])).unwrap_err();
        assert_eq!(error.to_string(), "expected words as before, found addresses");
        let error = sites.replace(list(&["/b", "c"])).unwrap_err();
        assert_eq!(error.entry.as_deref(), Some("c"));
        assert_eq!(error.to_string(), "expected a path that starts with `/`, found `c`");
        assert!(path.holds(&known("::1", "/a")) && !path.holds(&known("::1", "/b")));
    }

    #[test]
    fn a_fixed_list_is_not_replaced() {
        let error = NamedList::fixed(list(&["a"])).replace(list(&["b"])).unwrap_err();
        assert_eq!(error.to_string(), "expected a list that may change, found one that is fixed");
    }

    #[test]
    fn rules_that_are_found_by_their_words_are_found_by_those_that_a_list_holds_later() {
        let sites = Arc::new(NamedList::following(list(&["before.test"])));
        let lists = BTreeMap::from([("sites".to_owned(), Arc::clone(&sites))]);
        let scope = Scope::with_everything(&lists);
        let mut texts: Vec<String> = (0..20).map(|n| format!("host == \"h{n}.test\"")).collect();
        texts.push("host in @sites".to_owned());
        let conditions: Vec<_> = texts.iter().map(|text| Predicate::compile(text, &scope).unwrap()).collect();
        let index = Index::of(conditions.iter().map(Some));
        sites.replace(list(&["after.test"])).unwrap();
        let holds = |host| {
            let facts = known("::1", host);
            index.may_hold(&facts).filter(|place| conditions[*place].holds(&facts)).collect::<Vec<_>>()
        };
        assert_eq!(
            [holds("after.test"), holds("before.test"), holds("h3.test")],
            [vec![20], vec![], vec![3]]
        );
    }
}
