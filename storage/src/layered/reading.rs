//! Reads the checkpoint that stands at a location in a pack.

use bytes::{Bytes, BytesMut};

use super::checkpoint_index::Location;
use super::pack::{self, Entry};
use crate::contract::error::StoreError;
use crate::format::checkpoint::Checkpoint;
use crate::id::actor_id::ActorId;
use crate::medium::{Medium, StreamId};

/// Reads an encoded checkpoint. The inner error says what is damaged.
pub(super) fn read(
    medium: &dyn Medium,
    actor: &ActorId,
    location: Location,
) -> Result<Result<Bytes, String>, StoreError> {
    let id = StreamId(u64::from(location.pack));
    // The last value says how many parts stand before it.
    let last = match read_value(medium, id, u64::from(location.value))? {
        Ok(last) => last,
        Err(what) => return Ok(Err(what)),
    };
    if pack::is_small(&last) {
        let found = pack::find(&last, actor).map_err(|malformed| malformed.to_string());
        return Ok(found.and_then(|found| found.ok_or_else(|| "it is not in its value".to_owned())));
    }
    let entry = match pack::decode(&last, location.value) {
        Ok(pack::Value::Entries(mut entries)) => entries.pop(),
        _ => None,
    };
    let Some(entry) = entry else { return Ok(Err("its value is something else".to_owned())) };
    assert!(entry.parts <= location.value, "a decoded entry has its parts before it");
    let mut whole = BytesMut::with_capacity(entry.length as usize);
    for part in location.value - entry.parts..location.value {
        let bytes = read_value(medium, id, u64::from(part))?;
        match bytes.and_then(|bytes| pack::part_of(&bytes).map_err(|malformed| malformed.to_string())) {
            Ok(bytes) if whole.len() + bytes.len() <= entry.length as usize => {
                whole.extend_from_slice(&bytes);
            }
            Ok(_) => return Ok(Err("its parts are longer than it is".to_owned())),
            Err(what) => return Ok(Err(what)),
        }
    }
    Ok(Ok(whole.freeze()))
}

/// The encoded checkpoint of an entry of a pack. The inner error says what is damaged.
pub(super) fn encoded(
    medium: &dyn Medium,
    stream: u32,
    entry: &Entry,
) -> Result<Result<Bytes, String>, StoreError> {
    let location = Location { pack: stream, value: entry.value, length: entry.length };
    let read = read(medium, &entry.header.actor, location)?;
    Ok(read.and_then(|bytes| match Checkpoint::decode(bytes.clone()) {
        Ok(checkpoint) if checkpoint.header == entry.header => Ok(bytes),
        Ok(_) => Err("it is not the one that the index tells of".to_owned()),
        Err(malformed) => Err(malformed.to_string()),
    }))
}

fn read_value(medium: &dyn Medium, id: StreamId, position: u64) -> Result<Result<Bytes, String>, StoreError> {
    let value = medium.read(id, position)?;
    Ok(value.unwrap_or_else(|| Err(format!("its value {position} is gone"))))
}
