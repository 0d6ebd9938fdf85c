//! The calls of a process in their order, from which crash images are built. Numbers are
//! little-endian, `text` and `bytes` a length of four bytes and the bytes.
//!
//! ```text
//! entry := 1 id:u64 name:text offset:u64 content:bytes     a write begins
//!        | 2 id:u64 done:u64                               it has ended, so much of it was done
//!        | 3 id:u64 name:text                              an fsync begins
//!        | 12 id:u64 name:text                             an fdatasync begins
//!        | 4 id:u64                                        it has ended well
//!        | 5 name:text length:u64                          a file was cut or grown to a length
//!        | 6 name:text                                     a file was made
//!        | 7 from:text to:text                             a file was renamed
//!        | 8 name:text                                     a file was removed
//!        | 9 content:bytes                                 the process says this on its standard output now
//!        | 10 name:text                                    a directory was made
//!        | 11 call:text name:text                          a call fails, or is done in part, because that was planned
//! ```
//!
//! What changes names or lengths is written down when it was done. Entries are appended by one
//! write each, so their order is one that all threads agree with.

use std::ffi::{CString, OsString, c_int};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the calls are written down.
pub(crate) struct Record {
    descriptor: c_int,
    next: AtomicU64,
}

impl Record {
    pub(crate) fn open(path: OsString) -> Self {
        let path = CString::new(path.into_vec()).unwrap_or_default();
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        // SAFETY: the path ends with a zero and outlives the call.
        let descriptor =
            unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o644) };
        Self { descriptor: c_int::try_from(descriptor).unwrap_or(-1), next: AtomicU64::new(0) }
    }

    pub(crate) fn write_begins(&self, name: &[u8], offset: u64, content: &[u8]) -> u64 {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        self.append(Entry::new(1).number(id).bytes(name).number(offset).bytes(content));
        id
    }

    pub(crate) fn write_ended(&self, id: u64, done: u64) {
        self.append(Entry::new(2).number(id).number(done));
    }

    pub(crate) fn sync_begins(&self, name: &[u8], data_only: bool) -> u64 {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        self.append(Entry::new(if data_only { 12 } else { 3 }).number(id).bytes(name));
        id
    }

    pub(crate) fn sync_ended(&self, id: u64) {
        self.append(Entry::new(4).number(id));
    }

    pub(crate) fn resized(&self, name: &[u8], length: u64) {
        self.append(Entry::new(5).bytes(name).number(length));
    }

    pub(crate) fn made(&self, name: &[u8]) {
        self.append(Entry::new(6).bytes(name));
    }

    pub(crate) fn renamed(&self, from: &[u8], to: &[u8]) {
        self.append(Entry::new(7).bytes(from).bytes(to));
    }

    pub(crate) fn removed(&self, name: &[u8]) {
        self.append(Entry::new(8).bytes(name));
    }

    pub(crate) fn said(&self, content: &[u8]) {
        self.append(Entry::new(9).bytes(content));
    }

    pub(crate) fn directory_made(&self, name: &[u8]) {
        self.append(Entry::new(10).bytes(name));
    }

    pub(crate) fn failed(&self, call: &str, name: &[u8]) {
        self.append(Entry::new(11).bytes(call.as_bytes()).bytes(name));
    }

    fn append(&self, entry: Entry) {
        let bytes = entry.0;
        // SAFETY: the pointer and the length are those of a vector that outlives the call.
        let written = unsafe { libc::syscall(libc::SYS_write, self.descriptor, bytes.as_ptr(), bytes.len()) };
        if usize::try_from(written) != Ok(bytes.len()) {
            // A record with a hole would prove nothing.
            std::process::abort();
        }
    }
}

struct Entry(Vec<u8>);

impl Entry {
    fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }
}
