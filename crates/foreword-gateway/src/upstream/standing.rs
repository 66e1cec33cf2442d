//! Who comes before whom: the endpoints of our own zone, then those of others, then backups; and within each the order in
//! which the cluster balances.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::endpoints::Wish;
use super::view::Slot;
use crate::policy::balance::digest::mix;
use crate::policy::balance::{Member, Order, WHOLE, ramp, stays_near};
use crate::policy::cluster::{Cluster, Endpoint};

/// Whether an endpoint is for every day, and how near it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// For every day, and in our zone, or in none.
    Near,
    /// For every day, in another zone.
    Far,
    /// For when no other is usable.
    Backup,
    /// The same, in another zone.
    FarBackup,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Near, Self::Far, Self::Backup, Self::FarBackup];

    /// The standing of an endpoint. One without a zone is near to everyone, and without an own zone everything is near.
    pub(super) fn of(endpoint: &Endpoint, is_backup: bool, cluster: &Cluster) -> Self {
        let is_far = match (&endpoint.zone, &cluster.zone) {
            (Some(its), Some(own)) => *its != own.name,
            _ => false,
        };
        match (is_backup, is_far) {
            (false, false) => Self::Near,
            (false, true) => Self::Far,
            (true, false) => Self::Backup,
            (true, true) => Self::FarBackup,
        }
    }
}

/// What came of a choice.
#[derive(Debug)]
pub(super) enum Found {
    /// This one.
    Slot(Rc<Slot>),
    /// There are usable ones, and none of them has room.
    Full,
    /// There is none.
    Nobody,
}

impl Found {
    /// The other choice where this one found no endpoint; that there are full ones is not forgotten.
    fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Slot(_) => self,
            Self::Nobody => other(),
            Self::Full => match other() {
                Self::Nobody => Self::Full,
                found => found,
            },
        }
    }
}

/// The endpoints of a cluster by their standing.
#[derive(Debug)]
pub(super) struct Tiers {
    tiers: [Tier; Standing::ALL.len()],
    /// As they were given, to tell whether others are the same.
    slots: Vec<Rc<Slot>>,
}

impl Tiers {
    pub(super) fn new(cluster: &Cluster, slots: Vec<Rc<Slot>>) -> Self {
        let tier = |standing| {
            let its = slots.iter().filter(|slot| slot.standing == standing).map(Rc::clone).collect();
            Tier::new(cluster, its)
        };
        Self { tiers: Standing::ALL.map(tier), slots }
    }

    /// All of them, in the order of the file.
    pub(super) fn slots(&self) -> &[Rc<Slot>] {
        &self.slots
    }

    /// Whether these endpoints are those.
    pub(super) fn are_of(&self, slots: &[Rc<Slot>]) -> bool {
        self.slots.len() == slots.len()
            && self.slots.iter().zip(slots).all(|(own, other)| {
                own.address == other.address && own.weight == other.weight && own.standing == other.standing
            })
    }

    /// Chooses one that is usable and was not tried, of the best standing that has one.
    pub(super) fn choose(&mut self, cluster: &Cluster, wish: Wish<'_>) -> Found {
        self.tiers.iter_mut().for_each(Tier::look_now_and_then);
        let found = self.next(cluster, wish);
        // Somebody may have come back since: it must not be said of those that none is up.
        let somebody_is_away = || self.tiers.iter().any(|tier| tier.look_at.is_some());
        if !matches!(found, Found::Nobody) || !somebody_is_away() {
            return found;
        }
        self.tiers.iter_mut().for_each(Tier::look);
        self.next(cluster, wish)
    }

    fn next(&mut self, cluster: &Cluster, wish: Wish<'_>) -> Found {
        let [near, far, backups @ ..] = &mut self.tiers;
        let stays = match &cluster.zone {
            Some(zone) if far.live > 0 => {
                let number = wish.key.map_or_else(|| fastrand::u64(..), mix);
                stays_near(near.live, near.all, zone.needs, number)
            }
            _ => true,
        };
        let (first, second) = if stays { (near, far) } else { (far, near) };
        let mut found = first.choose(wish).or_else(|| second.choose(wish));
        // A backup is for when the others are away, not for when they are busy.
        for tier in backups {
            if matches!(found, Found::Nobody) {
                found = tier.choose(wish);
            }
        }
        found
    }

    /// Chooses one that was not tried, usable or not.
    pub(super) fn choose_any(&mut self, wish: Wish<'_>) -> Option<Rc<Slot>> {
        self.tiers.iter_mut().find_map(|tier| tier.choose_any(wish))
    }
}

/// The endpoints of one standing.
#[derive(Debug)]
struct Tier {
    slots: Vec<Rc<Slot>>,
    /// Shared with the counts of connections that it follows.
    order: Rc<RefCell<Order>>,
    /// How much of its weight each has now.
    shares: Vec<u32>,
    slow_start: Option<Duration>,
    /// The weight of all, and of those that are usable.
    all: u64,
    live: u64,
    /// When it must be looked who is usable; never while everybody is, and has its whole share.
    look_at: Option<Instant>,
}

impl Tier {
    fn new(cluster: &Cluster, slots: Vec<Rc<Slot>>) -> Self {
        let members: Vec<_> = slots.iter().map(|slot| Member { weight: slot.weight, id: slot.id }).collect();
        let order = Order::new(&cluster.balance, &members, fastrand::u64(..));
        let follows = order.follows_connections();
        let order = Rc::new(RefCell::new(order));
        if follows {
            slots.iter().enumerate().for_each(|(place, slot)| slot.load.follow(&order, place));
        }
        let all = slots.iter().map(|slot| u64::from(slot.weight)).sum();
        let shares = vec![WHOLE; slots.len()];
        let mut tier =
            Self { slots, order, shares, slow_start: cluster.slow_start, all, live: all, look_at: None };
        tier.look();
        tier
    }

    fn look_now_and_then(&mut self) {
        if self.look_at.is_some_and(|look_at| look_at <= Instant::now()) {
            self.look();
        }
    }

    /// Finds out who is usable, and gives each the share that it has now.
    fn look(&mut self) {
        let slow_start = self.slow_start;
        let shares: Vec<u32> = self.slots.iter().map(|slot| share(slot, slow_start)).collect();
        // Where all of them start slowly, none has to.
        let most = shares.iter().copied().max().unwrap_or(WHOLE).max(1);
        let mut order = self.order.borrow_mut();
        self.live = 0;
        let mut is_settled = true;
        for (place, (share, slot)) in shares.into_iter().zip(&self.slots).enumerate() {
            let share = share * WHOLE / most;
            is_settled &= share == WHOLE;
            self.live += if share > 0 { u64::from(slot.weight) } else { 0 };
            if let Some(before) = self.shares.get_mut(place).filter(|before| **before != share) {
                *before = share;
                order.set_share(place, share);
            }
        }
        self.look_at = (!is_settled || most < WHOLE).then(|| Instant::now() + LOOK);
    }

    fn choose(&mut self, wish: Wish<'_>) -> Found {
        if self.live == 0 {
            return Found::Nobody;
        }
        let (found_one_down, found_one_full) = (Cell::new(false), Cell::new(false));
        let is_free = |place: usize| {
            let Some(slot) = self.slots.get(place) else { return false };
            if !slot.is_usable() {
                found_one_down.set(true);
                return false;
            }
            if wish.tried.contains(&slot.address) {
                return false;
            }
            let has_room = slot.has_room();
            found_one_full.set(found_one_full.get() | !has_room);
            has_room
        };
        let connections = |place: usize| self.slots.get(place).map_or(0, |slot| slot.load.connections());
        let place = self.order.borrow_mut().next(wish.key, connections, is_free);
        let chosen = place.and_then(|place| self.slots.get(place)).map(Rc::clone);
        if found_one_down.get() {
            self.look();
        }
        match chosen {
            Some(slot) => Found::Slot(slot),
            None if found_one_full.get() => Found::Full,
            None => Found::Nobody,
        }
    }

    fn choose_any(&self, wish: Wish<'_>) -> Option<Rc<Slot>> {
        let mut order = self.order.borrow_mut();
        (0..self.slots.len()).for_each(|place| order.set_share(place, WHOLE));
        let connections = |place: usize| self.slots.get(place).map_or(0, |slot| slot.load.connections());
        let is_free = |place: usize| {
            self.slots.get(place).is_some_and(|slot| {
                !wish.tried.contains(&slot.address) && !slot.reports.state.is_draining() && slot.has_room()
            })
        };
        let place = order.next(wish.key, connections, is_free);
        for (place, share) in self.shares.iter().enumerate() {
            order.set_share(place, *share);
        }
        self.slots.get(place?).map(Rc::clone)
    }
}

/// How much of its weight an endpoint has now.
fn share(slot: &Slot, slow_start: Option<Duration>) -> u32 {
    if !slot.is_usable() {
        return 0;
    }
    match (slow_start, slot.reports.state.usable_for()) {
        (Some(slow_start), Some(usable_for)) => ramp(usable_for, slow_start),
        _ => WHOLE,
    }
}

/// How soon it is noticed that an endpoint is usable again. That it is not is noticed when it would be chosen.
const LOOK: Duration = Duration::from_millis(100);
