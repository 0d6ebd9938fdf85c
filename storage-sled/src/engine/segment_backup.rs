//! Backs up the segments that sled may overwrite while it opens, until the snapshot that replaces
//! them is synced.
//!
//! sled 0.34.7 ends its recovery with a new snapshot, and then writes zeros over the segments that
//! the snapshot does not need. It syncs the snapshot, but not the directory in which it renames it:
//! after a loss of power now, the zeros may be there and the snapshot may not. Without the snapshot
//! sled needs the segments that were written last, without a gap, and takes a log that lacks one of
//! them for empty. So relive first copies these segments to a file of its own, and the next opening
//! puts them back. When the snapshot survived as well, the result is the state before the
//! overwriting, which a crash may leave anyway.
//!
//! ```text
//! relive.rescue := "RLVR" version:u32 store:u128 segments:u32 (offset:u64 length:u32 content)* crc:u32
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use relive_storage::medium_support::{Reader, io_error, sync_directory, write_synced};
use relive_storage::{Malformed, StoreError, StoreId};

use crate::names::{DATA, SEGMENT_BACKUP, SEGMENT_BACKUP_NEW};
use crate::tuning::SEGMENT_BYTES;

const MAGIC: u32 = u32::from_le_bytes(*b"RLVR");
const VERSION: u32 = 1;

/// The header of a segment of sled: a checksum and two positions.
const SEGMENT_HEADER_BYTES: usize = 20;

/// Puts back the segments that an interrupted opening had backed up.
pub(crate) fn restore(directory: &Path, store: StoreId) -> Result<(), StoreError> {
    let path = directory.join(SEGMENT_BACKUP);
    let kept = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        kept => kept.map_err(io_error("read", &path))?,
    };
    let damaged = |malformed: Malformed| StoreError::CorruptStore {
        what: format!("{} can't be read: {malformed}", path.display()),
    };
    let (found, segments) = decode(&kept.into()).map_err(damaged)?;
    if found != store {
        let (expected, found) = (store.to_string(), format!("{found} (in {SEGMENT_BACKUP})"));
        return Err(StoreError::Mixed { path: directory.to_owned(), expected, found });
    }
    let data = directory.join(DATA);
    let file = OpenOptions::new().write(true).open(&data).map_err(io_error("open", &data))?;
    for (offset, content) in &segments {
        file.write_all_at(content, *offset).map_err(io_error("write", &data))?;
    }
    // The backup stays until sled has opened: a crash just here puts the same bytes back again.
    file.sync_all().map_err(io_error("sync", &data))?;
    let count = segments.len();
    tracing::warn!(path = %data.display(), segments = count, "put back segments that an opening had backed up and did not complete");
    Ok(())
}

/// Backs up the segments that sled may overwrite and could need again.
pub(crate) fn save(directory: &Path, store: StoreId) -> Result<(), StoreError> {
    let path = directory.join(DATA);
    let file = File::open(&path).map_err(io_error("open", &path))?;
    let bytes = file.metadata().map_err(io_error("open", &path))?.len();
    let segments = last_segments(&file, bytes).map_err(io_error("read", &path))?;
    if segments.is_empty() {
        return Ok(());
    }
    // Under another name first, so that a restore never finds a half of it.
    let new = directory.join(SEGMENT_BACKUP_NEW);
    write_synced(&new, &encode(store, &segments))?;
    fs::rename(&new, directory.join(SEGMENT_BACKUP)).map_err(io_error("rename", &new))?;
    sync_directory(directory)
}

/// Call it when sled is open: syncs the name of its snapshot, and then removes the backup, which
/// nothing needs any more.
pub(crate) fn discard(directory: &Path) -> Result<(), StoreError> {
    sync_directory(directory)?;
    let mut removed = false;
    for name in [SEGMENT_BACKUP, SEGMENT_BACKUP_NEW] {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("remove", &path)(error)),
            Ok(()) => removed = true,
        }
    }
    // The removal is synced before any write: a backup that came back later would restore outdated
    // segments.
    if removed { sync_directory(directory) } else { Ok(()) }
}

type Segment = (u64, Vec<u8>);

/// The segments that sled's log must have without a gap: from the one that was known to be synced
/// when the last ones began. None when there is only one, which sled never overwrites.
fn last_segments(file: &File, bytes: u64) -> std::io::Result<Vec<Segment>> {
    let mut headers = Vec::new();
    for offset in (0..bytes).step_by(SEGMENT_BYTES) {
        if let Some((position, synced)) = read_header(file, offset, bytes)? {
            headers.push((offset, position, synced));
        }
    }
    let synced = headers.iter().map(|(_, _, synced)| *synced).max().unwrap_or_default();
    let from = synced / SEGMENT_BYTES as u64 * SEGMENT_BYTES as u64;
    headers.retain(|(_, position, _)| *position >= from);
    if headers.len() < 2 {
        return Ok(Vec::new());
    }
    let read = headers.into_iter().map(|(offset, _, _)| {
        let length = (bytes - offset).min(SEGMENT_BYTES as u64);
        let mut content = vec![0; usize::try_from(length).expect("a segment fits into memory")];
        file.read_exact_at(&mut content, offset)?;
        Ok((offset, content))
    });
    read.collect()
}

/// The position at which a segment begins in sled's log, and up to where that was synced then.
fn read_header(file: &File, offset: u64, bytes: u64) -> std::io::Result<Option<(u64, u64)>> {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    if bytes - offset < SEGMENT_HEADER_BYTES as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut header, offset)?;
    let number =
        |at: usize| i64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes")) ^ i64::MAX;
    let crc = u32::from_le_bytes(header[..4].try_into().expect("four bytes"));
    if crc32fast::hash(&header[4..]) != !crc {
        return Ok(None);
    }
    // -1 says that nothing is synced.
    Ok(u64::try_from(number(4))
        .ok()
        .map(|position| (position, u64::try_from(number(12)).unwrap_or_default())))
}

fn encode(store: StoreId, segments: &[Segment]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&store.get().to_le_bytes());
    let count = u32::try_from(segments.len()).expect("sled has fewer segments");
    bytes.extend_from_slice(&count.to_le_bytes());
    for (offset, content) in segments {
        bytes.extend_from_slice(&offset.to_le_bytes());
        let length = u32::try_from(content.len()).expect("a segment is small");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(content);
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &Bytes) -> Result<(StoreId, Vec<(u64, Bytes)>), Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.u32()? != MAGIC {
        return Err(Malformed("it does not begin as it should"));
    }
    if reader.u32()? != VERSION {
        return Err(Malformed("it has an unknown version"));
    }
    let store = StoreId::new(reader.u128()?);
    let count = reader.u32()?;
    let mut segments = Vec::new();
    for _ in 0..count {
        let offset = reader.u64()?;
        let length = reader.u32()? as usize;
        if offset % SEGMENT_BYTES as u64 != 0 || length > SEGMENT_BYTES {
            return Err(Malformed("a segment lies where none can be"));
        }
        segments.push((offset, reader.take(length)?));
    }
    let whole = bytes.slice(..reader.position());
    if reader.u32()? != crc32fast::hash(&whole) || !reader.is_empty() {
        return Err(Malformed("its checksum does not match"));
    }
    Ok((store, segments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let segments = vec![(0, vec![7; 30]), (SEGMENT_BYTES as u64, vec![9; 20])];
        let whole = encode(StoreId::new(5), &segments);
        let (store, found) = decode(&whole.clone().into()).unwrap();
        assert_eq!(store, StoreId::new(5));
        let found: Vec<Segment> =
            found.into_iter().map(|(offset, content)| (offset, content.to_vec())).collect();
        assert_eq!(found, segments);
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged.into()).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(decode(&whole[..length].to_vec().into()).is_err(), "length {length}");
        }
    }

    /// The segments that sled overwrote come back, until the backup is discarded.
    #[test]
    fn what_was_kept_is_put_back_until_it_is_discarded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let db = sled::Config::new().path(path).segment_size(SEGMENT_BYTES).open().unwrap();
        for number in 0..300_u64 {
            db.insert(number.to_be_bytes(), vec![number.to_le_bytes()[0]; 20_000]).unwrap();
            db.flush().unwrap();
        }
        drop(db);
        let store = StoreId::new(5);
        let before = fs::read(path.join(DATA)).unwrap();
        save(path, store).unwrap();
        let (_, kept) = decode(&fs::read(path.join(SEGMENT_BACKUP)).unwrap().into()).unwrap();
        assert!((2..8).contains(&kept.len()), "{} segments", kept.len());
        let mut after = before.clone();
        for (offset, content) in &kept {
            let start = usize::try_from(*offset).unwrap();
            after[start..start + content.len()].fill(0);
        }
        fs::write(path.join(DATA), &after).unwrap();
        assert!(matches!(restore(path, StoreId::new(6)), Err(StoreError::Mixed { .. })));
        for _ in 0..2 {
            restore(path, store).unwrap();
            assert!(fs::read(path.join(DATA)).unwrap() == before, "something is not back");
        }
        discard(path).unwrap();
        fs::write(path.join(DATA), &after).unwrap();
        restore(path, store).unwrap();
        assert!(fs::read(path.join(DATA)).unwrap() == after, "what was discarded came back");
    }
}
