//! Lists of addresses or words: one lookup costs the same for three entries as for ten thousand.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use prefix_trie::joint::JointPrefixSet;

use crate::error::shown;

/// A named list of the file, or one written inside a rule.
#[derive(Clone, Debug)]
pub enum List {
    /// Every entry is an address or a CIDR.
    Addresses(IpSet),
    /// Words.
    Texts(TextSet),
}

impl List {
    /// Makes a list of entries: addresses if all of them are, words if none is.
    ///
    /// # Errors
    /// Every entry that does not fit, with its index. Which kind the list is, its first entry decides.
    pub fn parse<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, Vec<EntryProblem>> {
        let entries: Vec<&str> = entries.into_iter().collect();
        let addresses = entries.first().is_some_and(|first| looks_like_address(first));
        if addresses {
            IpSet::parse(entries).map(Self::Addresses)
        } else {
            TextSet::parse(entries).map(Self::Texts)
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Addresses(set) => set.len(),
            Self::Texts(set) => set.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An entry of a list that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryProblem {
    /// Which entry, counted from 0.
    pub index: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for EntryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Addresses and ranges. A mapped address (`::ffff:192.0.2.1`) is its IPv4 address, in entries and in questions.
#[derive(Clone, Default)]
pub struct IpSet {
    // Boxed: the trie keeps its roots inline, which makes it large.
    prefixes: Box<JointPrefixSet<IpNet>>,
}

impl IpSet {
    /// Reads addresses and CIDRs.
    ///
    /// # Errors
    /// Every entry that is neither.
    pub fn parse<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, Vec<EntryProblem>> {
        let mut set = Self::default();
        let mut problems = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            match parse_network(entry) {
                Ok(network) => set.insert(network),
                Err(message) => problems.push(EntryProblem { index, message }),
            }
        }
        if problems.is_empty() { Ok(set) } else { Err(problems) }
    }

    /// Adds a range.
    pub fn insert(&mut self, network: IpNet) {
        self.prefixes.insert(unmap(network).trunc());
    }

    /// Whether an entry holds this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefixes.get_lpm(&IpNet::from(address.to_canonical())).is_some()
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for IpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IpSet({} entries)", self.len())
    }
}

/// Words, compared byte by byte.
#[derive(Clone, Debug, Default)]
pub struct TextSet {
    words: HashSet<Box<[u8]>>,
}

impl TextSet {
    /// Takes words as they are.
    ///
    /// # Errors
    /// Every entry that is an address although the first is not, and every empty one: both are surely a mistake.
    pub fn parse<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, Vec<EntryProblem>> {
        let mut words = HashSet::new();
        let mut problems = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            if entry.is_empty() {
                problems.push(EntryProblem { index, message: "expected a word, found nothing".to_owned() });
            } else if looks_like_address(entry) {
                let message =
                    format!("expected a word like the entries before it, found the address `{entry}`");
                problems.push(EntryProblem { index, message });
            } else {
                words.insert(entry.as_bytes().into());
            }
        }
        if problems.is_empty() { Ok(Self { words }) } else { Err(problems) }
    }

    /// Its words, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.words.iter().map(AsRef::as_ref)
    }

    /// Takes words with none refused, for those written inside a rule, whose variable says what they are.
    pub(crate) fn of<'e>(words: impl IntoIterator<Item = &'e str>) -> Self {
        Self { words: words.into_iter().map(|word| word.as_bytes().into()).collect() }
    }

    /// Whether it holds exactly this word.
    pub fn contains(&self, word: &[u8]) -> bool {
        self.words.contains(word)
    }

    /// The words, in no order.
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.words.iter().map(AsRef::as_ref)
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// Reads an address or a CIDR; a mapped one becomes IPv4.
///
/// # Errors
/// Says what was expected, and for a CIDR with bits behind its length which one was probably meant.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            format!("expected an address or CIDR such as `10.0.0.0/8`, found `{}`", shown(text))
        })?,
    };
    let network = unmap(network);
    if network.trunc() != network {
        let trunc = network.trunc();
        return Err(format!("expected the first address of a range, found `{text}`; its range is `{trunc}`"));
    }
    Ok(network)
}

fn unmap(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.addr().to_ipv4_mapped().filter(|_| v6.prefix_len() >= MAPPED_LEN);
    match mapped.and_then(|v4| Ipv4Net::new(v4, v6.prefix_len() - MAPPED_LEN).ok()) {
        Some(v4) => IpNet::V4(v4),
        None => network,
    }
}

fn looks_like_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok()
}

/// `::ffff:0:0/96` holds the mapped addresses (RFC 4291 §2.5.5.2).
const MAPPED_LEN: u8 = 96;
const _: () = assert!(Ipv6Addr::BITS as u8 - MAPPED_LEN == 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_decides_what_a_list_holds() {
        assert!(matches!(List::parse(["10.0.0.0/8", "::1"]), Ok(List::Addresses(set)) if set.len() == 2));
        assert!(matches!(List::parse(["a", "b", "a"]), Ok(List::Texts(set)) if set.len() == 2));
        let problems = List::parse(["10.0.0.0/8", "office", "10.0.0.1/8"]).expect_err("mixed");
        assert_eq!(problems.iter().map(|problem| problem.index).collect::<Vec<_>>(), [1, 2]);
        assert!(problems[1].message.ends_with("its range is `10.0.0.0/8`"));
        let problems = List::parse(["a", "10.0.0.1"]).expect_err("mixed");
        assert_eq!(
            problems[0].message,
            "expected a word like the entries before it, found the address `10.0.0.1`"
        );
    }

    #[test]
    fn ten_thousand_entries_are_all_found_and_nothing_else() {
        let entries: Vec<String> =
            (0..10_000u32).map(|n| format!("10.{}.{}.0/25", n >> 8, n & 255)).collect();
        let set = IpSet::parse(entries.iter().map(String::as_str)).expect("good");
        assert_eq!(set.len(), 10_000);
        for n in 0..10_000u32 {
            let address = |last: u8| IpAddr::from([10, (n >> 8) as u8, (n & 255) as u8, last]);
            assert!(set.contains(address(127)));
            assert!(!set.contains(address(128)));
        }
    }
}
