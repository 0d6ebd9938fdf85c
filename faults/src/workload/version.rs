//! The version of the handlers in a process: what a too far-reaching update would do to messages
//! that actors handled before it. The good version does everything. Each other version misbehaves
//! only on old messages, or on trials.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

/// A version of the handlers. Its mistakes can be combined; with none it is the good one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Handlers panic on old messages.
    pub panics: Option<Panics>,
    /// Accounts do something else on old messages.
    pub differs: Option<Differs>,
    /// A trial sets a value that is already set when an actor handles the trial again; and a later
    /// trial panics.
    pub sets_twice: bool,
    /// States, and what trials hold, panic when they are dropped.
    pub drops: bool,
    /// A trial gives up a side effect that takes too long.
    pub gives_up: bool,
}

/// Handlers of one kind panic on messages up to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panics {
    /// Which handlers.
    pub of: Of,
    /// Up to which number.
    pub upto: u64,
    /// Whether the handlers lack a setting, instead of having a new assertion.
    pub setting: bool,
}

/// Whose handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Of {
    /// Those of accounts.
    Account,
    /// Those of audits.
    Audit,
    /// Those of the summary.
    Summary,
}

impl Of {
    /// The kind of the actors.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Audit => "audit",
            Self::Summary => "summary",
        }
    }
}

/// Accounts do something else on messages up to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differs {
    /// What.
    pub what: Difference,
    /// Up to which number.
    pub upto: u64,
}

/// What else an account does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Difference {
    /// It tells another audit.
    OtherAudit,
    /// It tells no audit.
    Silent,
    /// It does one thing more outside.
    MoreEffects,
    /// It does nothing outside.
    NoEffects,
    /// It counts another number, which shows in its state only.
    State,
}

static VERSION: RwLock<Version> =
    RwLock::new(Version { panics: None, differs: None, sets_twice: false, drops: false, gives_up: false });

/// A setting of newer code, on which handlers rely.
static SETTING: OnceLock<()> = OnceLock::new();

/// The values set in this process, by the number of the trial that set them.
static SET: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Sets the version of the handlers of this process.
pub fn set(version: Version) {
    if !version.panics.is_some_and(|panics| panics.setting) {
        // Only the first call counts, as for any setting that a process sets once.
        let _ = SETTING.set(());
    }
    *VERSION.write().unwrap_or_else(PoisonError::into_inner) = version;
}

/// The version of the handlers of this process.
pub(super) fn get() -> Version {
    VERSION.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The first step of the handlers of a kind with a message of this number.
pub(super) fn begin(of: Of, number: u64) {
    let Some(panics) = get().panics.filter(|panics| panics.of == of && number <= panics.upto) else { return };
    if panics.setting {
        SETTING.get().expect("the setting that the handlers of old messages rely on");
    } else {
        panic!("{number} is not above {}, as the new assertion has it", panics.upto);
    }
}

/// What an account does differently with a message of this number.
pub(super) fn difference(number: u64) -> Option<Difference> {
    get().differs.filter(|differs| number <= differs.upto).map(|differs| differs.what)
}

/// Sets a value that a process can set only once.
pub(super) fn set_once(number: u64) {
    let mut set = SET.lock().unwrap_or_else(PoisonError::into_inner);
    let first = set.insert(number);
    drop(set);
    assert!(first, "{number} was set before in this process");
}

/// Panics in `drop`, once it is armed. It is no part of the value that contains it: a copy is not
/// armed, and all are equal.
#[derive(Debug, Default)]
pub struct Bomb {
    armed: bool,
}

impl Bomb {
    /// Arms it if values of this version panic in `drop`.
    pub(super) fn arm(&mut self) {
        self.armed = get().drops;
    }

    /// A new one, armed if values of this version panic in `drop`.
    pub(super) fn new() -> Self {
        let mut bomb = Self::default();
        bomb.arm();
        bomb
    }
}

impl Clone for Bomb {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Bomb {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        // A panic during a panic ends the process, whatever code raises it.
        assert!(!self.armed || std::thread::panicking(), "it is armed and was dropped");
    }
}

impl Version {
    /// Whether it makes no mistake.
    #[must_use]
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }

    /// The mistakes of this version, by their names in tables.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let panics =
            self.panics.map(|panics| if panics.setting { "lacks a setting" } else { "panics on old" });
        let differs = self.differs.map(|differs| match differs.what {
            Difference::State => "differs in state only",
            _ => "differs in effects",
        });
        let flags =
            [(self.sets_twice, "sets twice"), (self.drops, "drop panics"), (self.gives_up, "gives up")];
        let flags = flags.into_iter().filter_map(|(has, name)| has.then_some(name));
        panics.into_iter().chain(differs).chain(flags).collect()
    }

    /// Whether an actor may stop in a process of this version, because it can't replay old messages
    /// or go on with them.
    #[must_use]
    pub fn may_stop(&self, actor: &str) -> bool {
        let kind = actor.split('/').next().unwrap_or_default();
        match kind {
            "trial" => self.sets_twice || self.drops || self.gives_up,
            _ => {
                self.panics.is_some_and(|panics| panics.of.kind() == kind)
                    || (kind == "account"
                        && self.differs.is_some_and(|differs| differs.what != Difference::State))
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_good() {
            return f.write_str("good");
        }
        let mut names = self.names();
        let panics = self.panics.map(|panics| format!("({} up to {})", panics.of.kind(), panics.upto));
        let differs = self.differs.map(|differs| format!("({:?} up to {})", differs.what, differs.upto));
        let details: Vec<String> = panics.into_iter().chain(differs).collect();
        names.extend(details.iter().map(String::as_str));
        f.write_str(&names.join(" + "))
    }
}

/// Reads a version from the argument of a process.
///
/// # Errors
/// The text is no version.
pub fn parse(text: &str) -> Result<Version, String> {
    serde_json::from_str(text).map_err(|error| format!("{text:?} is no version: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_what_its_argument_says() {
        let good = Version::default();
        assert!(good.is_good() && !good.may_stop("account/1") && !good.may_stop("trial/1"));
        let panics = Some(Panics { of: Of::Audit, upto: 40, setting: true });
        let differs = Some(Differs { what: Difference::State, upto: 4 });
        let version = Version { panics, differs, ..good };
        assert_eq!(parse(&serde_json::to_string(&version).unwrap()), Ok(version.clone()));
        assert!(version.may_stop("audit/0") && !version.may_stop("account/0"), "{version}");
        assert!(parse("good").is_err());
    }
}
