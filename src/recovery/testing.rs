//! For unit tests: actors, and logs of them that are written record by record, as a process that
//! ended somewhere may have left them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use relive_replay::checkpoint_body::capture;
use relive_replay::payload::encode;
use relive_replay::{Actor, Context, Handle, Kind, KindBuilder, Message, restore};
use relive_storage::record::{Carried, Sender};
use relive_storage::{
    ActorId, Block, BlockHeader, CarriedFrame, Checkpoint, CheckpointNumber, CheckpointStore, Epoch,
    FrameWriter, Log, Lsn, MemoryStore, Rsn, Ssn, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::actor::loader::read_tape;
use crate::actor::table::Kinds;

/// How often something happened outside, by name.
static OUTSIDE: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Counts one more, and returns how often it happened before.
pub(crate) fn happen(what: &str) -> u64 {
    let mut outside = OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner);
    let count = outside.entry(what.to_owned()).or_default();
    *count += 1;
    *count - 1
}

/// How often it has happened.
pub(crate) fn happened(what: &str) -> u64 {
    OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner).get(what).copied().unwrap_or_default()
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) cents: u64,
}

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(_: &str) -> Self {
        Self { cents: 0 }
    }
}

macro_rules! message {
    ($(#[$doc:meta])* $name:ident($($field:ty)?), $text:literal, $reply:ty) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize, Debug)]
        pub(crate) struct $name($(pub(crate) $field)?);

        impl Message for $name {
            const NAME: &'static str = $text;
            type Reply = $reply;
        }
    };
}

message!(Deposit(u64), "deposit", u64);
message!(
    /// Passes a cent on to another account.
    Pass(String),
    "pass",
    ()
);
message!(
    /// Takes room in the log.
    Note(String),
    "note",
    ()
);
message!(
    /// Always panics.
    Boom(),
    "boom",
    ()
);
message!(
    /// Panics the first time, by name.
    BoomOnce(String),
    "boom-once",
    ()
);
message!(
    /// Begins a side effect only in a replay, which the contract forbids.
    Waver(String),
    "waver",
    ()
);
message!(
    /// Waits for the end of a side effect, by name.
    Hold(String),
    "hold",
    ()
);

impl Handle<Deposit> for Account {
    async fn handle(&mut self, Deposit(cents): Deposit, _: &mut Context<'_>) -> u64 {
        self.cents += cents;
        self.cents
    }
}

impl Handle<Pass> for Account {
    async fn handle(&mut self, Pass(to): Pass, cx: &mut Context<'_>) {
        cx.to::<Self>(&to).send(Deposit(1)).unwrap();
    }
}

impl Handle<Note> for Account {
    async fn handle(&mut self, _: Note, _: &mut Context<'_>) {}
}

impl Handle<Boom> for Account {
    async fn handle(&mut self, _: Boom, _: &mut Context<'_>) {
        panic!("told to");
    }
}

impl Handle<BoomOnce> for Account {
    async fn handle(&mut self, BoomOnce(name): BoomOnce, _: &mut Context<'_>) {
        assert!(happen(&name) > 0, "told to");
    }
}

impl Handle<Waver> for Account {
    async fn handle(&mut self, Waver(name): Waver, cx: &mut Context<'_>) {
        if happen(&name) > 0 {
            cx.side_effect("waver", || async { happen("wavered") }).await;
        }
    }
}

impl Handle<Hold> for Account {
    async fn handle(&mut self, Hold(name): Hold, cx: &mut Context<'_>) {
        let until_released = || async {
            while happened(&name) == 0 {
                tokio::task::yield_now().await;
            }
        };
        cx.side_effect("hold", until_released).await;
    }
}

pub(crate) fn kind() -> Arc<dyn Kind> {
    KindBuilder::<Account>::new()
        .handles::<Deposit>()
        .handles::<Pass>()
        .handles::<Note>()
        .handles::<Boom>()
        .handles::<BoomOnce>()
        .handles::<Waver>()
        .handles::<Hold>()
        .build()
        .unwrap()
}

pub(crate) fn kinds() -> Kinds {
    Kinds::from([(Account::KIND, kind())])
}

pub(crate) fn id(key: &str) -> ActorId {
    ActorId::new(Account::KIND, key).unwrap()
}

/// A message that an actor has sent.
pub(crate) fn from_actor(key: &str, ssn: u64) -> Sender {
    Sender::Actor { id: id(key), ssn: Ssn::new(ssn) }
}

/// A store whose log grows by hand.
#[derive(Default)]
pub(crate) struct TestLog {
    pub(crate) store: MemoryStore,
    next: Lsn,
    epoch: u64,
    frames: Vec<u8>,
    records: u32,
}

impl TestLog {
    /// Adds a frame to the next block. It says that the actor had handled its deliveries up to
    /// `handled`, and tells the effects of none.
    pub(crate) fn frame(&mut self, actor: &ActorId, handled: u64, put: impl FnOnce(&mut FrameWriter)) {
        self.frame_since(Some(actor), (handled, handled), put);
    }

    /// As [`TestLog::frame`]; it says that the deliveries after `since` had no effects.
    pub(crate) fn frame_since(
        &mut self,
        actor: Option<&ActorId>,
        (since, handled): (u64, u64),
        put: impl FnOnce(&mut FrameWriter),
    ) {
        let mut writer = FrameWriter::new();
        put(&mut writer);
        let frame = writer.finish(actor, Rsn::new(since), Rsn::new(handled), &[]);
        self.records += frame.records();
        frame.append_to(&mut self.frames);
    }

    /// Writes the frames as a block, and returns where it begins.
    pub(crate) fn commit(&mut self) -> Lsn {
        let mut bytes = Vec::new();
        Block::reserve_header(&mut bytes);
        bytes.append(&mut self.frames);
        let (first, records) = (self.next, std::mem::take(&mut self.records));
        let (epoch, clock) = (Epoch::new(self.epoch), Timestamp::from_micros(first.get()));
        let header = BlockHeader { first, records, durable: first, epoch, clock, seed: 7 };
        self.store.append(&Block::seal(header, bytes)).unwrap();
        self.store.sync().unwrap();
        self.next = header.next();
        first
    }

    /// An actor has received a message, in a block of its own.
    pub(crate) fn received<M: Message>(
        &mut self,
        actor: &ActorId,
        rsn: u64,
        sender: &Sender,
        message: &M,
    ) -> Lsn {
        let payload = encode(message).unwrap();
        self.frame(actor, 0, |frame| {
            frame.put_delivery(Rsn::new(rsn), sender, false, &M::NAME.into(), &payload);
        });
        self.commit()
    }

    /// As [`TestLog::received`], for a deposit from outside.
    pub(crate) fn deposit(&mut self, actor: &ActorId, rsn: u64) -> Lsn {
        self.received(actor, rsn, &Sender::Outside, &Deposit(rsn))
    }

    /// A note of a try that begins with a delivery, in a block of its own.
    pub(crate) fn attempt(&mut self, actor: &ActorId, rsn: u64, handled: u64) -> Lsn {
        self.frame(actor, handled, |frame| frame.put_attempt(Rsn::new(rsn)));
        self.commit()
    }

    /// Carries an actor's frames from a block on, in a block of their own. Its handler waits in the
    /// delivery at `rsn`.
    pub(crate) fn carry(&mut self, actor: &ActorId, from: Lsn, rsn: u64) -> Lsn {
        let mut at = from;
        while at < self.next {
            let block = self.store.read(at).unwrap().unwrap().block.unwrap();
            for head in block.heads() {
                let head = head.unwrap();
                if head.actor(block.bytes()) == Some(actor.as_str()) {
                    let carried = CarriedFrame::new(&head, block.bytes());
                    self.records += carried.frame().records();
                    carried.frame().append_to(&mut self.frames);
                }
            }
            at = block.header().next();
        }
        let rsn = Rsn::new(rsn);
        self.frame(actor, rsn.prev().get(), |frame| frame.put_carried(Carried { rsn, settled: Rsn::NONE }));
        self.commit()
    }

    /// A delivery leaves the quarantine, in a block of its own.
    pub(crate) fn discharge(&mut self, actor: &ActorId, rsn: u64, handled: u64) -> Lsn {
        self.frame(actor, handled, |frame| frame.put_discharge(Rsn::new(rsn)));
        self.commit()
    }

    /// An opening announces itself.
    pub(crate) fn opening(&mut self) -> Lsn {
        self.epoch += 1;
        let epoch = Epoch::new(self.epoch);
        self.frame_since(None, (0, 0), |frame| frame.put_incarnation(epoch));
        self.commit()
    }

    /// An opening has handled all that it found.
    pub(crate) fn recovered(&mut self) -> Lsn {
        let epoch = Epoch::new(self.epoch);
        self.frame_since(None, (0, 0), |frame| frame.put_recovery_complete(epoch));
        self.commit()
    }

    /// The checkpoint of an actor after a delivery of the log. It is not in the store.
    pub(crate) fn checkpoint_of(&self, actor: &ActorId, rsn: u64, number: u64) -> Checkpoint {
        let store = self.store.extent().unwrap().store;
        let mut tape = read_tape(&self.store, actor, Lsn::FIRST, self.next, Rsn::NONE).unwrap();
        let before = Some(Rsn::new(rsn + 1));
        let restored = restore(&kind(), actor, store, None, &mut tape, before).unwrap();
        assert_eq!(restored.instance.handled(), Rsn::new(rsn));
        let number = CheckpointNumber::new(number);
        capture(&restored.instance, &restored.owed, number, &|| ()).unwrap().0
    }

    /// Takes a checkpoint of an actor after a delivery of the log.
    pub(crate) fn checkpoint(&self, actor: &ActorId, rsn: u64, number: u64) {
        self.store.put(&[self.checkpoint_of(actor, rsn, number)]).unwrap();
    }
}
