//! A medium with a volatile cache that loses its power at a planned moment: a read finds an
//! appended value at once, a synced value survives, and plan and seed decide which others survive.
//! Knows what a medium does, and no store.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::id::position::StoreId;
use crate::medium::{Medium, StreamId};
use crate::testing::draws::Draws;

/// What a loss of power leaves of the writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// All of it.
    All,
    /// The seed decides for each write alone whether it survives.
    Drawn,
}

/// The device. Clones are the same device.
///
/// All chance in it comes from its seed.
///
/// # Examples
/// ```
/// use relive_storage::medium::{Medium, StreamId};
/// use relive_storage::simulated_medium::{Left, SimulatedMedium};
///
/// let device = SimulatedMedium::new(7);
/// let medium = device.open();
/// medium.append(StreamId(3), 0, b"synced")?;
/// medium.sync(StreamId(3))?;
/// medium.append(StreamId(3), 1, b"not synced")?;
/// device.lose_power(Left::Nothing);
/// assert_eq!(device.open().streams()?[&StreamId(3)], 0..1);
/// # Ok::<(), relive_storage::StoreError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimulatedMedium {
    store: StoreId,
    state: Arc<Mutex<State>>,
}

/// One opening of the device.
#[derive(Debug)]
pub struct Opening {
    device: SimulatedMedium,
    number: u64,
}

#[derive(Debug)]
struct State {
    draws: Draws,
    synced: Image,
    cached: Image,
    unsynced: Vec<Write>,
    opening: u64,
    powered: bool,
    /// The writing call at which the power goes, before it or after it, and what it leaves.
    planned: Option<(u64, bool, Left)>,
    calls: u64,
    removed: u64,
    lies: bool,
    turns: bool,
}

#[derive(Clone, Debug, Default)]
struct Image {
    streams: BTreeMap<StreamId, Stream>,
    superblock: Bytes,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    first: u64,
    /// `None` is a value that was torn, or never came.
    values: VecDeque<Option<Bytes>>,
}

#[derive(Clone, Debug)]
enum Write {
    Value(StreamId, u64, Bytes),
    RemoveBelow(StreamId, u64),
    Remove(StreamId),
    Superblock(Bytes),
}

impl Stream {
    fn end(&self) -> u64 {
        self.first + self.values.len() as u64
    }

    /// Loses the values for which `loses` says so; the stream then begins with the first one left.
    fn thin(&mut self, mut loses: impl FnMut() -> bool) {
        self.values.iter_mut().for_each(|value| *value = value.take().filter(|_| !loses()));
        while self.values.front().is_some_and(Option::is_none) {
            self.values.pop_front();
            self.first += 1;
        }
    }

    fn at(&self, position: u64) -> usize {
        let position = position.clamp(self.first, self.end());
        usize::try_from(position - self.first).unwrap_or_default()
    }
}

impl Image {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Value(id, position, value) => self.place(id, position, Some(value)),
            Write::RemoveBelow(id, position) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    let count = stream.at(position);
                    stream.values.drain(..count);
                    stream.first += count as u64;
                }
            }
            Write::Remove(id) => drop(self.streams.remove(&id)),
            Write::Superblock(bytes) => self.superblock = bytes,
        }
    }

    /// Puts a value in its place, or an empty place for a value that never came: a stream that
    /// begins with it has that position all the same.
    fn place(&mut self, id: StreamId, position: u64, value: Option<Bytes>) {
        let fresh = Stream { first: position, values: VecDeque::new() };
        let stream = self.streams.entry(id).or_insert(fresh);
        while stream.end() <= position {
            stream.values.push_back(None);
        }
        let at = stream.at(position);
        if position >= stream.first && value.is_some() {
            stream.values[at] = value;
        }
    }

    /// Removes the values at the end of each stream that are not whole.
    fn trim(&mut self) {
        for stream in self.streams.values_mut() {
            while stream.values.back().is_some_and(Option::is_none) {
                stream.values.pop_back();
            }
        }
    }
}

impl SimulatedMedium {
    /// An empty device.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let store = StoreId::new(u128::from(draws.bits()) | 1 << 100);
        let state = State {
            draws,
            synced: Image::default(),
            cached: Image::default(),
            unsynced: Vec::new(),
            opening: 0,
            powered: true,
            planned: None,
            calls: 0,
            removed: 0,
            lies: false,
            turns: false,
        };
        Self { store, state: Arc::new(Mutex::new(state)) }
    }

    /// Opens it, and syncs its content. Every earlier opening fails from now on.
    #[must_use]
    pub fn open(&self) -> Opening {
        let mut state = self.lock();
        state.opening += 1;
        state.powered = true;
        state.cached.trim();
        state.synced = state.cached.clone();
        state.unsynced.clear();
        Opening { device: self.clone(), number: state.opening }
    }

    /// Takes the power away at the `nth` writing call from now on, counted from 1; before it, or
    /// after it.
    pub fn plan(&self, nth: u64, after: bool, left: Left) {
        let mut state = self.lock();
        state.planned = Some((state.calls + nth, after, left));
    }

    /// Cancels a planned loss of power that has not happened.
    pub fn plan_nothing(&self) {
        self.lock().planned = None;
    }

    /// Takes the power away. Every opening fails from now on, until [`SimulatedMedium::open`].
    pub fn lose_power(&self, left: Left) {
        self.lock().lose_power(left);
    }

    /// Whether it has kept its power since it was opened.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.lock().powered
    }

    /// How many writing calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// How many streams were removed.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.lock().removed
    }

    /// From now on it reports syncs that it does not make, to show that a test notices that.
    pub fn lie(&self) {
        self.lock().lies = true;
    }

    /// Changes a byte of the next value that is appended.
    pub fn turn_a_byte_of_the_next_value(&self) {
        self.lock().turns = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of this module panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lose_power(&mut self, left: Left) {
        self.powered = false;
        let mut synced = std::mem::take(&mut self.synced);
        for write in std::mem::take(&mut self.unsynced) {
            let kept = match left {
                Left::Nothing => false,
                Left::All => true,
                Left::Drawn => self.draws.below(2) == 0,
            };
            match write {
                // The removal may have reached any position.
                Write::RemoveBelow(id, position) if !kept && left == Left::Drawn => {
                    let first = synced.streams.get(&id).map_or(position, |stream| stream.first);
                    let some = self.draws.below(position.saturating_sub(first) + 1);
                    synced.apply(Write::RemoveBelow(id, first + some));
                }
                // The removal may have left any of its values.
                Write::Remove(id) if !kept && left == Left::Drawn => {
                    let draws = &mut self.draws;
                    if let Some(stream) = synced.streams.get_mut(&id) {
                        stream.thin(|| draws.below(2) == 0);
                    }
                }
                write if kept => synced.apply(write),
                Write::Value(id, position, _) => synced.place(id, position, None),
                _ => {}
            }
        }
        synced.streams.retain(|_, stream| stream.values.iter().any(Option::is_some));
        self.cached = synced.clone();
        self.synced = synced;
    }

    fn write(&mut self, write: Write) {
        self.cached.apply(write.clone());
        self.unsynced.push(write);
    }
}

impl Opening {
    fn live(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.device.lock();
        if state.opening == self.number && state.powered { Ok(state) } else { Err(ended()) }
    }

    /// Runs a call that writes, or cuts it off as planned.
    fn call(&self, work: impl FnOnce(&mut State) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut state = self.live()?;
        state.calls += 1;
        match state.planned {
            Some((nth, after, left)) if nth == state.calls => {
                if after {
                    work(&mut state)?;
                }
                state.lose_power(left);
                Err(ended())
            }
            _ => work(&mut state),
        }
    }
}

impl Medium for Opening {
    fn store(&self) -> StoreId {
        self.device.store
    }

    fn durability(&self) -> Durability {
        Durability::PowerLoss
    }

    fn streams(&self) -> Result<BTreeMap<StreamId, Range<u64>>, StoreError> {
        let state = self.live()?;
        let streams = state.cached.streams.iter();
        Ok(streams.map(|(id, stream)| (*id, stream.first..stream.end())).collect())
    }

    fn append(&self, stream: StreamId, position: u64, value: &[u8]) -> Result<(), StoreError> {
        self.call(|state| {
            let end = state.cached.streams.get(&stream).map(Stream::end);
            if end.is_some_and(|end| end != position) {
                let what = format!("position {position} of {stream:?} was appended after {end:?}");
                return Err(StoreError::Misuse { what });
            }
            let mut value = value.to_vec();
            if std::mem::take(&mut state.turns)
                && let Some(byte) = value.last_mut()
            {
                *byte ^= 1;
            }
            state.write(Write::Value(stream, position, value.into()));
            Ok(())
        })
    }

    fn sync(&self, stream: StreamId) -> Result<(), StoreError> {
        self.call(|state| {
            let lies = state.lies;
            let (synced, left) = std::mem::take(&mut state.unsynced)
                .into_iter()
                .partition(|write| !lies && matches!(write, Write::Value(id, ..) if *id == stream));
            state.unsynced = left;
            let synced: Vec<Write> = synced;
            synced.into_iter().for_each(|write| state.synced.apply(write));
            Ok(())
        })
    }

    fn read(&self, stream: StreamId, position: u64) -> Result<Option<Result<Bytes, String>>, StoreError> {
        let state = self.live()?;
        let Some(stream) = state.cached.streams.get(&stream) else { return Ok(None) };
        if !(stream.first..stream.end()).contains(&position) {
            return Ok(None);
        }
        let value = stream.values.get(stream.at(position)).cloned().flatten();
        Ok(Some(value.ok_or_else(|| "it was torn by the loss of power".to_owned())))
    }

    fn remove_below(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        self.call(|state| {
            state.write(Write::RemoveBelow(stream, position));
            Ok(())
        })
    }

    fn remove_from(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        self.call(|state| {
            let is_of_it =
                |write: &Write| matches!(write, Write::Value(id, at, _) if *id == stream && *at >= position);
            state.unsynced.retain(|write| !is_of_it(write));
            let State { synced, cached, .. } = state;
            for image in [synced, cached] {
                if let Some(stream) = image.streams.get_mut(&stream) {
                    let keep = stream.at(position);
                    stream.values.truncate(keep);
                }
            }
            Ok(())
        })
    }

    fn remove(&self, stream: StreamId) -> Result<(), StoreError> {
        self.call(|state| {
            state.removed += 1;
            state.write(Write::Remove(stream));
            Ok(())
        })
    }

    fn superblock(&self) -> Result<Bytes, StoreError> {
        Ok(self.live()?.cached.superblock.clone())
    }

    fn write_superblock(&self, bytes: &[u8], sync: bool) -> Result<(), StoreError> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.call(|state| {
            if sync && !state.lies {
                state.unsynced.retain(|write| !matches!(write, Write::Superblock(_)));
                state.synced.superblock = bytes.clone();
                state.cached.superblock = bytes;
            } else {
                state.write(Write::Superblock(bytes));
            }
            Ok(())
        })
    }
}

fn ended() -> StoreError {
    let reason = "this opening ended with the loss of power or a new opening".to_owned();
    StoreError::Poisoned { reason }
}

#[cfg(test)]
#[path = "simulated_medium_tests.rs"]
mod tests;
