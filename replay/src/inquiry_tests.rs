//! Queries of handlers on hand-made determinants: what is recorded, what a replay takes, and what
//! is refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use relive_storage::record::{Delivery, Event, EventKind, Positioned, Record, Sender};
use relive_storage::{Lsn, Rsn, StoreId, Timestamp};

use super::*;
use crate::ask::{self, AskFailure};
use crate::determinants::{Happened, Logging};
use crate::step::testing::step_once;
use crate::{
    Actor, Determinants, Divergence, Effects, Either, Handle, Instance, KindBuilder, Message, Outgoing,
    Peers, Recorded, StepError, Tape, TapeOnly, Wait, WaitFor,
};

/// Remembers what came of its queries.
#[derive(Serialize, Deserialize)]
struct Desk {
    said: Vec<String>,
}

impl Actor for Desk {
    const KIND: &'static str = "desk";

    fn create(_: &str) -> Self {
        Self { said: Vec::new() }
    }
}

/// Asks how much a desk has of a thing.
#[derive(Serialize, Deserialize)]
struct Has(Odd, Vec<u8>);

/// Does not survive its codec, if it is told to: `Some(None)` comes back as `None`.
type Odd = Option<Option<u8>>;

impl Query for Has {
    const NAME: &'static str = "has";
    type Answer = u64;
}

impl Answer<Has> for Desk {
    fn answer(&self, Has(_, thing): Has) -> u64 {
        thing.len() as u64
    }
}

/// Which queries to make.
#[derive(Serialize, Deserialize, Clone, Copy)]
enum Look {
    One(u8),
    BadName,
    TooLarge,
    Lossy,
    Race,
    Both,
}

impl Message for Look {
    const NAME: &'static str = "look";
    type Reply = ();
}

impl Handle<Look> for Desk {
    async fn handle(&mut self, look: Look, cx: &mut Context<'_>) {
        let ask = |key: &str, bytes: usize| cx.to::<Self>(key).query(Has(None, vec![7; bytes]));
        let said = match look {
            Look::One(bytes) => format!("{:?}", ask("bob", bytes.into()).await),
            Look::BadName => format!("{:?}", ask("", 1).await),
            Look::TooLarge => format!("{:?}", ask("bob", PAYLOAD_BYTES_MAX).await),
            Look::Lossy => format!("{:?}", cx.to::<Self>("bob").query(Has(Some(None), Vec::new())).await),
            Look::Race => match cx.race(ask("bob", 1).into_future(), ask("eve", 2).into_future()).await {
                Either::First(first) => format!("first {first:?}"),
                Either::Second(second) => format!("second {second:?}"),
            },
            Look::Both => {
                format!("{:?}", cx.join(ask("bob", 1).into_future(), ask("eve", 2).into_future()).await)
            }
        };
        self.said.push(said);
    }
}

/// Lets happen what it was told, in that order, and notes what was asked and what is in the log.
#[derive(Default)]
struct Scripted {
    script: VecDeque<(u32, Bytes)>,
    asked: Vec<(String, usize)>,
    logged: Vec<Event>,
    released: usize,
}

impl Determinants for Scripted {
    fn recorded(&mut self, _: Rsn, _: &[Wait]) -> Result<Recorded, Divergence> {
        Ok(Recorded::Nothing)
    }

    fn release(&mut self, sends: &[Outgoing]) {
        self.released += sends.len();
    }

    fn poll_happened(&mut self, waits: &[Wait], _: &mut Task<'_>) -> Poll<Happened> {
        for wait in waits {
            let WaitFor::Answer { from, query, payload } = &wait.what else { panic!("{wait:?}") };
            assert_eq!((*query, &*wait.name), (TypeId::of::<Has>(), "has"));
            self.asked.push((from.key().to_owned(), payload.len()));
        }
        let Some((index, outcome)) = self.script.pop_front() else { return Poll::Pending };
        Poll::Ready(Happened { index, kind: EventKind::Answer, outcome })
    }

    fn log(&mut self, event: Event) -> Logging<'_> {
        self.logged.push(event);
        Box::pin(std::future::ready(Ok(Timestamp::from_micros(5))))
    }

    fn checks(&self) -> bool {
        true
    }

    fn finish(&mut self, _: Rsn, _: Option<u64>) -> Result<(), Divergence> {
        Ok(())
    }
}

fn desk() -> Instance {
    let kind = KindBuilder::<Desk>::new().handles::<Look>().answers::<Has>().build().unwrap();
    let mut peers = Peers::default();
    peers.add(kind.name(), kind.messages(), kind.queries());
    kind.introduce(&Arc::new(peers));
    Instance::create(kind, id("alice"), StoreId::new(1))
}

fn id(key: &str) -> ActorId {
    ActorId::new("desk", key).unwrap()
}

fn delivery(look: Look) -> Delivery {
    let (sender, clock) = (Sender::Outside, Timestamp::default());
    let payload = encode(&look).unwrap().into();
    Delivery { rsn: Rsn::new(1), sender, asked: false, message: "look".into(), payload, clock, seed: 0 }
}

/// One step; `None` when it waits for something.
fn stepped(
    desk: &mut Instance,
    look: Look,
    determinants: &mut dyn Determinants,
) -> Option<Result<Effects, StepError>> {
    desk.admit(&Sender::Outside);
    step_once(desk.process(), &delivery(look), determinants)
}

fn said(desk: &Instance) -> &[String] {
    &desk.state::<Desk>().unwrap().said
}

fn answer(value: u64) -> Bytes {
    Answered::by(&id("bob"), Ok(encode(&value).unwrap().into()))
}

/// A tape with this delivery and these events.
fn tape(look: Look, events: &[Event]) -> Tape {
    let mut tape = Tape::after(Rsn::NONE);
    let records = events.iter().cloned().map(Record::Event);
    let records = std::iter::once(Record::Delivery(delivery(look))).chain(records);
    let records = records.map(|record| Positioned { lsn: Lsn::FIRST, record });
    tape.add((Rsn::NONE, Rsn::NONE), Some(&[]), records).unwrap();
    tape
}

/// What a run learned is what its replay learns, and the replay asks nobody.
#[test]
fn a_replay_learns_the_recorded_answer() {
    for (look, script, expected) in [
        (Look::One(3), vec![(0, answer(7))], "Ok(7)"),
        (Look::Both, vec![(1, answer(8)), (0, answer(7))], "(Ok(7), Ok(8))"),
        (Look::Race, vec![(1, answer(8))], "second Ok(8)"),
        (
            Look::One(3),
            vec![(0, Answered::failure(QueryFailure::Deadlock { cycle: Vec::new() }))],
            "Err(Deadlock { cycle: [] })",
        ),
    ] {
        let (mut live, mut replayed) = (desk(), desk());
        let mut determinants = Scripted { script: script.into(), ..Scripted::default() };
        let effects = stepped(&mut live, look, &mut determinants).unwrap().unwrap();
        assert_eq!(said(&live), [expected]);
        let mut tape = tape(look, &determinants.logged);
        let again = stepped(&mut replayed, look, &mut TapeOnly(&mut tape)).unwrap().unwrap();
        assert_eq!((said(&replayed), again.digest()), (said(&live), effects.digest()));
        assert_eq!((effects.sends.len(), determinants.released), (0, 0), "nothing leaves the actor");
    }
}

/// The handler does not go on before its log has the answer.
#[test]
fn a_handler_waits_until_the_answer_is_on_record() {
    struct Slow(Scripted);
    impl Determinants for Slow {
        fn recorded(&mut self, rsn: Rsn, waits: &[Wait]) -> Result<Recorded, Divergence> {
            self.0.recorded(rsn, waits)
        }
        fn release(&mut self, _: &[Outgoing]) {}
        fn poll_happened(&mut self, waits: &[Wait], task: &mut Task<'_>) -> Poll<Happened> {
            self.0.poll_happened(waits, task)
        }
        fn log(&mut self, _: Event) -> Logging<'_> {
            Box::pin(std::future::pending())
        }
        fn finish(&mut self, _: Rsn, _: Option<u64>) -> Result<(), Divergence> {
            panic!("it has gone on")
        }
    }
    let script = VecDeque::from([(0, answer(7))]);
    let mut slow = Slow(Scripted { script, ..Scripted::default() });
    let mut desk = desk();
    assert!(stepped(&mut desk, Look::One(1), &mut slow).is_none());
    assert!(said(&desk).is_empty());
}

/// Invariant: divergence-stops. An answer to one question is none to another.
#[test]
fn a_query_of_something_else_is_a_divergence() {
    let digest = |look| {
        let script = VecDeque::from([(0, answer(7))]);
        let mut determinants = Scripted { script, ..Scripted::default() };
        stepped(&mut desk(), look, &mut determinants).unwrap().unwrap().digest()
    };
    assert_eq!(digest(Look::One(3)), digest(Look::One(3)));
    assert_ne!(digest(Look::One(3)), digest(Look::One(4)));
}

/// What can't be asked is a value at once, and takes no place among the events.
#[test]
fn what_cannot_be_asked_is_refused_at_once() {
    for look in [Look::BadName, Look::TooLarge] {
        let (mut desk, mut determinants) = (desk(), Scripted::default());
        stepped(&mut desk, look, &mut determinants).unwrap().unwrap();
        assert!(said(&desk)[0].starts_with("Err(NotAsked"), "{:?}", said(&desk));
        assert!(determinants.asked.is_empty() && determinants.logged.is_empty());
    }
    let (mut desk, mut determinants) = (desk(), Scripted::default());
    let halted = stepped(&mut desk, Look::Lossy, &mut determinants).unwrap();
    let Err(StepError::Halted(halt)) = halted else { panic!("{halted:?}") };
    assert!(halt.to_string().contains("\"has\" that it asks"), "{halt}");
    assert!(determinants.asked.is_empty());
}

#[test]
fn every_outcome_of_an_answer_fits_an_event() {
    let decoded = |answered| Answered::decoded::<Vec<u8>>(&Answered::by(&id("bob"), answered));
    let limit = PAYLOAD_BYTES_MAX - ANSWER_OVERHEAD_BYTES;
    for bytes in [0, 1, 70_000, limit] {
        let outcome = Answered::by(&id("bob"), Ok(vec![7; bytes].into()));
        assert!(outcome.len() <= PAYLOAD_BYTES_MAX);
        assert!(matches!(decode(&outcome), Ok(Answered::Answer(answer)) if answer == vec![7; bytes]));
    }
    let receiver = "desk/bob".to_owned();
    let too_large = decoded(Ok(vec![7; limit + 1].into()));
    let expected = QueryFailure::AnswerTooLarge { receiver: receiver.clone(), found: limit + 1, limit };
    assert_eq!(too_large, Err(expected));
    // A text of users' code, cut between two characters.
    let panic = "ä".repeat(PAYLOAD_BYTES_MAX);
    let panicked = decoded(Err(AnswerError::Panicked(panic)));
    let shortened = "ä".repeat(REASON_BYTES_MAX / 2);
    assert_eq!(
        panicked,
        Err(QueryFailure::Panicked { receiver: receiver.clone(), panic: shortened.clone() })
    );
    let reason = "ä".repeat(PAYLOAD_BYTES_MAX);
    let outcome = ask::Answered::failure(AskFailure::Stopped { receiver: receiver.clone(), reason });
    let expected = AskFailure::Stopped { receiver, reason: shortened };
    assert!(matches!(decode(&outcome), Ok(ask::Answered::Failure(failure)) if failure == expected));
    assert!(matches!(decoded(Err(AnswerError::Unanswered)), Err(QueryFailure::NotAsked { .. })));
    let odd = decode::<u64>(&[]).unwrap_err();
    assert!(matches!(decoded(Err(AnswerError::Codec(odd))), Err(QueryFailure::Codec { .. })));
    // Records that are damaged, or of another type.
    assert!(matches!(Answered::decoded::<u64>(b"?"), Err(QueryFailure::Codec { .. })));
    let text: Bytes = encode(&"seven").unwrap().into();
    let outcome = Answered::by(&id("bob"), Ok(text));
    assert!(matches!(Answered::decoded::<u64>(&outcome), Err(QueryFailure::Codec { .. })));
}
