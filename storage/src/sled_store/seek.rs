//! How a value is found by its number in a tree with fences, see [`super::fenced`]. Reads only, and may be called
//! while values are added and removed: what is there all the time is found.

use std::ops::Bound;

use sled::{IVec, Tree};

use super::engine::backend;
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
    Ends::of(tree)?.seek(tree, number)
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

/// The first and the last value of a tree, between which others are sought. They may be gone, as long as nothing was
/// added before or after them.
#[derive(Debug)]
pub(super) struct Ends(Option<(Place, Place)>);

impl Ends {
    /// Those of a tree.
    pub(super) fn of(tree: &Tree) -> Result<Self, StoreError> {
        let first = Values::from(tree, Bound::Unbounded).place()?.cloned();
        Ok(Self(first.zip(last_before(tree, None)?)))
    }

    /// The values from the first one on that has a number of at least `number`.
    ///
    /// Groups are as good as proportional to numbers where values are of one size, so a guess is off by little. Where
    /// guesses bring too little the groups are halved, so that it takes two looks for each halving, and two more, at
    /// most.
    pub(super) fn seek(&self, tree: &Tree, number: u64) -> Result<Values, StoreError> {
        let (mut low, mut high) = match &self.0 {
            None => return after_all(tree, Bound::Unbounded, number),
            Some((_, last)) if last.number() < number => {
                return after_all(tree, Bound::Excluded(last), number);
            }
            Some((first, _)) if first.number() >= number => {
                return Ok(Values::from(tree, Bound::Included(first)));
            }
            Some((first, last)) => (first.clone(), last.clone()),
        };
        // What is sought stands between `low` and `high`, in one of these groups.
        let (mut from, mut to) = (low.group(), high.group());
        let mut guesses = GUESSES;
        while from <= to {
            let width = to - from;
            let group = match guesses {
                0 => from + width / 2,
                _ => guess(&low, &high, number).clamp(from, to),
            };
            let wanted = Key { number, part: 0 };
            let mut found = Values::from(tree, Bound::Included(&Place::new(group, wanted)));
            let place = found.place()?;
            if place.is_some_and(|place| place.key() == Some(wanted)) {
                return Ok(found);
            }
            match place {
                Some(place) if place.number() < number => {
                    low = place.clone();
                    from = low.group().max(group + 1);
                }
                place => match last_before(tree, place)? {
                    Some(before) if before.number() >= number => {
                        // No value of the group itself stands before this place and has such a number.
                        let Some(last) = group.checked_sub(1) else { break };
                        to = before.group().min(last);
                        high = before;
                    }
                    _ => return Ok(found),
                },
            }
            guesses = match guesses {
                0 => 1,
                _ if to.saturating_sub(from) <= width / 2 => guesses,
                _ => guesses - 1,
            };
        }
        // Keys are damaged, else there are groups left until it is found.
        Ok(Values::from(tree, Bound::Included(&high)))
    }
}

/// Of what was added since the ends were read, the values from a number on.
fn after_all(tree: &Tree, last: Bound<&Place>, number: u64) -> Result<Values, StoreError> {
    let mut added = Values::from(tree, last);
    while added.place()?.is_some_and(|place| place.number() < number) {
        added.ahead = None;
    }
    Ok(added)
}

/// Where a number should be, between two places.
fn guess(low: &Place, high: &Place, number: u64) -> u64 {
    let groups = u128::from(high.group().saturating_sub(low.group())) + 1;
    let numbers = u128::from(high.number().saturating_sub(low.number())) + 1;
    let ahead = u128::from(number.saturating_sub(low.number()));
    low.group() + u64::try_from(ahead * groups / numbers).unwrap_or(u64::MAX >> 1)
}

/// How many guesses may bring less than a halving would, before there is one.
const GUESSES: u32 = 2;
