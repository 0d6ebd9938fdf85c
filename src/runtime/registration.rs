//! What a program brings to an opening: actor kinds, and what it provides to their handlers. Checks
//! both before anything runs. Must not know a store.

use std::sync::Arc;

use relive_replay::kind::KindError;
use relive_replay::{Dependencies, Dependency, Kind, Peers};

use crate::actor::table::Kinds;
use crate::error::OpenError;

/// Actor kinds, and what is provided to their handlers.
#[derive(Default)]
pub(crate) struct Registration {
    kinds: Vec<Result<Arc<dyn Kind>, KindError>>,
    dependencies: Dependencies,
    /// The first type of which there are two values.
    twice: Option<Dependency>,
}

impl Registration {
    /// Adds a kind, or why it is none.
    pub(crate) fn add(&mut self, kind: Result<Arc<dyn Kind>, KindError>) {
        self.kinds.push(kind);
    }

    /// Adds a value that handlers may depend on.
    pub(crate) fn provide<T: Send + Sync + 'static>(&mut self, value: T) {
        if !self.dependencies.provide(value) {
            self.twice.get_or_insert(Dependency::of::<T>());
        }
    }

    /// The kinds by name, each with what it may send to and depend on.
    ///
    /// # Errors
    /// The first rule that the registration breaks.
    pub(crate) fn check(self) -> Result<Kinds, OpenError> {
        let mut kinds = Kinds::new();
        for kind in self.kinds {
            let kind = kind?;
            let name = kind.name();
            if kinds.insert(name, kind).is_some() {
                return Err(OpenError::KindTwice { kind: name });
            }
        }
        if let Some(dependency) = self.twice {
            return Err(OpenError::DependencyTwice { dependency: dependency.name() });
        }
        for kind in kinds.values() {
            let missing = kind.needs().iter().find(|need| !self.dependencies.has(need));
            if let Some(missing) = missing {
                let (kind, dependency) = (kind.name(), missing.name());
                return Err(OpenError::MissingDependency { kind, dependency });
            }
        }
        let mut peers = Peers::default();
        kinds.values().for_each(|kind| peers.add(kind.name(), kind.messages(), kind.queries()));
        let (peers, dependencies) = (Arc::new(peers), Arc::new(self.dependencies));
        for kind in kinds.values() {
            kind.introduce(&peers);
            kind.equip(&dependencies);
        }
        Ok(kinds)
    }
}

#[cfg(test)]
mod tests {
    use relive_replay::KindBuilder;

    use super::*;
    use crate::shared::testing::{Account, Deposit};

    fn account(needs: bool) -> Result<Arc<dyn Kind>, KindError> {
        let kind = KindBuilder::<Account>::new().handles::<Deposit>();
        if needs { kind.needs::<u64>() } else { kind }.build()
    }

    fn refused(registration: Registration) -> OpenError {
        registration.check().err().expect("it breaks a rule")
    }

    #[test]
    fn a_kind_gets_what_is_provided() {
        let mut registration = Registration::default();
        registration.add(account(true));
        registration.provide(107_u64);
        let kinds = registration.check().unwrap();
        assert_eq!(
            kinds["account"].dependencies().and_then(|dependencies| dependencies.get()),
            Some(&107_u64)
        );
        assert!(kinds["account"].peers().is_some());
    }

    #[test]
    fn what_a_kind_needs_is_provided_before_anything_runs() {
        let mut registration = Registration::default();
        registration.add(account(true));
        registration.provide(107_i64);
        let error = refused(registration);
        assert!(
            matches!(error, OpenError::MissingDependency { kind: "account", dependency: "u64" }),
            "{error}"
        );
    }

    #[test]
    fn two_of_one_name_or_type_are_refused() {
        let mut registration = Registration::default();
        registration.provide(1_u64);
        registration.provide(2_u64);
        registration.add(account(true));
        assert!(matches!(refused(registration), OpenError::DependencyTwice { dependency: "u64" }));
        let mut registration = Registration::default();
        (0..2).for_each(|_| registration.add(account(false)));
        assert!(matches!(refused(registration), OpenError::KindTwice { kind: "account" }));
    }
}
