//! What a guard is.

/// Something in the sources that keeps a promise.
pub(super) struct Guard {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// What is changed to take it out.
    pub(super) edits: &'static [Edit],
    /// The test that notices.
    pub(super) test: Test,
}

/// A text that stands exactly once in a file, and what stands there without the guard.
pub(super) struct Edit {
    pub(super) file: &'static str,
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
}

/// One test, or some with a name in common.
pub(super) struct Test {
    pub(super) package: &'static str,
    /// The arguments that choose the binary.
    pub(super) binary: &'static [&'static str],
    /// The beginning of the names of its tests.
    pub(super) filter: &'static str,
    /// What else must be built, as arguments of `cargo build`.
    pub(super) needs: &'static [&'static str],
    /// Whether the test comes to no end without the guard, as a test of a watchdog may.
    pub(super) hangs: bool,
}

/// The unit tests of the storage crate.
pub(super) const STORAGE: Test =
    Test { package: "relive-storage", binary: &["--lib"], filter: "", needs: &[], hangs: false };
/// Its tests from outside.
pub(super) const STORES: Test = Test { binary: &["--test", "storage"], ..STORAGE };
/// The runs of this crate.
pub(super) const FAULTS: Test = Test { package: "relive-faults", binary: &["--test", "faults"], ..STORAGE };
/// The unit tests of the replay crate.
pub(super) const REPLAY: Test = Test { package: "relive-replay", ..STORAGE };
/// Its tests from outside.
pub(super) const REPLAYS: Test = Test { package: "relive-replay", binary: &["--test", "replay"], ..STORAGE };
/// The unit tests of the runtime.
pub(super) const RUNTIME: Test = Test { package: "relive", ..STORAGE };
/// Its tests from outside.
pub(super) const PROMISES: Test = Test { package: "relive", binary: &["--test", "relive"], ..STORAGE };

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
