//! What a mutant is.

/// The sources without one guard of a promise.
pub(super) struct Mutant {
    /// The guard that is missing; its name in the table.
    pub(super) name: &'static str,
    /// The edits that remove the guard.
    pub(super) edits: &'static [Edit],
    /// The test that catches it.
    pub(super) test: Test,
}

/// A text that stands exactly once in a file, and its replacement in the mutant.
pub(super) struct Edit {
    pub(super) file: &'static str,
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
}

/// One test, or several whose names begin alike.
pub(super) struct Test {
    pub(super) package: &'static str,
    /// The arguments that choose the binary.
    pub(super) binary: &'static [&'static str],
    /// The beginning of the names of its tests.
    pub(super) filter: &'static str,
    /// What else must be built, as arguments of `cargo build`.
    pub(super) needs: &'static [&'static str],
    /// Whether the test may hang on the mutant, as a test of a watchdog does.
    pub(super) hangs: bool,
}

/// The unit tests of the storage crate.
pub(super) const STORAGE: Test =
    Test { package: "relive-storage", binary: &["--lib"], filter: "", needs: &[], hangs: false };
/// The unit tests of the medium on sled.
pub(super) const SLED: Test = Test { package: "relive-storage-sled", ..STORAGE };
/// The tests of the storage crate from outside.
pub(super) const STORES: Test = Test { binary: &["--test", "storage"], ..STORAGE };
/// The tests of this crate's campaigns.
pub(super) const FAULTS: Test = Test { package: "relive-faults", binary: &["--test", "faults"], ..STORAGE };
/// The unit tests of the replay crate.
pub(super) const REPLAY: Test = Test { package: "relive-replay", ..STORAGE };
/// The integration tests of that crate.
pub(super) const REPLAYS: Test = Test { package: "relive-replay", binary: &["--test", "replay"], ..STORAGE };
/// The tests of the protocols.
pub(super) const PROTOCOLS: Test =
    Test { package: "relive-protocols", binary: &["--test", "protocols"], ..STORAGE };
/// The unit tests of the runtime.
pub(super) const RUNTIME: Test = Test { package: "relive", ..STORAGE };
/// The unit tests of the runtime that explore schedules.
pub(super) const SCHEDULES: Test = Test { binary: &["--lib", "--features", "__schedules"], ..RUNTIME };
/// The integration tests of that crate.
pub(super) const PROMISES: Test = Test { package: "relive", binary: &["--test", "relive"], ..STORAGE };
/// The unit tests of the example `demo/orders/`.
pub(super) const ORDERS: Test = Test { package: "relive-orders", binary: &["--bin", "orders"], ..STORAGE };
/// The test that kills that example.
pub(super) const ORDERS_KILLED: Test = Test { binary: &["--test", "kills"], ..ORDERS };

impl Test {
    pub(super) const fn filter(self, filter: &'static str) -> Self {
        Self { filter, ..self }
    }

    pub(super) const fn needs(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    pub(super) const fn hangs(self) -> Self {
        Self { hangs: true, ..self }
    }
}
