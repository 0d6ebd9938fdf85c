//! A small actor kind that does all that a handler can do, for what is replayed or revived.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use relive_replay::payload::encode;
use relive_replay::{
    Actor, Answer, Context, Handle, Instance, Kind, KindBuilder, Message, Query, checkpoint_body,
};
use relive_storage::{ActorId, Checkpoint, CheckpointNumber, Name, Rsn, StoreId};
use serde::{Deserialize, Serialize};

/// The name of the kind.
pub(crate) const KIND: &str = "book";

/// The state.
#[derive(Serialize, Deserialize, Debug, Default)]
pub(crate) struct Book {
    pub(crate) cents: i64,
    pub(crate) lines: BTreeMap<String, u64>,
    pub(crate) last: Option<Entry>,
    pub(crate) notes: Vec<Entry>,
}

/// Something recursive in the state and in a message.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    Blank,
    Amount(i64),
    Pair(Box<Entry>, Box<Entry>),
    Noted { text: String, of: Option<Box<Entry>> },
    List(Vec<Entry>),
}

impl Actor for Book {
    const KIND: &'static str = KIND;

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

macro_rules! message {
    ($name:ident $fields:tt, $text:literal, $reply:ty) => {
        #[derive(Serialize, Deserialize, Debug)]
        pub(crate) struct $name $fields

        impl Message for $name {
            const NAME: &'static str = $text;
            type Reply = $reply;
        }
    };
}

message!(Add { pub(crate) cents: i64 }, "add", i64);
message!(Note { pub(crate) entry: Entry }, "note", ());
message!(Forward { pub(crate) to: String, pub(crate) cents: i64 }, "forward", bool);
message!(Charge { pub(crate) what: String }, "charge", u64);
message!(Show {}, "show", Shown);
message!(Inquire { pub(crate) of: String }, "inquire", bool);

/// What a book has.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Total {}

impl Query for Total {
    const NAME: &'static str = "total";
    type Answer = i64;
}

impl Answer<Total> for Book {
    fn answer(&self, _query: Total) -> i64 {
        self.cents
    }
}

impl Handle<Inquire> for Book {
    async fn handle(&mut self, message: Inquire, cx: &mut Context<'_>) -> bool {
        let total = cx.to::<Book>(&message.of).query(Total {}).await;
        self.lines.insert(format!("{total:?}"), 1);
        total.is_ok()
    }
}

/// The state as text.
pub(crate) type Shown = String;

impl Handle<Show> for Book {
    async fn handle(&mut self, _message: Show, _cx: &mut Context<'_>) -> Shown {
        format!("{self:?}")
    }
}

impl Handle<Add> for Book {
    async fn handle(&mut self, message: Add, cx: &mut Context<'_>) -> i64 {
        self.cents = self.cents.wrapping_add(message.cents);
        let line = format!("{}-{}", cx.now().as_micros() % 16, cx.random() % 16);
        let count = self.lines.entry(line).or_default();
        *count = count.wrapping_add(1);
        self.cents
    }
}

impl Handle<Note> for Book {
    async fn handle(&mut self, message: Note, _cx: &mut Context<'_>) {
        self.last = Some(message.entry);
    }
}

impl Handle<Forward> for Book {
    async fn handle(&mut self, message: Forward, cx: &mut Context<'_>) -> bool {
        cx.to::<Book>(&message.to).send(Add { cents: message.cents }).is_ok()
    }
}

impl Handle<Charge> for Book {
    async fn handle(&mut self, message: Charge, cx: &mut Context<'_>) -> u64 {
        let length = message.what.len() as u64;
        let charged = cx.side_effect("charge", || async move { length }).await;
        self.lines.insert(message.what, charged);
        charged
    }
}

/// Registers what the kind handles.
pub(crate) fn register(kind: KindBuilder<Book>) -> KindBuilder<Book> {
    let kind = kind.handles::<Add>().handles::<Note>().handles::<Forward>().handles::<Charge>();
    kind.handles::<Show>().handles::<Inquire>().answers::<Total>()
}

/// The kind, registered.
pub(crate) fn kind() -> Arc<dyn Kind> {
    static REGISTERED: LazyLock<Arc<dyn Kind>> =
        LazyLock::new(|| register(KindBuilder::new()).build().expect("the kind is a valid one"));
    Arc::clone(&REGISTERED)
}

/// The checkpoint of an actor that has handled `rsn` deliveries which did nothing.
pub(crate) fn checkpoint(actor: &ActorId, rsn: Rsn) -> Checkpoint {
    let fresh = Instance::create(kind(), actor.clone(), StoreId::new(1));
    let captured = checkpoint_body::capture(&fresh, &Default::default(), CheckpointNumber::new(1), &|| ());
    let (mut checkpoint, _) = captured.expect("a fresh state encodes");
    checkpoint.header.rsn = rsn;
    checkpoint
}

/// The name of the query that the kind answers.
pub(crate) fn total() -> Name {
    Name::from_static(Total::NAME)
}

/// The messages that the kind takes, each with an encoded sample; and one that it does not take.
pub(crate) fn messages() -> [(&'static str, Vec<u8>); 6] {
    let entry = Entry::Noted {
        text: "rent".to_owned(),
        of: Some(Box::new(Entry::Pair(
            Box::new(Entry::Blank),
            Box::new(Entry::List(vec![Entry::Amount(-3)])),
        ))),
    };
    let encoded = [
        encode(&Add { cents: 500 }),
        encode(&Note { entry }),
        encode(&Forward { to: "bob".to_owned(), cents: 70_000 }),
        encode(&Charge { what: "card".to_owned() }),
        encode(&Inquire { of: "bob".to_owned() }),
        encode("nothing"),
    ];
    let encoded = encoded.map(|bytes| bytes.expect("the samples encode"));
    let [add, note, forward, charge, inquire, other] = encoded;
    [
        ("add", add),
        ("note", note),
        ("forward", forward),
        ("charge", charge),
        ("inquire", inquire),
        ("unknown", other),
    ]
}
