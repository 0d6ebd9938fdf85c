//! How a value is found by its number in a tree with fences, see [`super::fenced`]. Reads only, and may be called
//! while values are added and removed: what is there all the time is found.

use std::ops::Bound;

use sled::{IVec, Tree};

use super::answers::backend;
use super::part::Key;
use super::place::Place;
use crate::StoreError;

/// The values from a place on.
pub(super) struct Values {
    keys: sled::Iter,
    /// The next one, when it was looked at.
    ahead: Option<(Place, IVec)>,
}

impl Values {
    /// The values of a tree from a place on.
    pub(super) fn from(tree: &Tree, from: Bound<&Place>) -> Self {
        let from = match from {
            Bound::Included(place) => Bound::Included(place.bytes()),
            Bound::Excluded(place) => Bound::Excluded(place.bytes()),
            Bound::Unbounded => Bound::Unbounded,
        };
        Self { keys: tree.range::<&[u8], _>((from, Bound::Unbounded)), ahead: None }
    }

    /// Where the next one stands.
    pub(super) fn place(&mut self) -> Result<Option<&Place>, StoreError> {
        if self.ahead.is_none() {
            self.ahead = self.next().transpose()?;
        }
        Ok(self.ahead.as_ref().map(|(place, _)| place))
    }
}

impl Iterator for Values {
    type Item = Result<(Place, IVec), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(ahead) = self.ahead.take() {
            return Some(Ok(ahead));
        }
        loop {
            match self.keys.next()? {
                Ok((key, value)) => {
                    if let Some(place) = Place::found(key) {
                        return Some(Ok((place, value)));
                    }
                }
                Err(error) => return Some(Err(backend("read")(error))),
            }
        }
    }
}

/// The values from the first one on that has a number of at least `number`.
pub(super) fn seek(tree: &Tree, number: u64) -> Result<Values, StoreError> {
    Ends::of(tree)?.search(tree, number)
}

/// The last value before a place, or of all.
pub(super) fn last_before(tree: &Tree, place: Option<&Place>) -> Result<Option<Place>, StoreError> {
    let end = place.map_or(Bound::Unbounded, |place| Bound::Excluded(place.bytes()));
    for key in tree.range::<&[u8], _>((Bound::Unbounded, end)).keys().rev() {
        let place = Place::found(key.map_err(backend("read"))?);
        if place.is_some() {
            return Ok(place);
        }
    }
    Ok(None)
}

/// The first and the last value of a tree when they were last looked at, between which others are sought. To be kept
/// by whoever seeks often: they may be old.
#[derive(Debug, Default)]
pub(super) struct Ends(Option<(Place, Place)>);

impl Ends {
    fn of(tree: &Tree) -> Result<Self, StoreError> {
        let first = Values::from(tree, Bound::Unbounded).place()?.cloned();
        Ok(Self(first.zip(last_before(tree, None)?)))
    }

    /// The same as [`seek`].
    pub(super) fn seek(&mut self, tree: &Tree, number: u64) -> Result<Values, StoreError> {
        if self.0.as_ref().is_some_and(|(_, last)| last.number() >= number) {
            let mut found = self.search(tree, number)?;
            if found.place()?.map(Place::number) == Some(number) {
                return Ok(found);
            }
        }
        *self = Self::of(tree)?;
        self.search(tree, number)
    }

    fn search(&self, tree: &Tree, number: u64) -> Result<Values, StoreError> {
        let (first, last) = match &self.0 {
            None => return after_all(tree, Bound::Unbounded, number),
            Some((_, last)) if last.number() < number => {
                return after_all(tree, Bound::Excluded(last), number);
            }
            Some((first, _)) if first.number() >= number => {
                return Ok(Values::from(tree, Bound::Included(first)));
            }
            Some((first, last)) => (first, last),
        };
        let wanted = Key { number, part: 0 };
        let mut search = Search::new(Point::of(first), Point::of(last), number);
        while let Some(group) = search.next() {
            let mut found = Values::from(tree, Bound::Included(&Place::new(group, wanted)));
            let place = found.place()?;
            if place.is_some_and(|place| place.key() == Some(wanted)) {
                return Ok(found);
            }
            match place {
                Some(place) if place.number() < number => search.is_after(group, Point::of(place)),
                place => match last_before(tree, place)? {
                    Some(before) if before.number() >= number => search.is_before(group, Point::of(&before)),
                    _ => return Ok(found),
                },
            }
        }
        // Keys are damaged, else it would have been found.
        after_all(tree, Bound::Excluded(last), number)
    }
}

/// Of what was added since the ends were looked at, the values from a number on.
fn after_all(tree: &Tree, last: Bound<&Place>, number: u64) -> Result<Values, StoreError> {
    let mut added = Values::from(tree, last);
    while added.place()?.is_some_and(|place| place.number() < number) {
        added.ahead = None;
    }
    Ok(added)
}

/// In which group to look for a number. Groups are as good as proportional to numbers where values are of one size, so
/// a guess is off by little. Where guesses bring too little the groups are halved: so it takes at most twice as many
/// looks as halving alone, and two more.
#[derive(Debug)]
struct Search {
    number: u64,
    /// What is sought stands between these...
    low: Point,
    high: Point,
    /// ...in one of these groups.
    from: u64,
    to: u64,
    /// How many guesses may still bring less than a halving would, before there is one.
    guesses: u32,
}

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    group: u64,
    number: u64,
}

impl Point {
    fn of(place: &Place) -> Self {
        Self { group: place.group(), number: place.number() }
    }
}

impl Search {
    fn new(low: Point, high: Point, number: u64) -> Self {
        Self { number, low, high, from: low.group, to: high.group, guesses: 2 }
    }

    /// The group to look in next; `None` when none is left.
    fn next(&self) -> Option<u64> {
        let width = self.to.checked_sub(self.from)?;
        if self.guesses == 0 {
            return Some(self.from + width / 2);
        }
        let groups = u128::from(self.high.group.saturating_sub(self.low.group)) + 1;
        let numbers = u128::from(self.high.number.saturating_sub(self.low.number)) + 1;
        let ahead = u128::from(self.number.saturating_sub(self.low.number)) * groups / numbers;
        let ahead = u64::try_from(ahead).unwrap_or(u64::MAX);
        Some(self.low.group.saturating_add(ahead).clamp(self.from, self.to))
    }

    /// Looking in a group has shown a value before the one that is sought.
    fn is_after(&mut self, group: u64, low: Point) {
        self.low = low;
        self.narrow(low.group.max(group + 1), self.to);
    }

    /// Looking in a group has shown one that is not before the one that is sought, and none in the group is.
    fn is_before(&mut self, group: u64, high: Point) {
        self.high = high;
        match group.checked_sub(1) {
            Some(last) => self.narrow(self.from, high.group.min(last)),
            None => self.narrow(1, 0),
        }
    }

    fn narrow(&mut self, from: u64, to: u64) {
        let is_halved = to.saturating_sub(from) <= (self.to - self.from) / 2;
        self.guesses = match self.guesses {
            0 => 1,
            guesses if is_halved => guesses,
            guesses => guesses - 1,
        };
        (self.from, self.to) = (from, to);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many looks it takes to find a number, where each group has the numbers from its own to that of the next.
    fn looks(groups: &[u64], number: u64) -> u32 {
        let end = groups.len() - 1;
        let point = |group: usize, number: u64| Point { group: group as u64, number };
        let mut search = Search::new(point(0, groups[0]), point(end - 1, groups[end] - 1), number);
        for looks in 1.. {
            let group = usize::try_from(search.next().unwrap()).unwrap();
            if number < groups[group] {
                search.is_before(group as u64, point(group - 1, groups[group] - 1));
            } else if number >= groups[group + 1] {
                search.is_after(group as u64, point(group + 1, groups[group + 1]));
            } else {
                return looks;
            }
        }
        unreachable!()
    }

    #[test]
    fn values_of_one_size_take_few_looks() {
        // The sizes of numbers grow, so that less and less go into a group.
        let sizes = (0..1_000).map(|group: u64| 112 - u64::from((group / 10).max(1).ilog2()));
        let groups: Vec<_> =
            sizes.scan(7, |next, size| Some(std::mem::replace(next, *next + size))).collect();
        let all = groups[0]..groups[groups.len() - 1];
        let counted: Vec<_> = all.map(|number| looks(&groups, number) as usize).collect();
        assert!(counted.iter().sum::<usize>() < counted.len() * 3, "on average");
        assert!(counted.iter().all(|looks| *looks <= 5));
    }

    proptest! {
        #[test]
        fn no_order_of_sizes_takes_many_looks(
            sizes in prop::collection::vec(prop_oneof![1..3_u64, 1..1_000_000_u64, Just(1 << 50)], 1..3000),
            at in any::<prop::sample::Index>(),
            in_group in any::<prop::sample::Index>(),
        ) {
            let groups: Vec<_> =
                sizes.iter().chain([&1]).scan(1, |next, size| Some(std::mem::replace(next, *next + size))).collect();
            let at = at.index(sizes.len());
            let number = groups[at] + in_group.index(usize::try_from(sizes[at]).unwrap()) as u64;
            let halvings = sizes.len().ilog2() + 1;
            prop_assert!(looks(&groups, number) <= 2 * halvings + 2);
        }
    }
}
