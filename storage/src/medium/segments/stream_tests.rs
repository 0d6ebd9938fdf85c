//! A stream gives back what was appended, wherever it stands meanwhile, and writes each byte once.

use std::cell::RefCell;

use super::*;
use crate::id::position::StoreId;
use crate::medium::StreamId;
use crate::medium::segments::value::{FileHead, NO_POSITION};

const SEGMENT_BYTES: u64 = 4096;

/// Makes segments with the numbers from 1 on.
struct Segments {
    root: tempfile::TempDir,
    made: RefCell<Vec<Arc<Source>>>,
}

impl Segments {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), made: RefCell::default() }
    }

    fn more(&self, bytes: u64) -> Arc<Source> {
        let mut made = self.made.borrow_mut();
        let number = made.len() as u64 + 1;
        let (store, stream) = (StoreId::new(1), StreamId(0));
        let head = FileHead { store, stream, number, generation: number, first: NO_POSITION };
        let path = self.root.path().join(number.to_string());
        let bytes = SEGMENT_BYTES.max(bytes + VALUES_AT);
        let source = Arc::new(Source::create_segment(path, &head, bytes, &|| false).unwrap().unwrap());
        made.push(Arc::clone(&source));
        source
    }

    fn stream(&self, first: u64) -> Stream {
        let parts = Parts([Part::new(self.more(0), first)].into());
        Stream::new(parts, Arc::default(), true)
    }

    fn append(&self, stream: &Stream, position: u64, value: &[u8]) -> Result<(), StoreError> {
        stream.append(position, value, &|bytes| Ok(self.more(bytes)))
    }

    /// The stream as an opening would find it.
    fn reopened(&self, first: u64) -> (Parts, Vec<u64>) {
        let (parts, empty) = Parts::find(first, self.made.borrow().clone()).unwrap();
        (parts, empty.iter().map(|source| source.number).collect())
    }
}

/// A value that says its position.
fn value(position: u64) -> Vec<u8> {
    position.to_le_bytes().repeat(80)
}

fn read(stream: &Stream, position: u64) -> Option<Vec<u8>> {
    stream.read(position).unwrap().map(|value| value.unwrap().to_vec())
}

/// A value is there from its append on: out of the buffer, while a write hands it over, and out of
/// its file.
#[test]
fn a_value_is_read_wherever_it_is() {
    let segments = Segments::new();
    let stream = segments.stream(7);
    let all_there = |end: u64| (7..end).all(|position| read(&stream, position) == Some(value(position)));
    for position in 7..10 {
        segments.append(&stream, position, &value(position)).unwrap();
    }
    assert!(all_there(10), "in the buffer");
    let writing = lock(&stream.state).begin_writing().unwrap();
    segments.append(&stream, 10, &value(10)).unwrap();
    assert!(all_there(11), "while it is written");
    writing.source.write(writing.at, &writing.bytes).unwrap();
    lock(&stream.state).end_writing(writing.bytes);
    stream.sync().unwrap();
    assert!(all_there(11), "in the file");
    assert_eq!((read(&stream, 6), read(&stream, 11), stream.positions()), (None, None, 7..11));
}

/// A value that does not fit goes into the next file, whole, and all of the file before is written
/// by then.
#[test]
fn a_value_stands_in_one_file() {
    let segments = Segments::new();
    let stream = segments.stream(0);
    for position in 0..20 {
        segments.append(&stream, position, &value(position)).unwrap();
    }
    segments.append(&stream, 20, &[3; 8192]).unwrap();
    assert!(stream.is_half_full(), "the next file will be needed soon");
    stream.sync().unwrap();
    let (parts, empty) = segments.reopened(0);
    assert_eq!((parts.next(), empty), (Some(21), vec![]));
    assert_eq!(parts.0.back().unwrap().first, 20, "the large value has a file of its own");
    let again = Stream::new(parts, Arc::default(), true);
    assert!((0..20).all(|position| read(&again, position) == Some(value(position))));
}

/// An append out of turn changes nothing.
#[test]
fn a_position_out_of_turn_is_refused() {
    let segments = Segments::new();
    let stream = segments.stream(5);
    segments.append(&stream, 5, b"five").unwrap();
    for position in [4, 5, 7] {
        let refused = segments.append(&stream, position, b"other");
        assert!(matches!(refused, Err(StoreError::Misuse { .. })), "{position}: {refused:?}");
    }
    segments.append(&stream, 6, b"six").unwrap();
    assert_eq!((read(&stream, 5).unwrap(), read(&stream, 6).unwrap()), (b"five".to_vec(), b"six".to_vec()));
}

/// Invariant: prefix. A removal from the end reaches the disk, gives back the emptied files in
/// order, and the stream goes on at that position.
#[test]
fn what_is_removed_from_the_end_is_gone() {
    let segments = Segments::new();
    let stream = segments.stream(0);
    for position in 0..20 {
        segments.append(&stream, position, &value(position)).unwrap();
    }
    let given = RefCell::new(Vec::new());
    let give_back = |sources: Vec<Arc<Source>>| {
        given.borrow_mut().extend(sources.iter().map(|source| source.number));
    };
    stream.remove_from(7, &give_back).unwrap();
    assert_eq!(*given.borrow(), [3, 4], "six values fit into a file");
    assert_eq!((stream.positions(), read(&stream, 7)), (0..7, None));
    let (parts, empty) = segments.reopened(0);
    assert_eq!((parts.next(), empty), (Some(7), vec![3, 4]));
    segments.append(&stream, 7, b"anew").unwrap();
    stream.sync().unwrap();
    assert_eq!((read(&stream, 7).unwrap(), read(&stream, 6).unwrap()), (b"anew".to_vec(), value(6)));
    stream.remove_from(0, &give_back).unwrap();
    assert_eq!((stream.positions(), segments.reopened(0).0.next()), (0..0, Some(0)));
}

/// A removal from the front forgets whole files, and says with which position the rest begins.
#[test]
fn what_is_removed_from_the_front_is_forgotten() {
    let segments = Segments::new();
    let stream = segments.stream(0);
    for position in 0..20 {
        segments.append(&stream, position, &value(position)).unwrap();
    }
    assert!(stream.first_at(5).is_none(), "the first file has a value that stays");
    let (kept, first) = stream.first_at(17).unwrap();
    assert_eq!((kept.number, first), (3, 12));
    stream.forget_before(&kept);
    assert_eq!((stream.positions(), read(&stream, 11), read(&stream, 12)), (12..20, None, Some(value(12))));
}

/// Invariant: fail-stop. After a failed write nothing more is written, not even by the next sync:
/// the system may have dropped what it could not write.
#[test]
fn a_failed_write_is_the_last() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("stream.5");
    let head = FileHead { store: StoreId::new(1), stream: StreamId(5), number: 5, generation: 0, first: 0 };
    Source::create(path.clone(), &head).unwrap();
    // The only handle that can't write.
    let source = Source::read_only(path, &head);
    let poison = Arc::new(Poison::default());
    let stream = Stream::begin(0, source, head.encode(), Arc::clone(&poison), true);
    let append = |position, value: &[u8]| {
        stream.append(position, value, &|_| unreachable!("a file that grows has room"))
    };
    append(0, b"value").unwrap();
    poison.check().unwrap();
    assert!(matches!(append(1, &vec![7; GATHERED_BYTES]), Err(StoreError::Io { action: "write", .. })));
    assert!(poison.check().is_err(), "before the next holder of the lock goes on");
    assert!(matches!(stream.sync(), Err(StoreError::Poisoned { .. })));
}
