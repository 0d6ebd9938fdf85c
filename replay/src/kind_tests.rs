//! What may be registered, and what a kind is told once.

use serde::{Deserialize, Serialize};

use super::*;

macro_rules! message {
    ($name:ident, $text:expr) => {
        #[derive(Serialize, Deserialize)]
        struct $name;

        impl Message for $name {
            const NAME: &'static str = $text;
            type Reply = ();
        }

        impl<const N: u8> Handle<$name> for Numbered<N> {
            async fn handle(&mut self, _: $name, _: &mut Context<'_>) {}
        }
    };
}

#[derive(Serialize, Deserialize)]
struct Numbered<const N: u8>;

impl<const N: u8> Actor for Numbered<N> {
    const KIND: &'static str = if N == 1 { "a/b" } else { "numbered" };
    const MESSAGES: &'static [&'static str] = if N == 2 { &["add", "get"] } else { &[] };

    fn create(_: &str) -> Self {
        Self
    }
}

message!(Add, "add");
message!(Get, "get");
message!(AlsoAdd, "add");
message!(Nameless, "");

/// What is listed has a handler, or the opening says which one is missing.
#[test]
fn a_listed_message_needs_its_handler() {
    let refused = KindBuilder::<Numbered<2>>::new().handles::<Add>().build().err();
    assert_eq!(refused, Some(KindError::NotRegistered { kind: "numbered", message: "get" }));
    let kind = KindBuilder::<Numbered<2>>::new().handles::<Get>().handles::<Add>().build().unwrap();
    assert!(kind.handles("add") && kind.handles("get") && !kind.handles("pay"));
    assert_eq!(kind.messages().into_keys().collect::<Vec<_>>(), ["add", "get"]);
}

/// Two types of one name would read each other's records.
#[test]
fn two_messages_of_one_name_are_refused() {
    let refused = KindBuilder::<Numbered<0>>::new().handles::<Add>().handles::<AlsoAdd>().build().err();
    assert_eq!(refused, Some(KindError::Twice { kind: "numbered", message: "add" }));
}

/// Names that no log could hold are refused before anything is logged; the first error counts.
#[test]
fn names_that_break_a_rule_are_refused() {
    assert!(matches!(KindBuilder::<Numbered<1>>::new().build(), Err(KindError::Name(_))));
    let twice = KindBuilder::<Numbered<0>>::new().handles::<Nameless>().handles::<Nameless>().build();
    assert!(matches!(twice, Err(KindError::Name(_))));
}

/// A kind belongs to one runtime, so the peers that it learns first stay.
#[test]
fn a_kind_is_introduced_once() {
    let kind = KindBuilder::<Numbered<0>>::new().handles::<Add>().build().unwrap();
    assert!(kind.peers().is_none());
    let mut first = Peers::default();
    first.add(kind.name(), kind.messages(), kind.queries());
    kind.introduce(&Arc::new(first));
    kind.introduce(&Arc::new(Peers::default()));
    let taken = kind
        .peers()
        .is_some_and(|peers| matches!(peers.taker("numbered", "add"), crate::peers::Taker::Kind(_)));
    assert!(taken);
}
