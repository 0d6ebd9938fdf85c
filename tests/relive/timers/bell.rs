//! Bells: actors that note what their timers send them, and the stores that they stand on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use relive::testing::ManualClock;
use relive::{Actor, Context, Durability, Handle, Medium, Message, RestartPolicy, Runtime, Timestamp};
use relive_storage::MemoryStore;
use serde::{Deserialize, Serialize};

use crate::actors::{happen, happened};
use crate::medium;

/// What a bell has heard.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(super) struct Rang {
    pub(super) mark: u64,
    /// The timer, when one of the bell's own has fired.
    pub(super) name: Option<String>,
    pub(super) missed: u64,
    pub(super) now: u64,
}

/// Notes what its timers, and those of others, send it.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Bell {
    pub(super) rung: Vec<Rang>,
    /// The marks of the timers that were set.
    pub(super) set: BTreeSet<u64>,
}

impl Actor for Bell {
    const KIND: &'static str = "bell";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

// Sets a timer with this mark, once: a second one does nothing.
message!(pub(super) Set {
    pub(super) name: String,
    pub(super) mark: u64,
    pub(super) due: u64,
    pub(super) every: Option<Duration>,
    pub(super) to: Option<String>,
}, "set", String);
message!(pub(super) Cancel { pub(super) name: String }, "cancel", bool);
message!(pub(super) Ring { pub(super) mark: u64 }, "ring", ());
message!(pub(super) Rung {}, "rung", Vec<Rang>);
// Waits until `what` has happened.
message!(pub(super) Hold { pub(super) what: String }, "hold", ());
// As `Set`, for a message on which the bell panics.
message!(pub(super) SetTrap { pub(super) every: Duration }, "set-trap", ());
message!(pub(super) Trap {}, "trap", ());
// Sets so many timers, and returns what the last one said.
message!(pub(super) Many { pub(super) count: u64 }, "many", String);
// Sets timers that break a rule.
message!(pub(super) Wrong {}, "wrong", Vec<String>);

impl Handle<Set> for Bell {
    async fn handle(&mut self, message: Set, cx: &mut Context<'_>) -> String {
        let Set { name, mark, due, every, to } = message;
        if !self.set.insert(mark) {
            return "it was set before".to_owned();
        }
        let timer = cx.timer(&name).at(Timestamp::from_micros(due));
        let timer = match every {
            Some(every) => timer.every(every),
            None => timer,
        };
        let set = match to {
            Some(key) => timer.to::<Self>(&key).send(Ring { mark }),
            None => timer.to_self::<Self>().send(Ring { mark }),
        };
        set.map_or_else(|error| error.to_string(), |()| "set".to_owned())
    }
}

impl Handle<Cancel> for Bell {
    async fn handle(&mut self, Cancel { name }: Cancel, cx: &mut Context<'_>) -> bool {
        cx.cancel_timer(&name)
    }
}

impl Handle<Ring> for Bell {
    async fn handle(&mut self, Ring { mark }: Ring, cx: &mut Context<'_>) {
        let firing = cx.timer_firing();
        let (name, missed) = (firing.map(|firing| firing.name.clone()), firing.map_or(0, |f| f.missed));
        assert!(firing.is_none_or(|firing| firing.due <= cx.now()), "no timer fires early");
        self.rung.push(Rang { mark, name, missed, now: cx.now().as_micros() });
    }
}

impl Handle<Rung> for Bell {
    async fn handle(&mut self, _: Rung, _: &mut Context<'_>) -> Vec<Rang> {
        self.rung.clone()
    }
}

impl Handle<Hold> for Bell {
    async fn handle(&mut self, Hold { what }: Hold, cx: &mut Context<'_>) {
        cx.side_effect("hold", || async {
            happen(&format!("{what}.begun"));
            while happened(&what) == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

impl Handle<SetTrap> for Bell {
    async fn handle(&mut self, SetTrap { every }: SetTrap, cx: &mut Context<'_>) {
        cx.timer("trap").every(every).to_self::<Self>().send(Trap {}).unwrap();
    }
}

impl Handle<Trap> for Bell {
    async fn handle(&mut self, _: Trap, cx: &mut Context<'_>) {
        // After a retry from the quarantine it is no firing any more.
        assert!(cx.timer_firing().is_none(), "a trap");
        self.rung.push(Rang { mark: 0, name: None, missed: 0, now: cx.now().as_micros() });
    }
}

impl Handle<Many> for Bell {
    async fn handle(&mut self, Many { count }: Many, cx: &mut Context<'_>) -> String {
        let mut said = String::new();
        for mark in 0..count {
            // From the last to the first, so that their order is not that in which they are set.
            let timer = cx.timer(&format!("timer {mark}")).after(Duration::from_micros(count - mark));
            let set = timer.to_self::<Self>().send(Ring { mark });
            said = set.map_or_else(|error| error.to_string(), |()| "set".to_owned());
        }
        said
    }
}

/// An actor that rings nothing.
#[derive(Serialize, Deserialize)]
pub(super) struct Deaf {}

impl Actor for Deaf {
    const KIND: &'static str = "deaf";

    fn create(_key: &str) -> Self {
        Self {}
    }
}

impl Handle<Ring> for Deaf {
    async fn handle(&mut self, _: Ring, _: &mut Context<'_>) {}
}

impl Handle<Wrong> for Bell {
    async fn handle(&mut self, _: Wrong, cx: &mut Context<'_>) -> Vec<String> {
        let soon = |name: &str| cx.timer(name).after(Duration::from_secs(1));
        let ring = Ring { mark: 0 };
        let all = [
            soon("").to_self::<Self>().send(ring.clone()),
            soon(&"n".repeat(65)).to_self::<Self>().send(ring.clone()),
            soon("a").every(Duration::from_micros(999)).to_self::<Self>().send(ring.clone()),
            soon("a").to_self::<Deaf>().send(ring.clone()),
            soon("a").to::<Deaf>("b").send(ring.clone()),
            soon("a").to::<Self>("").send(ring),
        ];
        assert!(!cx.cancel_timer("a") && !cx.cancel_timer(""), "nothing was set");
        all.into_iter().map(|set| set.unwrap_err().to_string()).collect()
    }
}

/// When everything begins.
pub(super) const START: u64 = 1_000_000_000;

/// Where the bells of a test are kept, and what time it is for them.
pub(super) struct Tower {
    pub(super) on: On,
    pub(super) clock: ManualClock,
    pub(super) passivate_after: Duration,
}

pub(super) enum On {
    Disk(Medium, PathBuf),
    Memory(MemoryStore),
}

impl Tower {
    pub(super) fn of(on: On) -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(START));
        Self { on, clock, passivate_after: Duration::from_secs(60) }
    }

    pub(super) fn memory() -> Self {
        Self::of(On::Memory(MemoryStore::new()))
    }

    pub(super) async fn open(&self) -> Runtime {
        let builder = builder(&self.clock).passivate_after(self.passivate_after);
        match &self.on {
            On::Disk(medium, path) => builder.medium(*medium).open(path).await.unwrap(),
            On::Memory(store) => builder.open_on(Arc::new(store.clone())).await.unwrap(),
        }
    }

    pub(super) async fn crash(&mut self, runtime: Runtime) {
        if let On::Memory(store) = &mut self.on {
            store.crash();
        }
        runtime.crash().await;
        if let On::Memory(store) = &mut self.on {
            *store = store.reopen();
        }
    }

    pub(super) async fn shut_down(&mut self, runtime: Runtime) {
        assert_eq!(runtime.shutdown().await.unwrap().left, []);
        if let On::Memory(store) = &mut self.on {
            *store = store.reopen();
        }
    }

    pub(super) fn pass(&self, micros: u64) {
        self.clock.advance(Duration::from_micros(micros));
    }
}

pub(super) fn builder(clock: &ManualClock) -> relive::Builder {
    let builder = medium::runtime().actor::<Bell>(|bell| {
        bell.handles::<Set>()
            .handles::<Cancel>()
            .handles::<Ring>()
            .handles::<Rung>()
            .handles::<Hold>()
            .handles::<SetTrap>()
            .handles::<Trap>()
            .handles::<Many>()
            .handles::<Wrong>()
    });
    let restarts = RestartPolicy::default().backoff(Duration::ZERO);
    builder.restarts(restarts).durability(Durability::ProcessCrash).clock(clock.clone())
}

/// Towers on every backend, with the directory of those on a disk.
pub(super) fn towers() -> Vec<(Tower, Option<tempfile::TempDir>)> {
    let on_disk = [Medium::Sled, Medium::SegmentFiles].map(|medium| {
        let root = tempfile::tempdir().unwrap();
        (Tower::of(On::Disk(medium, root.path().join("store"))), Some(root))
    });
    on_disk.into_iter().chain([(Tower::memory(), None)]).collect()
}

pub(super) async fn ask<M: Message + Clone>(runtime: &Runtime, key: &str, message: M) -> M::Reply
where
    Bell: Handle<M>,
{
    runtime.actor::<Bell>(key).unwrap().ask(message).await.unwrap()
}

/// Sets a timer of the name `mark`, so long after the start.
pub(super) async fn set(runtime: &Runtime, key: &str, mark: u64, after: u64) {
    let (name, due, every, to) = (mark.to_string(), START + after, None, None);
    assert_eq!(ask(runtime, key, Set { name, mark, due, every, to }).await, "set");
}

pub(super) async fn marks(runtime: &Runtime, key: &str) -> Vec<u64> {
    ask(runtime, key, Rung {}).await.into_iter().map(|rang| rang.mark).collect()
}

/// Waits until a bell has rung so often, and returns the marks.
pub(super) async fn until_rung(runtime: &Runtime, key: &str, times: usize) -> Vec<u64> {
    for _ in 0..2_000 {
        let marks = marks(runtime, key).await;
        if marks.len() >= times {
            return marks;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{key} has not rung {times} times: {:?}", ask(runtime, key, Rung {}).await);
}

/// Gives timers that must not fire the time to do so.
pub(super) async fn a_while() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}
