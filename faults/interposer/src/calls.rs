//! The calls that stand in for those of the C library. Each asks the plan, writes the record, and
//! makes the system call.

use std::ffi::{c_char, c_int, c_uint, c_void};

use libc::{mode_t, off_t, size_t, ssize_t};

use crate::interposer;
use crate::plan::{Action, Call};

fn fail(error: c_int) -> c_int {
    // SAFETY: the place of the error number of this thread.
    unsafe { *libc::__errno_location() = error };
    -1
}

/// Ends the process when no call of another thread is half written down: what the recording says is
/// what was done.
fn die() -> ! {
    let _gate = interposer().gate.write();
    // SAFETY: a signal to the process itself.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

/// What is left of an action after what comes ahead of the call.
enum Then {
    Go,
    GoShort(usize),
    GoAndDie,
    Answer(c_int),
}

fn ahead(call: Call, name: &[u8], count: usize) -> Then {
    let action = interposer().plan.due(call, name, count);
    if let (Some(Action::Fail(_) | Action::Short(_)), Some(record)) = (action, &interposer().record) {
        record.failed(call.name(), name);
    }
    match action {
        None => Then::Go,
        Some(Action::Fail(error)) => Then::Answer(fail(error)),
        Some(Action::Short(most)) => Then::GoShort(most),
        Some(Action::Kill) => die(),
        Some(Action::Killed) => Then::GoAndDie,
        Some(Action::Ignore) => Then::Answer(0),
        Some(Action::Delay(time)) => {
            std::thread::sleep(time);
            Then::Go
        }
    }
}

/// A call that is done at once and written down when it was.
fn changing(call: Call, name: &[u8], make: impl FnOnce() -> c_int, record: impl FnOnce(c_int)) -> c_int {
    let die_behind = match ahead(call, name, 0) {
        Then::Answer(answer) => return answer,
        Then::GoAndDie => true,
        Then::Go | Then::GoShort(_) => false,
    };
    // Alone, so that the record has it in its true order among the writes.
    let gate = interposer().gate.write();
    let answer = make();
    if answer >= 0 {
        record(answer);
    }
    drop(gate);
    if die_behind {
        die();
    }
    answer
}

fn narrow(answer: libc::c_long) -> c_int {
    c_int::try_from(answer).unwrap_or(-1)
}

/// Stands in for `open`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { openat(libc::AT_FDCWD, path, flags, mode) }
}

/// Stands in for `open64`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { openat(libc::AT_FDCWD, path, flags, mode) }
}

/// Stands in for `openat64`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { openat(at, path, flags, mode) }
}

/// Stands in for `openat`. Names relative to another directory are not told apart: the store is
/// opened by its whole path.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: by the caller's promise, as for all system calls below.
    let make = || narrow(unsafe { libc::syscall(libc::SYS_openat, at, path, flags, mode) });
    // SAFETY: by the caller's promise.
    let Some(name) = (unsafe { interposer().files.name(path) }) else { return make() };
    // SAFETY: by the caller's promise.
    let existed = unsafe { libc::access(path, libc::F_OK) } == 0;
    changing(Call::Open, &name, make, |descriptor| {
        // The C library closes by itself what it lists; the number would mean another file later.
        if flags & libc::O_DIRECTORY == 0 {
            interposer().files.opened(descriptor, name.clone());
        }
        if let Some(record) = &interposer().record {
            if !existed {
                record.made(&name);
            }
            if flags & libc::O_TRUNC != 0 {
                record.resized(&name, 0);
            }
        }
    })
}

/// Stands in for `close`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    interposer().files.closed(descriptor);
    // SAFETY: by the caller's promise.
    narrow(unsafe { libc::syscall(libc::SYS_close, descriptor) })
}

/// Stands in for `write`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(descriptor: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    let make = |count: size_t| {
        // SAFETY: by the caller's promise, which holds for a part of the buffer too.
        unsafe { libc::syscall(libc::SYS_write, descriptor, buffer, count) as ssize_t }
    };
    if descriptor == libc::STDOUT_FILENO
        && let Some(record) = &interposer().record
    {
        // SAFETY: by the caller's promise.
        record.said(unsafe { std::slice::from_raw_parts(buffer.cast(), count) });
    }
    let Some(name) = interposer().files.of(descriptor) else { return make(count) };
    // SAFETY: asking for the place changes nothing.
    let place = unsafe { libc::lseek64(descriptor, 0, libc::SEEK_CUR) };
    // SAFETY: by the caller's promise.
    unsafe { writing(&name, buffer, count, u64::try_from(place).unwrap_or_default(), make) }
}

/// Stands in for `pwrite`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(d: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: by the caller's promise.
    unsafe { pwrite64(d, buffer, count, offset) }
}

/// Stands in for `pwrite64`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(d: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    let make = |count: size_t| {
        // SAFETY: by the caller's promise, which holds for a part of the buffer too.
        unsafe { libc::syscall(libc::SYS_pwrite64, d, buffer, count, offset) as ssize_t }
    };
    let Some(name) = interposer().files.of(d) else { return make(count) };
    // SAFETY: by the caller's promise.
    unsafe { writing(&name, buffer, count, u64::try_from(offset).unwrap_or_default(), make) }
}

/// A write to a file of the store.
///
/// # Safety
/// `buffer` holds `count` bytes.
unsafe fn writing(
    name: &[u8],
    buffer: *const c_void,
    count: size_t,
    offset: u64,
    make: impl Fn(size_t) -> ssize_t,
) -> ssize_t {
    let (mut count, mut die_behind) = (count, false);
    match ahead(Call::Write, name, count) {
        Then::Answer(0) => return count as ssize_t,
        Then::Answer(answer) => return answer as ssize_t,
        Then::GoShort(most) => count = most.min(count),
        Then::GoAndDie => die_behind = true,
        Then::Go => {}
    }
    // SAFETY: by the caller's promise, and `count` has only become smaller.
    let content = unsafe { std::slice::from_raw_parts(buffer.cast(), count) };
    let gate = interposer().gate.read();
    let record = interposer().record.as_ref();
    let id = record.map(|record| record.write_begins(name, offset, content));
    let done = make(count);
    if let (Some(record), Some(id)) = (record, id) {
        record.write_ended(id, u64::try_from(done).unwrap_or_default());
    }
    drop(gate);
    if die_behind {
        die();
    }
    done
}

/// Stands in for `fsync`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(descriptor: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    syncing(Call::Fsync, descriptor, || narrow(unsafe { libc::syscall(libc::SYS_fsync, descriptor) }))
}

/// Stands in for `fdatasync`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    syncing(Call::Fdatasync, descriptor, || narrow(unsafe { libc::syscall(libc::SYS_fdatasync, descriptor) }))
}

fn syncing(call: Call, descriptor: c_int, make: impl FnOnce() -> c_int) -> c_int {
    let Some(name) = interposer().files.of(descriptor) else { return make() };
    let die_behind = match ahead(call, &name, 0) {
        Then::Answer(answer) => return answer,
        Then::GoAndDie => true,
        Then::Go | Then::GoShort(_) => false,
    };
    let gate = interposer().gate.read();
    let record = interposer().record.as_ref();
    let id = record.map(|record| record.sync_begins(&name, call == Call::Fdatasync));
    let answer = make();
    if let (Some(record), Some(id), 0) = (record, id, answer) {
        record.sync_ended(id);
    }
    drop(gate);
    if die_behind {
        die();
    }
    answer
}

/// Stands in for `ftruncate`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(descriptor: c_int, length: off_t) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { ftruncate64(descriptor, length) }
}

/// Stands in for `ftruncate64`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(descriptor: c_int, length: off_t) -> c_int {
    // SAFETY: by the caller's promise.
    let make = || narrow(unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) });
    let Some(name) = interposer().files.of(descriptor) else { return make() };
    changing(Call::Resize, &name, make, |_| {
        if let Some(record) = &interposer().record {
            record.resized(&name, u64::try_from(length).unwrap_or_default());
        }
    })
}

/// Stands in for `rename`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: by the caller's promise.
    let make = || narrow(unsafe { libc::syscall(libc::SYS_rename, from, to) });
    // SAFETY: by the caller's promise.
    let names = unsafe { (interposer().files.name(from), interposer().files.name(to)) };
    let (Some(source), Some(target)) = names else { return make() };
    changing(Call::Rename, &target, make, |_| {
        if let Some(record) = &interposer().record {
            record.renamed(&source, &target);
        }
    })
}

/// Stands in for `unlink`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: by the caller's promise.
    let make = || narrow(unsafe { libc::syscall(libc::SYS_unlink, path) });
    // SAFETY: by the caller's promise.
    let Some(name) = (unsafe { interposer().files.name(path) }) else { return make() };
    changing(Call::Remove, &name, make, |_| {
        if let Some(record) = &interposer().record {
            record.removed(&name);
        }
    })
}

/// Stands in for `unlinkat`, by which the standard library removes a directory with what is in it.
/// A recording can't tell which file goes when its directory is given as a descriptor, and ends the
/// process then: one with a hole proves nothing.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(at: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    let make = || narrow(unsafe { libc::syscall(libc::SYS_unlinkat, at, path, flags) });
    if at != libc::AT_FDCWD && interposer().record.is_some() {
        std::process::abort();
    }
    // SAFETY: by the caller's promise.
    let Some(name) = (unsafe { interposer().files.name(path) }) else { return make() };
    changing(Call::Remove, &name, make, |_| {
        if let Some(record) = &interposer().record {
            record.removed(&name);
        }
    })
}

/// Stands in for `mkdir`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: by the caller's promise.
    let make = || narrow(unsafe { libc::syscall(libc::SYS_mkdir, path, mode) });
    // SAFETY: by the caller's promise.
    let Some(name) = (unsafe { interposer().files.name(path) }) else { return make() };
    changing(Call::Make, &name, make, |_| {
        if let Some(record) = &interposer().record {
            record.directory_made(&name);
        }
    })
}

/// Stands in for `sync_file_range`, which may fail as the others do. It is not recorded, since it
/// makes nothing durable.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(d: c_int, offset: off_t, count: off_t, flags: c_uint) -> c_int {
    // SAFETY: by the caller's promise.
    let make = || narrow(unsafe { libc::syscall(libc::SYS_sync_file_range, d, offset, count, flags) });
    let Some(name) = interposer().files.of(d) else { return make() };
    changing(Call::Range, &name, make, |_| {})
}
