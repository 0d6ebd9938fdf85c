//! What a program provides to its handlers: one value of each type. Knows types and their names,
//! no handler and no value.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::fmt;

use crate::guard::Dropped;

/// A type that handlers depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    id: TypeId,
    name: &'static str,
}

impl Dependency {
    /// This type.
    #[must_use]
    pub fn of<T: Send + Sync + 'static>() -> Self {
        Self { id: TypeId::of::<T>(), name: type_name::<T>() }
    }

    /// Its name in Rust, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// The values that a program provides to its handlers, one of each type. Handlers reach them with
/// [`Context::dependency`](crate::Context::dependency).
#[derive(Default)]
pub struct Dependencies(BTreeMap<TypeId, Provided>);

struct Provided {
    name: &'static str,
    /// Dropped under guard: its `Drop` is users' code.
    value: Dropped<Box<dyn Any + Send + Sync>>,
}

impl Dependencies {
    /// Adds a value. Returns whether it is the first of its type; another one is dropped.
    pub fn provide<T: Send + Sync + 'static>(&mut self, value: T) -> bool {
        let Dependency { id, name } = Dependency::of::<T>();
        let value = Dropped::new("a dependency", Box::new(value) as Box<dyn Any + Send + Sync>);
        let first = !self.0.contains_key(&id);
        if first {
            self.0.insert(id, Provided { name, value });
        }
        first
    }

    /// The value of a type, if there is one.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let provided = self.0.get(&TypeId::of::<T>())?;
        let value = provided.value.get().downcast_ref();
        assert!(value.is_some(), "a value stands under its own type, {}", provided.name);
        value
    }

    /// Whether there is a value of this type.
    #[must_use]
    pub fn has(&self, dependency: &Dependency) -> bool {
        self.0.contains_key(&dependency.id)
    }
}

impl fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.values().map(|provided| provided.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rate(u64);

    /// Panics when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn there_is_one_value_of_a_type() {
        let mut dependencies = Dependencies::default();
        assert!(dependencies.get::<Rate>().is_none());
        assert!(!dependencies.has(&Dependency::of::<Rate>()));
        assert!(dependencies.provide(Rate(5)));
        assert!(!dependencies.provide(Rate(6)), "the first one counts");
        assert!(dependencies.provide(7_u64));
        assert_eq!(dependencies.get::<Rate>().map(|rate| rate.0), Some(5));
        assert_eq!(dependencies.get::<u64>(), Some(&7));
        assert!(dependencies.has(&Dependency::of::<Rate>()));
        assert!(format!("{dependencies:?}").contains("Rate\""), "{dependencies:?}");
    }

    /// A trait object is a type of its own: so a test may provide another service.
    #[test]
    fn a_trait_object_is_a_type_of_its_own() {
        let mut dependencies = Dependencies::default();
        let shown: Box<dyn fmt::Display + Send + Sync> = Box::new(5);
        dependencies.provide(shown);
        let shown = dependencies.get::<Box<dyn fmt::Display + Send + Sync>>();
        assert_eq!(shown.map(ToString::to_string), Some("5".to_owned()));
        assert!(dependencies.get::<i32>().is_none());
    }

    /// Class 30: what is provided is users' code, which may unwind in its drop.
    #[test]
    fn class_30_a_value_that_panics_in_its_drop_does_not_unwind() {
        let mut dependencies = Dependencies::default();
        dependencies.provide(Bomb);
        assert!(!dependencies.provide(Bomb));
        drop(dependencies);
    }
}
