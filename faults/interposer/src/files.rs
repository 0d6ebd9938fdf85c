//! Which descriptors belong to files of the store, and how these are called within it.

use std::collections::HashMap;
use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The files of the store that are open.
pub(crate) struct Files {
    directory: Option<Vec<u8>>,
    open: Mutex<HashMap<c_int, Arc<[u8]>>>,
}

impl Files {
    pub(crate) fn new(directory: Option<OsString>) -> Self {
        Self { directory: directory.map(OsStringExt::into_vec), open: Mutex::default() }
    }

    /// The name of a file within the store; `None` when it does not belong to it. `.` is the
    /// directory itself, `..` the one that has its name.
    ///
    /// # Safety
    /// `path` is null or a string that ends with a zero.
    pub(crate) unsafe fn name(&self, path: *const c_char) -> Option<Arc<[u8]>> {
        let directory = self.directory.as_deref()?;
        if path.is_null() {
            return None;
        }
        // SAFETY: not null, and by the caller's promise a string that ends with a zero.
        let path = unsafe { CStr::from_ptr(path) }.to_bytes();
        if directory.iter().rposition(|byte| *byte == b'/').is_some_and(|end| path == &directory[..end]) {
            return Some(Arc::from(&b".."[..]));
        }
        match path.strip_prefix(directory)? {
            b"" | b"/" => Some(Arc::from(&b"."[..])),
            [b'/', name @ ..] => Some(Arc::from(name)),
            _ => None,
        }
    }

    pub(crate) fn opened(&self, descriptor: c_int, name: Arc<[u8]>) {
        self.lock().insert(descriptor, name);
    }

    pub(crate) fn closed(&self, descriptor: c_int) -> bool {
        self.directory.is_some() && self.lock().remove(&descriptor).is_some()
    }

    /// The name of an open file of the store.
    pub(crate) fn of(&self, descriptor: c_int) -> Option<Arc<[u8]>> {
        self.directory.as_ref()?;
        self.lock().get(&descriptor).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<c_int, Arc<[u8]>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
