//! Where the newest two checkpoints of each actor stand: a few bytes an actor, in memory only.
//! Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::contract::checkpoint_store::Generation;
use crate::id::actor_id::ActorId;

/// Where a checkpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    /// The stream of its pack.
    pub(super) pack: u32,
    /// The value that holds it, or the last of several values.
    pub(super) value: u32,
    /// Its encoded size in bytes; 0 for none.
    pub(super) length: u32,
}

const NO_LOCATION: Location = Location { pack: 0, value: 0, length: 0 };

/// An actor is known by 128 bits of two hashes (`SipHash`) under keys that are drawn for each
/// opening: the probability that two actors of a million have the same ones is 10^-27, and nobody
/// can cause it without the keys.
type Hash = [u32; 4];

/// The locations of an actor's checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NewestTwo {
    newest: Location,
    previous: Location,
}

impl NewestTwo {
    fn all(self) -> impl Iterator<Item = Location> {
        [self.newest, self.previous].into_iter().filter(|location| *location != NO_LOCATION)
    }
}

/// Maps each actor to the locations of its checkpoints that count.
#[derive(Default)]
pub(super) struct CheckpointIndex {
    hasher: Hasher,
    /// Sorted by hash, without spare capacity.
    sorted: Vec<(Hash, NewestTwo)>,
    /// Actors that came after the last sorting.
    unsorted: HashMap<Hash, NewestTwo>,
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

impl CheckpointIndex {
    /// How many actors there are.
    pub(super) fn actors(&self) -> usize {
        self.sorted.len() + self.unsorted.len()
    }

    /// The location of a checkpoint, if there is one.
    pub(super) fn get(&self, actor: &ActorId, generation: Generation) -> Option<Location> {
        let two = self.find(&self.hasher.hash(actor.as_str()))?;
        let location = match generation {
            Generation::Newest => two.newest,
            Generation::Previous => two.previous,
        };
        (location != NO_LOCATION).then_some(location)
    }

    /// Gives an actor a newest checkpoint. Returns the location of the one that no longer counts.
    pub(super) fn put(&mut self, actor: &ActorId, location: Location) -> Option<Location> {
        assert!(location != NO_LOCATION, "a checkpoint that was put stands somewhere");
        let hash = self.hasher.hash(actor.as_str());
        if let Some(two) = self.find_mut(&hash) {
            let dropped =
                std::mem::replace(two, NewestTwo { newest: location, previous: two.newest }).previous;
            return (dropped != NO_LOCATION).then_some(dropped);
        }
        // An insertion into the middle of the sorted list would move half of it.
        self.unsorted.insert(hash, NewestTwo { newest: location, previous: NO_LOCATION });
        if self.unsorted.len() > UNSORTED_MIN + self.sorted.len() / 8 {
            self.merge_unsorted();
        }
        None
    }

    /// Moves a checkpoint that stands at `from`. Returns whether it did: a checkpoint that no
    /// longer counts there stays.
    pub(super) fn moved(&mut self, actor: &ActorId, from: Location, to: Location) -> bool {
        let hash = self.hasher.hash(actor.as_str());
        let Some(two) = self.find_mut(&hash) else { return false };
        assert!(from != NO_LOCATION && to != NO_LOCATION, "a checkpoint moves from a place to another");
        for location in [&mut two.newest, &mut two.previous] {
            if *location == from {
                *location = to;
                return true;
            }
        }
        false
    }

    /// Which of an actor's two checkpoints stands at a location.
    pub(super) fn generation(&self, actor: &ActorId, location: Location) -> Option<Generation> {
        let two = self.find(&self.hasher.hash(actor.as_str()))?;
        match location {
            location if location == two.newest => Some(Generation::Newest),
            location if location == two.previous => Some(Generation::Previous),
            _ => None,
        }
    }

    /// Which of these checkpoints are the newest of their actors. It looks them up in the order of
    /// the hashes, because each lookup out of order would miss the cache.
    pub(super) fn are_newest<'a>(
        &self,
        checkpoints: impl Iterator<Item = (&'a ActorId, Location)>,
    ) -> Vec<bool> {
        let hashed = checkpoints.enumerate();
        let mut hashed: Vec<(Hash, usize, Location)> = hashed
            .map(|(nth, (actor, location))| (self.hasher.hash(actor.as_str()), nth, location))
            .collect();
        hashed.sort_unstable_by_key(|(hash, ..)| *hash);
        let mut newest = vec![false; hashed.len()];
        let mut rest = &self.sorted[..];
        for (hash, nth, location) in hashed {
            // A galloping search from the place of the entry before.
            let mut near = 1;
            while rest.get(near).is_some_and(|(sorted, _)| *sorted < hash) {
                near *= 2;
            }
            let at = rest[near / 2..rest.len().min(near + 1)].partition_point(|(sorted, _)| *sorted < hash);
            rest = &rest[(near / 2 + at).min(rest.len())..];
            let two = rest.first().filter(|(sorted, _)| *sorted == hash).map(|(_, two)| two);
            let two = two.or_else(|| self.unsorted.get(&hash));
            newest[nth] = two.is_some_and(|two| two.newest == location);
        }
        newest
    }

    fn find(&self, hash: &Hash) -> Option<&NewestTwo> {
        match self.sorted.binary_search_by(|(sorted, _)| sorted.cmp(hash)) {
            Ok(at) => self.sorted.get(at).map(|(_, two)| two),
            Err(_) => self.unsorted.get(hash),
        }
    }

    fn find_mut(&mut self, hash: &Hash) -> Option<&mut NewestTwo> {
        match self.sorted.binary_search_by(|(sorted, _)| sorted.cmp(hash)) {
            Ok(at) => self.sorted.get_mut(at).map(|(_, two)| two),
            Err(_) => self.unsorted.get_mut(hash),
        }
    }

    fn merge_unsorted(&mut self) {
        self.sorted.reserve_exact(self.unsorted.len());
        self.sorted.extend(self.unsorted.drain());
        self.sorted.sort_unstable_by_key(|(hash, _)| *hash);
        self.unsorted.shrink_to_fit();
        debug_assert!(self.sorted.is_sorted_by(|(one, _), (next, _)| one < next), "an actor stands once");
    }
}

/// The checkpoints that an opening finds. The newest two of each actor count.
#[derive(Default)]
pub(super) struct FoundCheckpoints {
    hasher: Hasher,
    found: Vec<(Hash, u64, Location)>,
}

impl FoundCheckpoints {
    /// Adds a checkpoint with its number.
    pub(super) fn add(&mut self, actor: &ActorId, number: u64, location: Location) {
        self.found.push((self.hasher.hash(actor.as_str()), number, location));
    }

    /// The ones that count, and all their locations. Of two copies the one in the latest pack
    /// counts.
    pub(super) fn finish(mut self) -> (CheckpointIndex, impl Iterator<Item = Location>) {
        // By actor, then the highest number first, and of the same number the latest pack first.
        self.found.sort_unstable_by(|a, b| (a.0, b.1, b.2).cmp(&(b.0, a.1, a.2)));
        let actors = self.found.chunk_by(|a, b| a.0 == b.0).count();
        let mut sorted = Vec::with_capacity(actors);
        for same in self.found.chunk_by(|a, b| a.0 == b.0) {
            let Some((hash, number, newest)) = same.first() else { continue };
            // Not the second entry: that may be a copy of the first, in the pack that is cleaned.
            let previous = same.iter().find(|(_, other, _)| other < number);
            let previous = previous.map_or(NO_LOCATION, |(_, _, location)| *location);
            sorted.push((*hash, NewestTwo { newest: *newest, previous }));
        }
        drop(self.found);
        let locations: Vec<Location> = sorted.iter().flat_map(|(_, two)| two.all()).collect();
        (CheckpointIndex { hasher: self.hasher, sorted, unsorted: HashMap::new() }, locations.into_iter())
    }
}

/// The least number of unsorted actors before the index sorts them in.
const UNSORTED_MIN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance::id;

    fn location(value: u32) -> Location {
        Location { pack: 1 + value / 10, value: value % 10, length: 9 }
    }

    #[test]
    fn the_newest_two_are_known_of_any_number_of_actors() {
        let mut index = CheckpointIndex::default();
        let actors = 3 * UNSORTED_MIN;
        for round in 0..3_u32 {
            for actor in 0..actors {
                let number = u32::try_from(actor).unwrap();
                let dropped = index.put(&id(&actor.to_string()), location(number * 3 + round));
                assert_eq!(dropped, (round == 2).then(|| location(number * 3)));
            }
            assert_eq!(index.actors(), actors);
        }
        for actor in 0..actors {
            let (id, number) = (id(&actor.to_string()), u32::try_from(actor).unwrap() * 3);
            assert_eq!(index.get(&id, Generation::Newest), Some(location(number + 2)));
            assert_eq!(index.get(&id, Generation::Previous), Some(location(number + 1)));
            assert!(index.moved(&id, location(number + 1), location(999_999)));
            assert!(!index.moved(&id, location(number + 1), location(999_998)));
            assert_eq!(index.generation(&id, location(999_999)), Some(Generation::Previous));
        }
        let all = (0..actors).chain([0, actors - 1, actors, actors + 9]);
        let asked: Vec<_> = all
            .map(|actor| {
                (id(&actor.to_string()), location(u32::try_from(actor * 3 + 1 + actor % 2).unwrap()))
            })
            .collect();
        let newest = index.are_newest(asked.iter().map(|(actor, location)| (actor, *location)));
        for ((actor, location), is_newest) in asked.iter().zip(newest) {
            assert_eq!(index.generation(actor, *location) == Some(Generation::Newest), is_newest, "{actor}");
        }
        assert!(index.are_newest(std::iter::empty()).is_empty());
        assert_eq!(index.get(&id("nobody"), Generation::Newest), None);
    }

    #[test]
    fn what_is_found_is_put_in_order() {
        let mut found = FoundCheckpoints::default();
        for (number, value) in [(5, 50), (9, 90), (7, 70), (9, 91)] {
            found.add(&id("alice"), number, location(value));
        }
        found.add(&id("bob"), 6, location(60));
        let (index, live) = found.finish();
        assert_eq!(index.get(&id("alice"), Generation::Newest), Some(location(91)));
        assert_eq!(index.get(&id("alice"), Generation::Previous), Some(location(70)));
        assert_eq!(index.get(&id("bob"), Generation::Previous), None);
        assert_eq!((index.actors(), live.count()), (2, 3));
    }
}
