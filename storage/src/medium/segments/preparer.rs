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
    Large(u64),
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
                let large = needed > self.segment_bytes;
                queue.wanted = Some(if large { Wanted::Large(needed) } else { Wanted::Next });
                self.shared.changed.notify_all();
            }
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes back empty segments, which stand before the ready ones.
    pub(super) fn give_back(&self, sources: Vec<Arc<Source>>) {
        let mut queue = lock(&self.shared.queue);
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
            queue.wanted = None;
            match (made, wanted) {
                (Ok(Some(source)), Wanted::Next) => queue.ready.push_back(source),
                (Ok(Some(source)), Wanted::Large(_)) => queue.ready.push_front(source),
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
            Wanted::Large(bytes) => self.chain.make(bytes, &|| lock(&self.queue).ready.len(), &give_up),
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
