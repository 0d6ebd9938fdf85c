//! A tree whose values lie behind fences, so that sled writes each of them about once. Used for blocks and for
//! checkpoints; knows keys and sizes, not what the values are.
//!
//! ```text
//! fence := group:u64 index:u8                     big-endian, so that keys sort; index below FENCES, no value
//! value := group:u64 255:u8 number:u64 part:u16
//! ```
//! Values come in ascending order of (number, part), and are grouped in the order in which they come: a large one
//! alone, small ones together. So the order of keys is the order of numbers, and a number is found with few looks
//! (`seek`); the number alone would do as a key, were it known ahead, where the fences go. Groups and fences say
//! nothing: fences may be missing or left over, and the next group is found at open, after the last value.
//!
//! Invariants, on which rests that a leaf is not written again with its values in it, and stays below the size above
//! which sled makes a blob of it (`shape` has the numbers):
//! - a group is given its fences before its first value, and so are some groups after it: a leaf is split while it
//!   holds nothing but fences, and a value lands in a leaf that stays as it is;
//! - a group loses its fences after its last value, and many groups in one step lose all their values first: else
//!   leaves that become small are merged into others with values in them.

use std::ops::Bound;

use sled::Tree;

use super::answers::backend;
use super::part::Key;
use super::place::{self, Place, fence, is_fence};
use super::seek::{Ends, Values, last_before, seek};
use super::shape::{
    CUT_KEYS_PER_REMOVAL, FENCES, FENCES_PER_REMOVAL, GROUP_BYTES, GROUPS_AHEAD, GROUPS_PER_REMOVAL,
    KEYS_PER_REMOVAL,
};
use crate::StoreError;

/// The writer's side of such a tree.
#[derive(Debug)]
pub(super) struct Fenced {
    tree: Tree,
    /// The group of the next value, if it is small enough.
    group: u64,
    /// The bytes of values in that group.
    bytes: usize,
    /// All groups from the one at open to this one (not included) have their fences.
    fenced: u64,
    ends: Ends,
    /// Numbers that were removed but for some fences, and where the next value stands.
    gone: Vec<(u64, Option<Place>)>,
}

impl Fenced {
    /// Takes a tree as it was stored, and goes on with a new group after the last value.
    pub(super) fn open(tree: Tree) -> Result<Self, StoreError> {
        let group = match last_before(&tree, None)? {
            None => 0,
            Some(last) => last.group() + 1,
        };
        let (bytes, fenced) = (0, group);
        Ok(Self { tree, group, bytes, fenced, ends: Ends::default(), gone: Vec::new() })
    }

    /// What it is in sled.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Adds a value. Its key must be above those of all that are there.
    pub(super) fn insert(&mut self, key: Key, value: Vec<u8>) -> Result<(), sled::Error> {
        if self.bytes > 0 && self.bytes + value.len() > GROUP_BYTES {
            self.group += 1;
            self.bytes = 0;
        }
        while self.fenced <= self.group + GROUPS_AHEAD {
            for index in 0..FENCES {
                self.tree.insert(fence(self.fenced, index), &[])?;
            }
            self.fenced += 1;
        }
        self.bytes += value.len();
        self.tree.insert(Place::new(self.group, key).bytes(), value).map(drop)
    }

    /// Removes some of the values from the number `first` to `last`, and after the last of them the fences that stood
    /// before them. Returns whether there may be more.
    pub(super) fn remove_step(&self, first: u64, last: u64) -> Result<bool, StoreError> {
        let mut values = seek(&self.tree, first)?;
        let mut keys = KEYS_PER_REMOVAL;
        while keys > 0 && values.place()?.is_some_and(|place| place.number() <= last) {
            self.remove_next(&mut values)?;
            keys -= 1;
        }
        Ok(keys == 0 || !self.remove_fences_before(values.place()?, &mut { FENCES_PER_REMOVAL })?)
    }

    /// Removes some of the values of these numbers, the last of them first, with the fences at the end of the step.
    /// They must descend; those of which nothing is left are taken off.
    pub(super) fn remove_numbers_step(&mut self, numbers: &mut Vec<u64>) -> Result<(), StoreError> {
        let mut values = Values::from(&self.tree, Bound::Unbounded);
        let mut keys = KEYS_PER_REMOVAL;
        let mut gone = Vec::new();
        while keys > 0
            && let Some(&number) = numbers.last()
        {
            if let Some(left) = self.gone.pop_if(|(gone, _)| *gone == number) {
                numbers.pop();
                gone.push(left);
                continue;
            }
            if values.place()?.map(Place::number) != Some(number) {
                values = self.ends.seek(&self.tree, number)?;
            }
            let mut group = None;
            while keys > 0 && values.place()?.is_some_and(|place| place.number() == number) {
                group = self.remove_next(&mut values)?;
                keys -= 1;
            }
            let next = values.place()?;
            if next.is_some_and(|place| place.number() == number) {
                break;
            }
            numbers.pop();
            keys -= usize::from(group.is_none());
            // As long as the group has a value left it keeps its fences.
            if group.is_none() || next.map(Place::group) != group {
                gone.push((number, next.cloned()));
            }
        }
        let mut fences = FENCES_PER_REMOVAL;
        self.gone.clear();
        for (number, after) in gone {
            if !self.remove_fences_before(after.as_ref(), &mut fences)? {
                self.gone.push((number, after));
            }
        }
        self.gone.reverse();
        numbers.extend(self.gone.iter().map(|(number, _)| number));
        Ok(())
    }

    /// Removes some of the values below the number `first`, whole groups of them, once there are enough of them for
    /// a step, with the fences at the end of the step. Returns whether there may be more.
    pub(super) fn remove_below_step(&self, first: u64) -> Result<bool, StoreError> {
        let mut from = seek(&self.tree, first)?;
        let (Some(from), Some(lowest)) = (from.place()?, self.lowest_group()?) else {
            return Ok(false);
        };
        let end = lowest.saturating_add(GROUPS_PER_REMOVAL);
        if end > from.group() {
            return Ok(false);
        }
        let mut removed = 0;
        let lowest = lowest.to_be_bytes();
        let keys = self.tree.range(lowest.as_slice()..end.to_be_bytes().as_slice());
        for found in keys.keys() {
            let found = found.map_err(backend("cut the log"))?;
            if !is_fence(&found) {
                self.remove(&found)?;
                removed += 1;
            }
            if removed == CUT_KEYS_PER_REMOVAL {
                return Ok(true);
            }
        }
        let fences = self.tree.range(..end.to_be_bytes().as_slice()).keys();
        for found in fences.take(CUT_KEYS_PER_REMOVAL) {
            self.remove(&found.map_err(backend("cut the log"))?)?;
        }
        Ok(true)
    }

    /// Removes fences of groups without values, from those before a place, or of all, back to the value before it; at
    /// most so many. Returns whether all are gone.
    fn remove_fences_before(&self, after: Option<&Place>, most: &mut usize) -> Result<bool, StoreError> {
        let group = after.map_or(self.group, Place::group).to_be_bytes();
        for found in self.tree.range(..group.as_slice()).keys().rev() {
            let found = found.map_err(backend("remove"))?;
            if !is_fence(&found) {
                break;
            }
            if *most == 0 {
                return Ok(false);
            }
            self.remove(&found)?;
            *most -= 1;
        }
        Ok(true)
    }

    /// Removes a value, and gives its group.
    fn remove_next(&self, values: &mut Values) -> Result<Option<u64>, StoreError> {
        let Some((place, _)) = values.next().transpose()? else {
            return Ok(None);
        };
        self.remove(place.bytes())?;
        Ok(Some(place.group()))
    }

    fn lowest_group(&self) -> Result<Option<u64>, StoreError> {
        let lowest = self.tree.iter().keys().next().transpose();
        Ok(lowest.map_err(backend("read"))?.map(|key| place::group(&key)))
    }

    fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.tree.remove(key).map_err(backend("remove")).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::sled_store::place::FENCE_KEY_BYTES;

    fn tree() -> (TempDir, Tree) {
        let root = tempfile::tempdir().unwrap();
        let db = sled::Config::new().path(root.path().join("db")).open().unwrap();
        let tree = db.open_tree("test").unwrap();
        (root, tree)
    }

    /// Removes all that one kind of removal does.
    fn remove_all(mut step: impl FnMut() -> Result<bool, StoreError>) {
        while step().unwrap() {}
    }

    fn remove_numbers(fenced: &mut Fenced, mut numbers: Vec<u64>) {
        while !numbers.is_empty() {
            fenced.remove_numbers_step(&mut numbers).unwrap();
        }
    }

    fn all(tree: &Tree) -> Vec<(u64, u16)> {
        let found = tree.iter().keys().map(Result::unwrap);
        let found = found.filter_map(Place::found).map(|place| place.key().unwrap());
        found.map(|key| (key.number, key.part)).collect()
    }

    fn fences(tree: &Tree) -> usize {
        tree.iter().keys().filter(|key| is_fence(key.as_ref().unwrap())).count()
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Parts of that many bytes, at a number that is so much higher.
        Insert(u64, Vec<usize>),
        Remove(usize, usize),
        RemoveEach(Vec<usize>),
        RemoveBelow(usize),
        Reopen,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let size = prop_oneof![3 => 1..200_usize, 1 => GROUP_BYTES - 2..GROUP_BYTES + 2];
        let insert = (1..1000_u64, prop::collection::vec(size, 1..4));
        let insert = insert.prop_map(|(ahead, parts)| Step::Insert(ahead, parts));
        let remove = (0..60_usize, 0..4_usize).prop_map(|(at, more)| Step::Remove(at, more));
        let each = prop::collection::vec(0..60_usize, 1..40).prop_map(Step::RemoveEach);
        let below = (0..60_usize).prop_map(Step::RemoveBelow);
        let step = prop_oneof![8 => insert, 2 => remove, 2 => each, 1 => below, 1 => Just(Step::Reopen)];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Invariant: prefix. Every value is found by its number, whatever was removed before.
        #[test]
        fn values_are_found_by_their_numbers(steps in steps()) {
            let (_root, tree) = tree();
            let mut fenced = Fenced::open(tree.clone()).unwrap();
            let mut model = BTreeSet::new();
            let mut number = 0;
            for step in steps {
                let nth = |at: usize| model.iter().nth(at).map_or(number, |(number, _)| *number);
                match step {
                    Step::Insert(ahead, parts) => {
                        number += ahead;
                        for (part, size) in (0..).zip(parts) {
                            fenced.insert(Key { number, part }, vec![0; size]).unwrap();
                            model.insert((number, part));
                        }
                    }
                    Step::Remove(at, more) => {
                        let (first, last) = (nth(at), nth(at + more));
                        remove_all(|| fenced.remove_step(first, last));
                        model.retain(|(number, _)| *number < first || *number > last);
                    }
                    Step::RemoveEach(nths) => {
                        let numbers: BTreeSet<_> = nths.into_iter().map(nth).collect();
                        remove_numbers(&mut fenced, numbers.iter().rev().copied().collect());
                        model.retain(|(number, _)| !numbers.contains(number));
                    }
                    Step::RemoveBelow(at) => {
                        let first = nth(at);
                        remove_all(|| fenced.remove_below_step(first));
                        let left: BTreeSet<_> = all(&tree).into_iter().collect();
                        prop_assert!(left.is_subset(&model));
                        prop_assert!(left.range((first, 0)..).eq(model.range((first, 0)..)));
                        model = left;
                    }
                    Step::Reopen => fenced = Fenced::open(tree.clone()).unwrap(),
                }
                prop_assert_eq!(all(&tree), model.iter().copied().collect::<Vec<_>>(), "in this order");
            }
            let numbers: BTreeSet<_> = model.iter().map(|(number, _)| *number).collect();
            for near in numbers.iter().flat_map(|number| [number - 1, *number, number + 1]).chain([0, u64::MAX]) {
                let mut found = seek(&tree, near).unwrap();
                let found = found.place().unwrap();
                let expected = model.range((near, 0)..).next().copied();
                let found_key = found.and_then(Place::key).map(|key| (key.number, key.part));
                prop_assert_eq!(found_key, expected, "from {}", near);
                let before = last_before(&tree, found).unwrap();
                let before = before.and_then(|before| before.key()).map(|key| (key.number, key.part));
                prop_assert_eq!(before, model.range(..(near, 0)).next_back().copied());
            }
        }
    }

    #[test]
    fn nothing_stays_of_what_is_removed() {
        let (_root, tree) = tree();
        let mut fenced = Fenced::open(tree.clone()).unwrap();
        let ahead = usize::try_from(GROUPS_AHEAD + 1).unwrap() * usize::from(FENCES);
        for round in 0..5 {
            for number in (1..=100).map(|number| round * 100 + number) {
                fenced.insert(Key { number, part: 0 }, vec![0; 12_000]).unwrap();
            }
            if round % 2 == 0 {
                remove_all(|| fenced.remove_step(0, u64::MAX));
            } else {
                let (first, last) = (round * 100 + 1, round * 100 + 100);
                remove_numbers(&mut fenced, (first..=last).rev().filter(|number| number % 3 > 0).collect());
                remove_numbers(&mut fenced, (first..=last).rev().collect());
            }
            assert_eq!(tree.len(), fences(&tree));
            assert_eq!(tree.len(), ahead, "round {round}");
        }
        // Below a number whole steps are removed, and less than one stays.
        for number in 501..=1000 {
            fenced.insert(Key { number, part: 0 }, vec![0; 12_000]).unwrap();
        }
        remove_all(|| fenced.remove_below_step(1000));
        let groups = usize::try_from(GROUPS_PER_REMOVAL).unwrap();
        assert!(all(&tree).len() <= groups && all(&tree).contains(&(1000, 0)));
        assert!(fences(&tree) <= groups * usize::from(FENCES) + ahead);
    }

    /// Keys of any form keep their place, so that damage to them is reported where it is.
    #[test]
    fn damaged_keys_do_no_harm() {
        let (_root, tree) = tree();
        let mut fenced = Fenced::open(tree.clone()).unwrap();
        fenced.insert(Key { number: 5, part: 0 }, vec![0; 10]).unwrap();
        for length in (0..40).filter(|length| *length != FENCE_KEY_BYTES) {
            tree.insert(vec![u8::MAX; length], &[]).unwrap();
        }
        tree.insert([1], &[]).unwrap();
        for number in [0, 5, 6, u64::MAX] {
            seek(&tree, number).unwrap();
        }
        let mut again = Fenced::open(tree.clone()).unwrap();
        again.insert(Key { number: 6, part: 0 }, vec![0; 10]).unwrap();
        remove_numbers(&mut again, vec![u64::MAX, 6, 5, 0]);
        remove_all(|| again.remove_step(0, u64::MAX));
        remove_all(|| again.remove_below_step(u64::MAX));
    }
}
