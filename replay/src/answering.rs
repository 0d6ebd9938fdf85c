//! Runs a query on an actor in memory, between two deliveries. Users' code runs under guard here,
//! so no panic of an answer harms the actor. Changes nothing and records nothing.

use bytes::Bytes;

use crate::guard::guarded;
use crate::query::AnswerError;
use crate::{Answer, Process, Query};

/// The answer of an actor to a query, by value: neither is encoded. `None` when the actor is of
/// another type.
///
/// # Errors
/// The text of the panic, when the answer or a drop within it panics.
pub fn answer<A: Answer<Q>, Q: Query>(process: &Process, query: Q) -> Result<Option<Q::Answer>, String> {
    guarded(|| match process.state::<A>() {
        Some(actor) => Some(actor.answer(query)),
        None => {
            // Within the guard: a query is a user's value, whose drop may panic.
            drop(query);
            None
        }
    })
}

/// The encoded answer of an actor to an encoded query of that name: for a caller that records the
/// answer, as the outcome of an event.
///
/// # Errors
/// [`AnswerError`]: the kind has no answer for the name, the query does not decode, the answer
/// panics, or it does not survive its codec.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use relive_replay::{Actor, Answer, Instance, KindBuilder, Query, answering, payload};
/// # use relive_storage::{ActorId, StoreId};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Counter(u64);
/// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(7) } }
/// # #[derive(Serialize, Deserialize)] struct Total;
/// # impl Query for Total { const NAME: &'static str = "total"; type Answer = u64; }
/// # impl Answer<Total> for Counter { fn answer(&self, _: Total) -> u64 { self.0 } }
/// let kind = KindBuilder::<Counter>::new().answers::<Total>().build()?;
/// let visits = Instance::create(kind, ActorId::new("counter", "visits")?, StoreId::new(1));
/// let encoded = answering::answer_encoded(visits.view(), "total", &payload::encode(&Total)?)?;
/// assert_eq!(payload::decode::<u64>(&encoded)?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn answer_encoded(process: &Process, query: &str, payload: &[u8]) -> Result<Bytes, AnswerError> {
    match guarded(|| process.state.answer(query, payload)) {
        Ok(Some(answered)) => answered.map_err(AnswerError::Codec),
        Ok(None) => Err(AnswerError::Unanswered),
        Err(panic) => Err(AnswerError::Panicked(panic)),
    }
}

#[cfg(test)]
mod tests {
    use relive_storage::{ActorId, StoreId};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::payload::{decode, encode};
    use crate::{Actor, Instance, KindBuilder};

    #[derive(Serialize, Deserialize)]
    struct Account(i64);

    impl Actor for Account {
        const KIND: &'static str = "account";

        fn create(_: &str) -> Self {
            Self(5)
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Other;

    impl Actor for Other {
        const KIND: &'static str = "account";

        fn create(_: &str) -> Self {
            Self
        }
    }

    /// Asks for the balance, unless it is told to fail in some way.
    #[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
    enum Balance {
        Told,
        Panics,
        IsLost,
    }

    impl Query for Balance {
        const NAME: &'static str = "balance";
        type Answer = Option<Option<i64>>;
    }

    impl Answer<Balance> for Account {
        fn answer(&self, query: Balance) -> Option<Option<i64>> {
            assert!(query != Balance::Panics, "told to");
            // MessagePack writes it like `None`.
            if query == Balance::IsLost { Some(None) } else { Some(Some(self.0)) }
        }
    }

    impl Answer<Balance> for Other {
        fn answer(&self, _: Balance) -> Option<Option<i64>> {
            None
        }
    }

    /// Panics when it is dropped, if it is told to.
    #[derive(Serialize, Deserialize)]
    struct Fuse(bool);

    impl Drop for Fuse {
        fn drop(&mut self) {
            assert!(!self.0, "dropped");
        }
    }

    impl Query for Fuse {
        const NAME: &'static str = "fuse";
        type Answer = ();
    }

    impl Answer<Fuse> for Account {
        fn answer(&self, _: Fuse) {}
    }

    impl Answer<Fuse> for Other {
        fn answer(&self, _: Fuse) {}
    }

    fn account() -> Instance {
        let kind = KindBuilder::<Account>::new().answers::<Balance>().answers::<Fuse>().build().unwrap();
        Instance::create(kind, ActorId::new("account", "alice").unwrap(), StoreId::new(1))
    }

    fn by_name(query: Balance) -> Result<Bytes, AnswerError> {
        answer_encoded(account().view(), "balance", &encode(&query).unwrap())
    }

    #[test]
    fn the_answer_is_the_same_by_value_and_encoded() {
        assert_eq!(answer::<Account, _>(account().view(), Balance::Told), Ok(Some(Some(Some(5)))));
        let encoded = by_name(Balance::Told).unwrap();
        assert_eq!(decode::<Option<Option<i64>>>(&encoded).unwrap(), Some(Some(5)));
    }

    /// Whatever users' code does, the caller hears of it and the instance is as before.
    #[test]
    fn a_panic_of_an_answer_is_an_error() {
        let (account, panicked) = (account(), |text: &str| AnswerError::Panicked(text.to_owned()));
        assert_eq!(answer::<Account, _>(account.view(), Balance::Panics), Err("told to".to_owned()));
        assert_eq!(by_name(Balance::Panics), Err(panicked("told to")));
        assert_eq!(answer::<Account, _>(account.view(), Fuse(true)), Err("dropped".to_owned()));
        let fuse = std::mem::ManuallyDrop::new(Fuse(true));
        let encoded = answer_encoded(account.view(), "fuse", &encode(&*fuse).unwrap());
        assert_eq!(encoded, Err(panicked("dropped")));
        assert_eq!(answer::<Account, _>(account.view(), Balance::Told), Ok(Some(Some(Some(5)))));
    }

    /// An answer by value needs no codec; one that is recorded must come back as it was.
    #[test]
    fn an_answer_that_does_not_survive_is_not_recorded() {
        assert_eq!(answer::<Account, _>(account().view(), Balance::IsLost), Ok(Some(Some(None))));
        assert!(matches!(by_name(Balance::IsLost), Err(AnswerError::Codec(_))));
        let garbage = answer_encoded(account().view(), "balance", b"?");
        assert!(matches!(garbage, Err(AnswerError::Codec(_))));
    }

    #[test]
    fn a_query_that_is_not_registered_has_no_answer() {
        assert_eq!(answer_encoded(account().view(), "audit", b""), Err(AnswerError::Unanswered));
        assert_eq!(answer::<Other, _>(account().view(), Balance::Told), Ok(None));
        assert_eq!(answer::<Other, _>(account().view(), Fuse(true)), Err("dropped".to_owned()));
    }
}
