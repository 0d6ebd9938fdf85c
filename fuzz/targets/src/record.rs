//! Valid blocks, and blocks with damage behind repaired lengths and checksums: what the decoders'
//! inner checks, the scan, the tape and the replay make of them.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use relive_storage::frame::FrameContext;
use relive_storage::limits::POSITION_MAX;
use relive_storage::record::{
    CheckpointMark, Delivery, EffectDigest, Event, EventKind, Positioned, Quarantine, Record, Released,
    Sender,
};
use relive_storage::{
    ActorId, Block, BlockHeader, CheckpointNumber, Epoch, Frame, Lsn, Name, Rsn, Ssn, Timestamp,
};

use crate::{hostile, model, reencode, repair};

/// Runs one input.
///
/// # Panics
/// When a decoder, or what reads after it, breaks its promise.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok(plan) = Plan::take(&mut input) else { return };
    let encoded: Vec<Vec<u8>> = plan.frames.iter().map(reencode::encode).collect();
    // First undamaged: all that was written comes back.
    let records = plan.frames.iter().map(|frame| frame.records.len()).sum::<usize>();
    let header = plan.header(u32::try_from(records).unwrap_or(u32::MAX));
    let block = seal(header, &encoded.concat());
    let decoded = Block::decode(block.into()).expect("a valid block");
    assert_eq!(hostile::read(&decoded), plan.frames, "frames changed on their way");

    let mut bodies: Vec<Vec<u8>> =
        encoded.iter().filter_map(|frame| repair::body(frame)).map(<[u8]>::to_vec).collect();
    let mut damaged = header;
    for _ in 0..DAMAGES_MAX {
        if input.is_empty() || damage(&mut input, &mut bodies, &mut damaged).is_err() {
            break;
        }
    }
    let frames: Vec<u8> = bodies.iter().flat_map(|body| repair::frame(body)).collect();
    if let Ok(block) = Block::decode(seal(damaged, &frames).into()) {
        hostile::read(&block);
    }
}

struct Plan {
    first: u64,
    clock: u64,
    seed: u64,
    frames: Vec<Frame>,
}

impl Plan {
    fn take(input: &mut Unstructured<'_>) -> Result<Self> {
        let first = match input.arbitrary::<u8>()? {
            255 => position(input)?,
            small => u64::from(small),
        };
        let mut plan =
            Self { first, clock: input.arbitrary()?, seed: input.arbitrary()?, frames: Vec::new() };
        let mut state = State { next: Lsn::new(first), actors: BTreeMap::new() };
        for _ in 0..=input.arbitrary::<u8>()? % FRAMES_MAX {
            let frame = plan.frame(input, &mut state)?;
            plan.frames.push(frame);
        }
        Ok(plan)
    }

    fn header(&self, records: u32) -> BlockHeader {
        let first = Lsn::new(self.first);
        let clock = Timestamp::from_micros(self.clock);
        BlockHeader { first, records, durable: first, epoch: Epoch::new(3), clock, seed: self.seed }
    }

    fn frame(&self, input: &mut Unstructured<'_>, state: &mut State) -> Result<Frame> {
        let owner = input.arbitrary::<u8>()?;
        let count = input.arbitrary::<u8>()? % RECORDS_MAX + 1;
        let mut frame = Frame {
            actor: None,
            handled: Rsn::NONE,
            since: Rsn::NONE,
            digests: Vec::new(),
            digests_with_replies: false,
            carried: None,
            records: Vec::new(),
        };
        let key = match owner % 4 {
            0 => {
                for _ in 0..count {
                    let epoch = Epoch::new(position(input)?);
                    let settled = owner & 0x80 != 0;
                    let record =
                        if settled { Record::RecoveryComplete(epoch) } else { Record::Incarnation(epoch) };
                    frame.records.push(Positioned { lsn: state.advance(), record });
                }
                return Ok(frame);
            }
            1 => "alice",
            2 => "bob",
            _ => "carol/of the house",
        };
        let id = ActorId::new(model::KIND, key).expect("the keys are valid");
        let actor = state.actors.entry(key).or_default();
        if owner & 0x80 != 0 {
            actor.last = Rsn::new(position(input)?);
        }
        frame.actor = Some(id);
        frame.since = actor.told.min(actor.last);
        frame.handled = actor.last;
        if owner & 0x40 != 0 && frame.handled > frame.since {
            frame.digests.push(EffectDigest { rsn: frame.handled, digest: input.arbitrary()? });
        }
        actor.told = frame.handled;
        for _ in 0..count {
            let context = FrameContext {
                first: state.next,
                clock: Timestamp::from_micros(self.clock),
                seed: self.seed,
            };
            let record = actor.record(input, context)?;
            frame.records.push(Positioned { lsn: context.first, record });
            state.next = context.first.next();
        }
        Ok(frame)
    }
}

struct State {
    next: Lsn,
    actors: BTreeMap<&'static str, Life>,
}

impl State {
    fn advance(&mut self) -> Lsn {
        let lsn = self.next;
        self.next = lsn.next();
        lsn
    }
}

/// An actor that has no records of its own.
fn dora() -> ActorId {
    ActorId::new(model::KIND, "dora").expect("the key is valid")
}

/// How far an actor has come.
#[derive(Default)]
struct Life {
    last: Rsn,
    told: Rsn,
    events: u32,
    from_producer: u64,
    from_actor: u64,
}

impl Life {
    fn record(&mut self, input: &mut Unstructured<'_>, context: FrameContext) -> Result<Record> {
        let choice = input.arbitrary::<u8>()?;
        match choice % 8 {
            0 => Ok(Record::CheckpointMark(CheckpointMark {
                number: CheckpointNumber::new(position(input)?),
                rsn: Rsn::new(self.last.get() - u64::from(choice >> 4).min(self.last.get())),
            })),
            1 => {
                let (name, outcome) = match choice >> 6 {
                    0 => ("charge", Bytes::from_static(&[4])),
                    1 => ("charge", bytes(input)?),
                    _ => ("other", bytes(input)?),
                };
                let kind = match (choice >> 3) % 8 {
                    1 => EventKind::Reply { from: dora(), ssn: Ssn::new(position(input)?.max(1)) },
                    2 => EventKind::AskFailed,
                    3 => EventKind::Elapsed,
                    4 => EventKind::Answer,
                    _ => EventKind::SideEffect,
                };
                let index = self.events;
                self.events += 1;
                Ok(Record::Event(Event {
                    rsn: self.last,
                    index,
                    kind,
                    name: Name::from_static(name),
                    outcome,
                    clock: Some(context.clock),
                }))
            }
            2 => {
                // About the last delivery, or another one.
                let rsn = Rsn::new(self.last.get().max(1).wrapping_sub(u64::from(choice >> 7)).max(1));
                Ok(match (choice >> 3) % 4 {
                    0 => Record::Attempt(rsn),
                    1 => Record::Released(Released {
                        rsn,
                        to: dora(),
                        ssn: Ssn::new(position(input)?.max(1)),
                        asked: choice & 0x40 != 0,
                        content: input.arbitrary()?,
                    }),
                    2 => Record::Discharge(rsn),
                    _ => Record::Quarantine(Quarantine {
                        rsn,
                        tries: input.arbitrary()?,
                        reason: "it panicked".into(),
                    }),
                })
            }
            _ => self.delivery(choice, input, context).map(Record::Delivery),
        }
    }

    fn delivery(
        &mut self,
        choice: u8,
        input: &mut Unstructured<'_>,
        context: FrameContext,
    ) -> Result<Delivery> {
        let [message, sender] = input.arbitrary::<[u8; 2]>()?;
        let messages = model::messages();
        let (name, sample) = &messages[usize::from(message) % messages.len()];
        let payload = if message & 0x80 == 0 { Bytes::from(sample.clone()) } else { bytes(input)? };
        let sender = match sender % 4 {
            0 => match sender >> 5 {
                6 => {
                    let due = Timestamp::from_micros(input.arbitrary()?);
                    Sender::Timer { name: Name::from_static("remind"), due }
                }
                7 => Sender::Keyed { key: Name::from("k".repeat(usize::from(sender >> 2 & 7) * 36 + 1)) },
                _ => Sender::Outside,
            },
            1 | 2 => {
                self.from_producer += u64::from(sender >> 6) + 1;
                Sender::Producer { name: Name::from_static("till"), ssn: Ssn::new(self.from_producer) }
            }
            _ => {
                self.from_actor += 1;
                Sender::Actor { id: dora(), ssn: Ssn::new(self.from_actor) }
            }
        };
        self.last = self.last.next();
        self.events = 0;
        Ok(Delivery {
            rsn: self.last,
            sender,
            asked: choice & 0x80 != 0,
            message: Name::from_static(name),
            payload,
            clock: context.clock,
            seed: context.seed_at(context.first),
        })
    }
}

/// A number that the format takes, with room behind it for some more.
fn position(input: &mut Unstructured<'_>) -> Result<u64> {
    Ok(input.arbitrary::<u64>()?.min(POSITION_MAX - 4096))
}

fn bytes(input: &mut Unstructured<'_>) -> Result<Bytes> {
    let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
    input.bytes(length).map(Bytes::copy_from_slice)
}

/// Changes one thing in one frame, or in the header of the block.
fn damage(input: &mut Unstructured<'_>, bodies: &mut Vec<Vec<u8>>, header: &mut BlockHeader) -> Result<()> {
    let [what, which] = input.arbitrary::<[u8; 2]>()?;
    let which = usize::from(which) % bodies.len();
    let body = &mut bodies[which];
    let at = usize::from(input.arbitrary::<u16>()?) % (body.len() + 1);
    match what % 9 {
        0 | 1 => {
            let value = input.arbitrary()?;
            if let Some(byte) = body.get_mut(at) {
                *byte = value;
            }
        }
        2 => {
            let inserted = bytes(input)?;
            body.splice(at..at, inserted);
        }
        3 => {
            let end = (at + usize::from(input.arbitrary::<u8>()?)).min(body.len());
            body.drain(at..end);
        }
        // A huge number, or one with another meaning, where a number may stand.
        4 => {
            let number = repair::varint(input.arbitrary::<u64>()? >> (what >> 2));
            let end = (at + 1).min(body.len());
            body.splice(at..end, number);
        }
        5 => {
            let end = (at + usize::from(input.arbitrary::<u8>()?)).min(body.len());
            let copy = body[at..end].to_vec();
            body.splice(at..at, copy);
        }
        6 => {
            let again = body.clone();
            bodies.push(again);
        }
        7 => header.records = header.records.wrapping_add_signed(i32::from(input.arbitrary::<i8>()?)),
        _ => header.first = Lsn::new(u64::MAX - u64::from(input.arbitrary::<u8>()?)),
    }
    Ok(())
}

/// A block with any header, by hand: a block that is sealed is asserted to be a good one.
fn seal(header: BlockHeader, frames: &[u8]) -> Vec<u8> {
    let mut bytes = [0; repair::BLOCK_HEADER_BYTES];
    bytes[8..16].copy_from_slice(&header.first.get().to_le_bytes());
    bytes[16..20].copy_from_slice(&header.records.to_le_bytes());
    bytes[20..28].copy_from_slice(&header.durable.get().to_le_bytes());
    bytes[28..36].copy_from_slice(&header.epoch.get().to_le_bytes());
    bytes[36..44].copy_from_slice(&header.clock.as_micros().to_le_bytes());
    bytes[44..52].copy_from_slice(&header.seed.to_le_bytes());
    repair::block(&bytes, frames)
}

const FRAMES_MAX: u8 = 4;
const RECORDS_MAX: u8 = 6;
const DAMAGES_MAX: usize = 16;
