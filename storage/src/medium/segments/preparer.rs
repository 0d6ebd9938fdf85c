//! A thread that makes the next segment of the log before the log needs it. Knows no value.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::chain::Chain;
use super::file::Source;
use super::stream::lock;
use super::value::VALUES_AT;
use crate::contract::error::StoreError;
use crate::directory::io_error;
use crate::threads::poison::Poison;

/// The ready segments, and the thread that makes them.
#[derive(Debug)]
pub(super) struct Preparer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    segment_bytes: u64,
}

#[derive(Debug)]
struct Shared {
    chain: Arc<Chain>,
    poison: Arc<Poison>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue {
    /// Empty segments, in the order in which the manifest lists them at its end.
    ready: VecDeque<Arc<Source>>,
    wanted: Option<Wanted>,
    stop: bool,
    /// The thread has ended.
    gone: bool,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// One more, after those that are ready.
    Next,
    /// One of this many bytes, before the ready ones: a writer waits for it.
    First(u64),
}

impl Preparer {
    /// Starts the thread. `ready` are the segments at the end of the log that hold no value.
    pub(super) fn start(
        chain: Arc<Chain>,
        poison: Arc<Poison>,
        ready: VecDeque<Arc<Source>>,
        segment_bytes: u64,
    ) -> Result<Self, StoreError> {
        let queue = Mutex::new(Queue { ready, wanted: None, stop: false, gone: false });
        let shared = Arc::new(Shared { chain, poison, queue, changed: Condvar::new() });
        let builder = std::thread::Builder::new().name("relive-segments".to_owned());
        let thread = {
            let shared = Arc::clone(&shared);
            builder.spawn(move || {
                let over = Over(&shared);
                shared.run(segment_bytes);
                drop(over);
            })
        };
        let thread = thread.map_err(io_error("start", std::path::Path::new("a thread for segments")))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), segment_bytes })
    }

    /// Asks for another segment, if none is ready.
    pub(super) fn prepare(&self) {
        let mut queue = lock(&self.shared.queue);
        if queue.ready.is_empty() && queue.wanted.is_none() {
            queue.wanted = Some(Wanted::Next);
            self.shared.changed.notify_all();
        }
    }

    /// The next segment of the log, with space for a value of `bytes`. Waits until there is one.
    pub(super) fn take(&self, bytes: u64) -> Result<Arc<Source>, StoreError> {
        let needed = bytes.saturating_add(VALUES_AT);
        let mut queue = lock(&self.shared.queue);
        loop {
            // In each round: a segment that could not be made poisons, and nobody else would say
            // so.
            self.shared.poison.check()?;
            let fits = |source: &Arc<Source>| source.capacity.is_none_or(|capacity| capacity >= needed);
            if queue.ready.front().is_some_and(fits)
                && let Some(source) = queue.ready.pop_front()
            {
                return Ok(source);
            }
            if queue.gone || queue.stop {
                let reason = "the thread that prepares segments is over".to_owned();
                return Err(StoreError::Backend { action: "prepare a segment", reason });
            }
            if queue.wanted.is_none() {
                // A ready one that is too small comes from an opening with smaller segments. Behind
                // it another one would be of no use, so this one goes in front, whatever its size.
                let first = needed > self.segment_bytes || !queue.ready.is_empty();
                let bytes = needed.max(self.segment_bytes);
                queue.wanted = Some(if first { Wanted::First(bytes) } else { Wanted::Next });
                self.shared.changed.notify_all();
            }
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes back empty segments, which stand before the ready ones.
    pub(super) fn give_back(&self, sources: Vec<Arc<Source>>) {
        let mut queue = lock(&self.shared.queue);
        // In front and in order, because the manifest lists them there: the log goes on in the
        // first.
        for source in sources.into_iter().rev() {
            queue.ready.push_front(source);
        }
    }

    /// Takes all segments off the log, the ready ones too.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let mut queue = lock(&self.shared.queue);
        // The manifest would list the segment that the thread is making, and this queue would not
        // have it.
        while queue.wanted.is_some() && !queue.gone {
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.ready.clear();
        self.shared.chain.clear()
    }

    /// Ends the thread, even in the middle of a segment.
    pub(super) fn stop(&self) {
        lock(&self.shared.queue).stop = true;
        self.shared.changed.notify_all();
        // The flag comes first: a segment in the making takes long, and is given up at the next
        // piece.
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread that prepares segments ended by a panic");
        }
    }
}

impl Shared {
    fn run(&self, segment_bytes: u64) {
        while let Some(wanted) = self.wait() {
            let made = self.make(wanted, segment_bytes);
            let mut queue = lock(&self.queue);
            assert!(queue.wanted.is_some(), "nobody takes a wish back while it is being fulfilled");
            queue.wanted = None;
            match (made, wanted) {
                (Ok(Some(source)), Wanted::Next) => queue.ready.push_back(source),
                (Ok(Some(source)), Wanted::First(_)) => queue.ready.push_front(source),
                (Ok(None), _) => {}
                (Err(error), _) => self.poison.set(&error),
            }
            self.changed.notify_all();
        }
    }

    fn make(&self, wanted: Wanted, segment_bytes: u64) -> Result<Option<Arc<Source>>, StoreError> {
        self.poison.check()?;
        let give_up = || lock(&self.queue).stop;
        match wanted {
            Wanted::Next => self.chain.make(segment_bytes, &|| 0, &give_up),
            // A caller that changes the ready segments waits for this one.
            Wanted::First(bytes) => self.chain.make(bytes, &|| lock(&self.queue).ready.len(), &give_up),
        }
    }

    /// What to make next; `None` at the end.
    fn wait(&self) -> Option<Wanted> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.stop {
                return None;
            }
            if queue.wanted.is_some() {
                return queue.wanted;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Says that the thread has ended, even by a panic.
struct Over<'s>(&'s Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        lock(&self.0.queue).gone = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::position::StoreId;
    use crate::medium::segments::manifest::Manifest;

    const BYTES: u64 = 4096;

    /// A preparer in a new directory, without a ready segment.
    fn new() -> (tempfile::TempDir, Preparer, Arc<Poison>) {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(1);
        Manifest::new().write(root.path(), store, false).unwrap();
        let (chain, _) = Chain::open(root.path(), store, false, BYTES).unwrap();
        let poison = Arc::new(Poison::default());
        let preparer = Preparer::start(Arc::new(chain), Arc::clone(&poison), VecDeque::new(), BYTES).unwrap();
        (root, preparer, poison)
    }

    /// The numbers of the segments in the order of the list.
    fn listed(root: &tempfile::TempDir) -> Vec<u64> {
        let manifest = Manifest::read(root.path(), StoreId::new(1)).unwrap();
        manifest.segments.iter().map(|listed| listed.number).collect()
    }

    fn wait_until_ready(preparer: &Preparer) {
        let mut queue = lock(&preparer.shared.queue);
        while queue.wanted.is_some() {
            queue = preparer.shared.changed.wait(queue).unwrap();
        }
        assert!(!queue.ready.is_empty());
    }

    /// The log gets its segments in the order of the list, made ahead or not.
    #[test]
    fn segments_come_in_the_order_of_the_list() {
        let (root, preparer, _) = new();
        let first = preparer.take(100).unwrap();
        preparer.prepare();
        wait_until_ready(&preparer);
        preparer.prepare();
        assert!(lock(&preparer.shared.queue).wanted.is_none(), "one ready segment is enough");
        let second = preparer.take(100).unwrap();
        assert_eq!(listed(&root), [first.number, second.number]);
    }

    /// A value that is larger than a segment gets one of its own, in front of the ready one.
    #[test]
    fn a_large_value_gets_a_large_segment() {
        let (root, preparer, _) = new();
        let first = preparer.take(0).unwrap();
        preparer.prepare();
        wait_until_ready(&preparer);
        let large = preparer.take(3 * BYTES).unwrap();
        assert_eq!(large.capacity, Some(3 * BYTES + VALUES_AT));
        let ready = preparer.take(0).unwrap();
        assert_eq!(listed(&root), [first.number, large.number, ready.number]);
    }

    /// The symptom: a store was opened with larger segments than before, and a value did not fit
    /// into the one that was ready. Segments were made behind that one, without end.
    #[test]
    fn a_ready_segment_that_is_too_small_is_passed() {
        let (root, small, _) = new();
        let ready = small.take(0).unwrap();
        small.stop();
        let (chain, _) = Chain::open(root.path(), StoreId::new(1), false, 16 * BYTES).unwrap();
        let queue = VecDeque::from([Arc::clone(&ready)]);
        let preparer = Preparer::start(Arc::new(chain), Arc::default(), queue, 16 * BYTES).unwrap();
        let taken = preparer.take(2 * BYTES).unwrap();
        assert_eq!(taken.capacity, Some(16 * BYTES), "it has the size of today");
        assert_eq!(listed(&root), [taken.number, ready.number]);
        assert_eq!(preparer.take(0).unwrap().number, ready.number, "it serves what fits into it");
    }

    /// Emptied segments come again in their order, before those that were ready.
    #[test]
    fn what_is_given_back_comes_first() {
        let (_root, preparer, _) = new();
        let [first, second] = [preparer.take(0).unwrap(), preparer.take(0).unwrap()];
        preparer.prepare();
        wait_until_ready(&preparer);
        preparer.give_back(vec![Arc::clone(&first), Arc::clone(&second)]);
        let again = [preparer.take(0).unwrap().number, preparer.take(0).unwrap().number];
        assert_eq!(again, [first.number, second.number]);
    }

    /// Nothing is ready after all segments were taken off, and the log may begin anew.
    #[test]
    fn a_cleared_log_begins_anew() {
        let (root, preparer, _) = new();
        preparer.take(0).unwrap();
        preparer.prepare();
        preparer.clear().unwrap();
        assert_eq!((listed(&root), lock(&preparer.shared.queue).ready.len()), (vec![], 0));
        let next = preparer.take(0).unwrap();
        assert_eq!(listed(&root), [next.number]);
    }

    /// A writer does not wait for ever for a thread that is over, or for a medium that has failed.
    #[test]
    fn nobody_waits_for_a_segment_that_will_not_come() {
        let (_root, preparer, poison) = new();
        preparer.stop();
        assert!(matches!(preparer.take(0), Err(StoreError::Backend { action: "prepare a segment", .. })));
        preparer.stop();
        poison.set(&StoreError::Poisoned { reason: "before".to_owned() });
        assert!(matches!(preparer.take(0), Err(StoreError::Poisoned { .. })));
    }
}
