//! Where the newest two checkpoints of each actor stand: a few bytes an actor, in memory only. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::{ActorId, Generation};

/// Where a checkpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The stream of its pack.
    pub(super) pack: u32,
    /// The value in which it is, or the last of several.
    pub(super) value: u32,
    /// Its encoded size in bytes; 0 for no place.
    pub(super) length: u32,
}

const NOWHERE: Place = Place { pack: 0, value: 0, length: 0 };

/// An actor is known by 128 bits of two hashes (`SipHash`) under keys that are drawn for each opening: that two of a million
/// have the same ones has a probability of 10^-27, and nobody who does not know the keys can bring it about.
type Hash = [u32; 4];

/// The places of an actor's checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Two {
    newest: Place,
    previous: Place,
}

impl Two {
    fn all(self) -> impl Iterator<Item = Place> {
        [self.newest, self.previous].into_iter().filter(|place| *place != NOWHERE)
    }
}

/// The places of all checkpoints that count.
#[derive(Default)]
pub(super) struct Places {
    hasher: Hasher,
    /// In the order of the hashes, without room for more.
    settled: Vec<(Hash, Two)>,
    /// Actors that came since.
    fresh: HashMap<Hash, Two>,
}

#[derive(Default)]
struct Hasher([RandomState; 2]);

impl Hasher {
    fn hash(&self, actor: &str) -> Hash {
        let [first, second] = &self.0;
        let (first, second) = (first.hash_one(actor), second.hash_one(actor));
        let low = |hash: u64| u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default();
        [low(first >> 32), low(first), low(second >> 32), low(second)]
    }
}

impl Places {
    /// How many actors there are.
    pub(super) fn actors(&self) -> usize {
        self.settled.len() + self.fresh.len()
    }

    /// The place of a checkpoint, if there is one.
    pub(super) fn get(&self, actor: &ActorId, generation: Generation) -> Option<Place> {
        let two = self.find(&self.hasher.hash(actor.as_str()))?;
        let place = match generation {
            Generation::Newest => two.newest,
            Generation::Previous => two.previous,
        };
        (place != NOWHERE).then_some(place)
    }

    /// Gives an actor a newest checkpoint. Returns the place of the one that counts no more.
    pub(super) fn put(&mut self, actor: &ActorId, place: Place) -> Option<Place> {
        let hash = self.hasher.hash(actor.as_str());
        if let Some(two) = self.find_mut(&hash) {
            let dropped = std::mem::replace(two, Two { newest: place, previous: two.newest }).previous;
            return (dropped != NOWHERE).then_some(dropped);
        }
        self.fresh.insert(hash, Two { newest: place, previous: NOWHERE });
        if self.fresh.len() > FRESH_MIN + self.settled.len() / 8 {
            self.settle();
        }
        None
    }

    /// Moves a checkpoint that stands at `from`. Whether it still counts there, and was moved.
    pub(super) fn moved(&mut self, actor: &ActorId, from: Place, to: Place) -> bool {
        let hash = self.hasher.hash(actor.as_str());
        let Some(two) = self.find_mut(&hash) else { return false };
        for place in [&mut two.newest, &mut two.previous] {
            if *place == from {
                *place = to;
                return true;
            }
        }
        false
    }

    /// Which of an actor's two checkpoints stands at a place.
    pub(super) fn generation(&self, actor: &ActorId, place: Place) -> Option<Generation> {
        let two = self.find(&self.hasher.hash(actor.as_str()))?;
        match place {
            place if place == two.newest => Some(Generation::Newest),
            place if place == two.previous => Some(Generation::Previous),
            _ => None,
        }
    }

    fn find(&self, hash: &Hash) -> Option<&Two> {
        match self.settled.binary_search_by(|(settled, _)| settled.cmp(hash)) {
            Ok(at) => self.settled.get(at).map(|(_, two)| two),
            Err(_) => self.fresh.get(hash),
        }
    }

    fn find_mut(&mut self, hash: &Hash) -> Option<&mut Two> {
        match self.settled.binary_search_by(|(settled, _)| settled.cmp(hash)) {
            Ok(at) => self.settled.get_mut(at).map(|(_, two)| two),
            Err(_) => self.fresh.get_mut(hash),
        }
    }

    fn settle(&mut self) {
        self.settled.reserve_exact(self.fresh.len());
        self.settled.extend(self.fresh.drain());
        self.settled.sort_unstable_by_key(|(hash, _)| *hash);
        self.fresh.shrink_to_fit();
    }
}

/// Checkpoints as they are found at an opening, of which the newest two of each actor count.
#[derive(Default)]
pub(super) struct Sighted {
    hasher: Hasher,
    found: Vec<(Hash, u64, Place)>,
}

impl Sighted {
    /// Adds a checkpoint with its number.
    pub(super) fn add(&mut self, actor: &ActorId, number: u64, place: Place) {
        self.found.push((self.hasher.hash(actor.as_str()), number, place));
    }

    /// Which of them count, and all their places. Of copies the one in the latest pack counts.
    pub(super) fn finish(mut self) -> (Places, impl Iterator<Item = Place>) {
        self.found.sort_unstable_by(|a, b| (a.0, b.1, b.2).cmp(&(b.0, a.1, a.2)));
        let actors = self.found.chunk_by(|a, b| a.0 == b.0).count();
        let mut settled = Vec::with_capacity(actors);
        for same in self.found.chunk_by(|a, b| a.0 == b.0) {
            let Some((hash, number, newest)) = same.first() else { continue };
            let previous = same.iter().find(|(_, other, _)| other < number);
            let previous = previous.map_or(NOWHERE, |(_, _, place)| *place);
            settled.push((*hash, Two { newest: *newest, previous }));
        }
        drop(self.found);
        let places: Vec<Place> = settled.iter().flat_map(|(_, two)| two.all()).collect();
        (Places { hasher: self.hasher, settled, fresh: HashMap::new() }, places.into_iter())
    }
}

/// So many actors may come before they are put in order.
const FRESH_MIN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::id;

    fn place(value: u32) -> Place {
        Place { pack: 1 + value / 10, value: value % 10, length: 9 }
    }

    #[test]
    fn the_newest_two_are_known_of_any_number_of_actors() {
        let mut places = Places::default();
        let actors = 3 * FRESH_MIN;
        for round in 0..3_u32 {
            for actor in 0..actors {
                let number = u32::try_from(actor).unwrap();
                let dropped = places.put(&id(&actor.to_string()), place(number * 3 + round));
                assert_eq!(dropped, (round == 2).then(|| place(number * 3)));
            }
            assert_eq!(places.actors(), actors);
        }
        for actor in 0..actors {
            let (id, number) = (id(&actor.to_string()), u32::try_from(actor).unwrap() * 3);
            assert_eq!(places.get(&id, Generation::Newest), Some(place(number + 2)));
            assert_eq!(places.get(&id, Generation::Previous), Some(place(number + 1)));
            assert!(places.moved(&id, place(number + 1), place(999_999)));
            assert!(!places.moved(&id, place(number + 1), place(999_998)));
            assert_eq!(places.generation(&id, place(999_999)), Some(Generation::Previous));
        }
        assert_eq!(places.get(&id("nobody"), Generation::Newest), None);
    }

    #[test]
    fn what_is_sighted_is_put_in_order() {
        let mut sighted = Sighted::default();
        for (number, value) in [(5, 50), (9, 90), (7, 70), (9, 91)] {
            sighted.add(&id("alice"), number, place(value));
        }
        sighted.add(&id("bob"), 6, place(60));
        let (places, live) = sighted.finish();
        assert_eq!(places.get(&id("alice"), Generation::Newest), Some(place(91)));
        assert_eq!(places.get(&id("alice"), Generation::Previous), Some(place(70)));
        assert_eq!(places.get(&id("bob"), Generation::Previous), None);
        assert_eq!((places.actors(), live.count()), (2, 3));
    }
}
