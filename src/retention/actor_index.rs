//! Names of millions of actors in 16 bytes each: an opening numbers the actors that it lists, and
//! finds a number by its name.

use std::hash::{BuildHasher, RandomState};

use relive_storage::{ActorId, Rsn};

/// The 128 bits of two hashes stand for an actor. Each opening draws new keys. Two of a million
/// actors have the same bits with a probability of 10^-27, and an attacker who does not know the
/// keys can't raise it.
///
/// # Source
/// The standard library's `RandomState` uses `SipHash`: Aumasson and Bernstein, *`SipHash`: A Fast
/// Short-Input PRF*, INDOCRYPT 2012.
pub(crate) type Hash = [u64; 2];

/// Draws the keys, and hashes.
#[derive(Default)]
pub(crate) struct Hasher([RandomState; 2]);

impl Hasher {
    pub(crate) fn hash(&self, actor: &str) -> Hash {
        let [first, second] = &self.0;
        [first.hash_one(actor), second.hash_one(actor)]
    }
}

/// The actors that a listing has shown, by number.
#[derive(Default)]
pub(crate) struct ActorIndex {
    hasher: Hasher,
    /// In order.
    hashes: Vec<Hash>,
    /// For each value of the first bits, the number of the first hash with these bits; then the
    /// end.
    starts: Vec<u32>,
    /// How many bits are left after the first ones.
    shift: u32,
}

impl ActorIndex {
    /// Numbers the listed actors. Also returns, by number, what `each` makes of the end of a
    /// checkpoint.
    pub(crate) fn list<T>(listed: ActorIndexBuilder, each: impl Fn(Rsn) -> T) -> (Self, Vec<T>) {
        let ActorIndexBuilder { hasher, mut actors } = listed;
        // By hash, so the number of an actor differs from opening to opening. Nothing stores it.
        actors.sort_unstable();
        let floors = actors.iter().map(|(_, floor)| each(*floor)).collect();
        // Collected in place: it reuses the allocation of the pairs.
        let mut hashes: Vec<Hash> = actors.into_iter().map(|(hash, _)| hash).collect();
        hashes.shrink_to_fit();
        let bits = (hashes.len() / HASHES_PER_START + 2).next_power_of_two().ilog2();
        let shift = u64::BITS - bits;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        let end = u32::try_from(hashes.len()).expect("their hashes alone would take 64 GiB");
        for (number, [first, _]) in (0..end).zip(&hashes) {
            while starts.len() as u64 <= first >> shift {
                starts.push(number);
            }
        }
        assert!(starts.len() <= 1 << bits, "the first bits have {} values", starts.len());
        starts.resize((1 << bits) + 1, end);
        (Self { hasher, hashes, starts, shift }, floors)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.hashes.len()
    }

    /// The number of an actor; `None` when the listing does not have it.
    pub(crate) fn find(&self, actor: &str) -> Option<usize> {
        // The usual case of a new store: it costs no hash.
        if self.hashes.is_empty() {
            return None;
        }
        let hash = self.hasher.hash(actor);
        let bits = usize::try_from(hash[0] >> self.shift).ok()?;
        let (start, end) = (*self.starts.get(bits)? as usize, *self.starts.get(bits + 1)? as usize);
        let same = self.hashes.get(start..end)?;
        same.iter().position(|found| *found == hash).map(|at| start + at)
    }

    /// The hash of an actor, listed or not.
    pub(crate) fn hash(&self, actor: &str) -> Hash {
        self.hasher.hash(actor)
    }
}

/// Actors with the last deliveries in their newest checkpoints, while they are listed.
#[derive(Default)]
pub(crate) struct ActorIndexBuilder {
    hasher: Hasher,
    actors: Vec<(Hash, Rsn)>,
}

impl ActorIndexBuilder {
    pub(crate) fn push(&mut self, actor: &ActorId, floor: Rsn) {
        self.actors.push((self.hasher.hash(actor.as_str()), floor));
    }
}

/// How many hashes share the same first bits at most, on average. They fill one cache line of 64
/// bytes.
const HASHES_PER_START: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: u32) -> ActorId {
        ActorId::new("account", &key.to_string()).unwrap()
    }

    #[test]
    fn every_actor_that_was_listed_has_a_number_of_its_own() {
        for count in [0, 1, 2, 7, 40, 1000] {
            let mut listing = ActorIndexBuilder::default();
            for key in 0..count {
                listing.push(&id(key), Rsn::new(u64::from(key) + 1));
            }
            let (hashes, floors) = ActorIndex::list(listing, |floor| floor);
            assert_eq!(hashes.count(), count as usize);
            let mut numbers = Vec::new();
            for key in 0..count {
                let number = hashes.find(id(key).as_str()).unwrap();
                assert_eq!(floors[number], Rsn::new(u64::from(key) + 1));
                numbers.push(number);
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (0..count as usize).collect::<Vec<_>>());
            assert_eq!(hashes.find(id(count).as_str()), None);
        }
    }
}
