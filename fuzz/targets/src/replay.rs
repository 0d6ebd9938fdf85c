//! Logs of well-formed records that contradict themselves, with checkpoints that fit or don't: what
//! a whole runtime makes of them when it opens. Wrong positions, events and decisions about
//! deliveries that never came, digests of something else, channels with gaps, states of another
//! actor.
//!
//! What opens must serve, and open again with the same states; anything else is a typed error.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use relive::{AskError, ErrorKind, OpenError, Runtime, Unavailable};
use relive_replay::inquiry::Answered;
use relive_replay::payload::encode;
use relive_replay::query::AnswerError;
use relive_storage::frame::FrameContext;
use relive_storage::record::{
    Carried, CheckpointMark, EffectDigest, Event, EventKind, Quarantine, Released, Sender,
};
use relive_storage::{
    ActorId, Block, BlockHeader, CarriedFrame, Checkpoint, CheckpointNumber, CheckpointStore, Epoch,
    FrameWriter, Log, Lsn, MemoryStore, Name, Rsn, Ssn, Timestamp,
};

use crate::{checkpoint, model};

/// Runs one input.
///
/// # Panics
/// When a runtime breaks its promise on such a log.
pub fn run(input: &[u8]) {
    let store = MemoryStore::new();
    if write(&mut Unstructured::new(input), &store).is_err() {
        return;
    }
    static TOKIO: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime")
    });
    TOKIO.block_on(async {
        let Ok(first) = life(&store).await else { return };
        // Nothing but what a runtime itself has written was added.
        let second = match life(&store).await {
            Ok(second) => second,
            // A sender that nothing called back into memory is compared with its receivers when
            // something has.
            Err(OpenError::Orphan { .. }) => return,
            Err(error) => panic!("what was opened once is not opened again: {error}"),
        };
        for (after, before) in first.after.iter().zip(&second.before) {
            // An actor that owes itself a message that it can't take finds out when it comes.
            if let (Some(after), Some(before)) = (after, before) {
                assert_eq!(after, before, "a reopening changed a state");
            }
        }
    });
}

/// The states of the actors that serve, when a runtime began and when it ended.
struct Life {
    before: Vec<Option<model::Shown>>,
    after: Vec<Option<model::Shown>>,
}

/// Opens, reads and changes each actor, and ends as by a crash. A refusal is of a kind that says
/// that the records are bad.
async fn life(store: &MemoryStore) -> std::result::Result<Life, OpenError> {
    let builder = Runtime::builder().actor::<model::Book>(model::register);
    let runtime = match builder.open_on(Arc::new(store.reopen())).await {
        Ok(runtime) => runtime,
        Err(error) => {
            let is_refused = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Input);
            assert!(is_refused && !matches!(error, OpenError::NoTokio), "{error}");
            return Err(error);
        }
    };
    let mut life = Life { before: Vec::new(), after: Vec::new() };
    for key in KEYS {
        life.before.push(shown(&runtime, key).await);
        let actor = runtime.actor::<model::Book>(key).expect("the kind is registered");
        let _ = answer(actor.ask(model::Add { cents: 1 }).timeout(LIMIT).await);
    }
    for key in KEYS {
        life.after.push(shown(&runtime, key).await);
    }
    runtime.crash().await;
    Ok(life)
}

/// The state of an actor; `None` when it has failed.
async fn shown(runtime: &Runtime, key: &str) -> Option<model::Shown> {
    let actor = runtime.actor::<model::Book>(key).expect("the kind is registered");
    answer(actor.ask(model::Show {}).timeout(LIMIT).await)
}

fn answer<T, M>(asked: std::result::Result<T, AskError<M>>) -> Option<T> {
    match asked {
        Ok(answer) => Some(answer),
        Err(error) => {
            // An actor that can't be restored says so; it is not waited for.
            let is_failure = matches!(error.unavailable(), Some(Unavailable::Actor(_)));
            assert!(is_failure, "{error}");
            None
        }
    }
}

/// Writes what the input says.
fn write(input: &mut Unstructured<'_>, store: &MemoryStore) -> Result<()> {
    let mut lives = [(); KEYS.len()].map(|()| Told::default());
    let plan = input.arbitrary::<u8>()?;
    let mut next = Lsn::FIRST;
    for _ in 0..=plan % BLOCKS_MAX {
        let (mut buffer, mut writer) = (Vec::new(), FrameWriter::new());
        Block::reserve_header(&mut buffer);
        let mut records = 0;
        for _ in 0..=input.arbitrary::<u8>()? % FRAMES_MAX {
            records += frame(input, &mut writer, &mut lives, &mut buffer, next.plus(u64::from(records)))?;
        }
        let clock = Timestamp::from_micros(u64::from(input.arbitrary::<u16>()?));
        let seed = u64::from(input.arbitrary::<u8>()?);
        let header = BlockHeader { first: next, records, durable: next, epoch: Epoch::new(1), clock, seed };
        store.append(&Block::seal(header, buffer)).expect("positions are right");
        store.sync().expect("memory takes what it has admitted");
        next = header.next();
        for told in &mut lives {
            let placed = told.new_frames.drain(..);
            told.frames.extend(placed.map(|(bytes, first)| (bytes, FrameContext { first, clock, seed })));
        }
    }
    let mut number = 0;
    for round in 0..2 {
        for (key, told) in KEYS.iter().zip(&lives) {
            let choice = input.arbitrary::<u8>()?;
            if plan & 0x40 != 0 && choice % 3 == round {
                number += 1;
                store.put(&[stored(input, key, told, number, choice)?]).expect("numbers rise");
            }
        }
    }
    Ok(())
}

/// A checkpoint of an actor, about where its records are.
fn stored(
    input: &mut Unstructured<'_>,
    key: &str,
    told: &Told,
    number: u64,
    choice: u8,
) -> Result<Checkpoint> {
    let rsn = Rsn::new(told.near(choice));
    let mut stored = model::checkpoint(&id(key), rsn);
    stored.header.number = CheckpointNumber::new(number);
    stored.header.restore_at_open = choice & 0x80 != 0;
    if choice & 0x40 != 0 {
        stored.body = encode(&checkpoint::strange_body(input)?).expect("a body encodes").into();
    }
    Ok(stored)
}

/// How far the records of an actor have come.
#[derive(Default)]
struct Told {
    last: u64,
    covered: u64,
    events: u32,
    from_producer: u64,
    from: [u64; KEYS.len()],
    /// The frames in the blocks that are written.
    frames: Vec<(Bytes, FrameContext)>,
    /// The frames in the block that is being written, and where they stand.
    new_frames: Vec<(Bytes, Lsn)>,
}

impl Told {
    /// Mostly the last delivery, or one beside it.
    fn near(&self, choice: u8) -> u64 {
        match choice % 8 {
            0 => self.last + 1,
            1 => self.last.saturating_sub(1),
            2 => self.last / 2,
            3 => self.last + u64::from(choice),
            _ => self.last,
        }
    }
}

/// Writes a frame; gives the number of its records.
fn frame(
    input: &mut Unstructured<'_>,
    writer: &mut FrameWriter,
    lives: &mut [Told; KEYS.len()],
    buffer: &mut Vec<u8>,
    first: Lsn,
) -> Result<u32> {
    let [owner, shape] = input.arbitrary::<[u8; 2]>()?;
    if owner >= CARRIES {
        return carry(input, writer, lives, buffer, shape);
    }
    if owner % 8 == 0 {
        let epoch = Epoch::new(u64::from(shape % 4));
        if shape & 0x80 == 0 {
            writer.put_incarnation(epoch);
        } else {
            writer.put_recovery_complete(epoch);
        }
        writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).append_to(buffer);
        return Ok(1);
    }
    let which = usize::from(owner / 8) % KEYS.len();
    let told = &mut lives[which];
    let handled = if shape & 0x80 == 0 { told.covered } else { told.near(shape) };
    let since = if shape & 0x40 == 0 { told.covered.min(handled) } else { handled };
    let mut digests = Vec::new();
    if shape & 0x20 != 0 && handled > since {
        digests.push(EffectDigest { rsn: Rsn::new(handled), digest: input.arbitrary()? });
    }
    told.covered = handled;
    if shape & 0x1f == 0x1f {
        told.last += 1;
    }
    let count = shape % RECORDS_MAX + 1;
    for _ in 0..count {
        record(input, writer, told)?;
    }
    let from = buffer.len();
    writer.finish(Some(&id(KEYS[which])), Rsn::new(since), Rsn::new(handled), &digests).append_to(buffer);
    told.new_frames.push((Bytes::copy_from_slice(&buffer[from..]), first));
    Ok(u32::from(count))
}

/// Appends frames of an actor once more, mostly all of them and with their end; gives the number of
/// their records.
fn carry(
    input: &mut Unstructured<'_>,
    writer: &mut FrameWriter,
    lives: &mut [Told; KEYS.len()],
    buffer: &mut Vec<u8>,
    shape: u8,
) -> Result<u32> {
    let which = usize::from(shape) % KEYS.len();
    let told = &lives[which];
    let [left_out, end] = input.arbitrary::<[u8; 2]>()?;
    // Mostly none, from the beginning or from the end.
    let (before, behind) = (usize::from(left_out & 0xf) / 12, usize::from(left_out >> 4) / 12);
    let frames = told.frames.get(before..told.frames.len().saturating_sub(behind)).unwrap_or_default();
    let mut records = 0;
    for (bytes, context) in frames {
        let carried = CarriedFrame::of(bytes, *context).expect("what was written can be read");
        carried.frame().append_to(buffer);
        records += carried.frame().records();
    }
    if end & 0x80 != 0 && records > 0 {
        // A crash has come before the end.
        return Ok(records);
    }
    let rsn = Rsn::new(told.near(end).max(1));
    writer.put_carried(Carried { rsn, settled: Rsn::new(told.near(end >> 3)) });
    records += 1;
    for number in 0..u64::from(shape >> 6) {
        let (to, ssn, asked) = (id(KEYS[1]), Ssn::new(number + 1), end & 0x40 != 0);
        writer.put_released(&Released { rsn, to, ssn, asked, content: input.arbitrary()? });
        records += 1;
    }
    let handled = Rsn::new(told.covered);
    writer.finish(Some(&id(KEYS[which])), handled, handled, &[]).append_to(buffer);
    Ok(records)
}

fn record(input: &mut Unstructured<'_>, writer: &mut FrameWriter, told: &mut Told) -> Result<()> {
    let [kind, choice] = input.arbitrary::<[u8; 2]>()?;
    let near = told.near(choice);
    let rsn = Rsn::new(near.max(1));
    match kind % 16 {
        0..=8 => delivery(input, writer, told, choice)?,
        9..=11 => {
            let index = if choice & 0x40 == 0 { told.events } else { u32::from(choice >> 5) };
            told.events = index + 1;
            let name = Name::from_static(if choice & 0x20 == 0 { "charge" } else { "other" });
            let outcome =
                if choice & 0x80 == 0 { Bytes::from_static(&[4]) } else { Bytes::from_static(b"\xc1") };
            let kind = match kind >> 4 {
                1 => EventKind::Reply { from: id(KEYS[1]), ssn: Ssn::new(u64::from(choice).max(1)) },
                2 => EventKind::AskFailed,
                3 => EventKind::Elapsed,
                4 => EventKind::Answer,
                _ => EventKind::SideEffect,
            };
            let (name, outcome) = match kind {
                EventKind::Answer if choice & 0x20 == 0 => (model::total(), answered(choice)),
                _ => (name, outcome),
            };
            writer.put_event(&Event { rsn, index, kind, name, outcome, clock: None });
        }
        12 => writer
            .put_checkpoint_mark(CheckpointMark { number: CheckpointNumber::new(1), rsn: Rsn::new(near) }),
        13 => writer.put_attempt(rsn),
        14 => {
            let (tries, reason) = (u32::from(choice), "it panicked".to_owned());
            writer.put_quarantine(&Quarantine { rsn, tries, reason });
        }
        _ => writer.put_discharge(rsn),
    }
    Ok(())
}

/// What came of a query: an answer, none, an answer of another type, or no outcome at all.
fn answered(choice: u8) -> Bytes {
    let (by, answer) = (id(KEYS[1]), |bytes: Vec<u8>| Ok(bytes.into()));
    match choice % 4 {
        0 => Answered::by(&by, answer(encode(&5_i64).expect("a number encodes"))),
        1 => Answered::by(&by, Err(AnswerError::Unanswered)),
        2 => Answered::by(&by, answer(encode("five").expect("a text encodes"))),
        _ => Bytes::from_static(b"\xc1"),
    }
}

fn delivery(
    input: &mut Unstructured<'_>,
    writer: &mut FrameWriter,
    told: &mut Told,
    choice: u8,
) -> Result<()> {
    let [message, from] = input.arbitrary::<[u8; 2]>()?;
    let messages = model::messages();
    // The last is one that nobody handles, which alone would end most openings.
    let known = if message & 0x40 != 0 && choice & 0x40 != 0 { messages.len() } else { messages.len() - 1 };
    let (name, payload) = &messages[usize::from(message) % known];
    let payload =
        if message & 0x80 == 0 { payload.as_slice() } else { &messages[usize::from(choice) % known].1 };
    let step = |last: &mut u64| {
        // A number of a channel that comes next; now and then one again, or one left out.
        *last = match from >> 4 {
            0 => (*last).max(1),
            1 => *last + 2,
            _ => *last + 1,
        };
        Ssn::new(*last)
    };
    let sender = match from % 4 {
        0 => match from >> 4 {
            14 => Sender::Timer { name: Name::from_static("remind"), due: Timestamp::from_micros(told.last) },
            15 => Sender::Keyed { key: Name::from_static("order 17") },
            _ => Sender::Outside,
        },
        1 => Sender::Producer { name: Name::from_static("till"), ssn: step(&mut told.from_producer) },
        which => {
            let which = usize::from(which + (from >> 2) % 2) % KEYS.len();
            Sender::Actor { id: id(KEYS[which]), ssn: step(&mut told.from[which]) }
        }
    };
    told.last += 1;
    told.events = 0;
    let asked = choice & 0x80 != 0;
    writer.put_delivery(Rsn::new(told.last), &sender, asked, &Name::from_static(name), payload);
    Ok(())
}

fn id(key: &str) -> ActorId {
    ActorId::new(model::KIND, key).expect("the keys are valid")
}

/// The receiver of what the model forwards is among them.
const KEYS: [&str; 3] = ["alice", "bob", "carol"];
const BLOCKS_MAX: u8 = 6;
/// From this on a frame's first byte says that frames are carried.
const CARRIES: u8 = 0xf8;
const FRAMES_MAX: u8 = 3;
const RECORDS_MAX: u8 = 5;
/// Far above what an answer takes.
const LIMIT: Duration = Duration::from_secs(30);
