//! The places of an actor's bounded mailbox. A message holds its places until the actor has handled
//! it. Dropping a holder returns its places, so none is lost, whatever becomes of the message.
//! Knows counts, no messages.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Ended;

/// The places of one mailbox.
pub(crate) struct Places(Arc<Semaphore>);

/// Places for a message that its sender is about to put into the mailbox.
pub(crate) struct TakenPlaces<'p>(SemaphorePermit<'p>);

/// The places of one mailbox that one holder has. Other threads do not notice when places move from
/// one holder to another.
#[derive(Default)]
#[must_use = "places are given back when they are dropped"]
pub(crate) struct HeldPlaces {
    /// The semaphore to which the places return; `Some` exactly when there are places.
    of: Option<Arc<Semaphore>>,
    places: u32,
}

impl TakenPlaces<'_> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.num_permits()
    }
}

impl Places {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// How many places are free.
    pub(crate) fn free(&self) -> usize {
        self.0.available_permits()
    }

    /// Takes `places` places, if they are free and no task waits for any.
    pub(crate) fn try_take(&self, places: u32) -> Option<TakenPlaces<'_>> {
        self.0.try_acquire_many(places).ok().map(TakenPlaces)
    }

    /// Waits for `places` places.
    ///
    /// # Errors
    /// [`Ended::Stopped`] when the mailbox is gone.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready takes nothing.
    pub(crate) async fn take(&self, places: u32) -> Result<TakenPlaces<'_>, Ended> {
        self.0.acquire_many(places).await.map(TakenPlaces).map_err(|_| Ended::Stopped)
    }

    /// Turns places taken here into held ones, which do not borrow this mailbox.
    pub(crate) fn hold(&self, taken: TakenPlaces<'_>) -> HeldPlaces {
        let mut held = HeldPlaces::default();
        self.add(taken, &mut held);
        held
    }

    /// Adds places taken here to `held`.
    pub(crate) fn add(&self, TakenPlaces(taken): TakenPlaces<'_>, held: &mut HeldPlaces) {
        assert!(std::ptr::eq(taken.semaphore(), &*self.0), "they were taken of another mailbox");
        held.assert_same(Some(&self.0));
        held.places += u32::try_from(taken.num_permits()).unwrap_or(u32::MAX);
        held.of.get_or_insert_with(|| Arc::clone(&self.0));
        // From now on `held` returns the permits, so this one must not.
        taken.forget();
    }
}

impl HeldPlaces {
    /// Takes over up to `at_most` places from another holder.
    pub(crate) fn take_from(&mut self, other: &mut Self, at_most: u32) {
        self.assert_same(other.of.as_ref());
        let places = at_most.min(other.places);
        if places == 0 {
            return;
        }
        other.places -= places;
        self.places += places;
        // Moves the reference when it can: a count of it is shared by all threads that send.
        let of = if other.places == 0 { other.of.take() } else { None };
        if self.of.is_none() {
            self.of = of.or_else(|| other.of.clone());
        }
        assert!(self.of.is_some(), "{places} places were held of no mailbox");
    }

    /// Takes over all places of another holder.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.take_from(&mut other, u32::MAX);
    }

    /// Moves up to `at_most` places to a new holder.
    pub(crate) fn split(&mut self, at_most: u32) -> Self {
        let mut other = Self::default();
        other.take_from(self, at_most);
        other
    }

    /// How many places are held.
    pub(crate) fn len(&self) -> u32 {
        self.places
    }

    /// Returns all places, so that waiting senders can take them. Returns them together, because
    /// each return takes a lock.
    pub(crate) fn give_back(&mut self) {
        let places = std::mem::take(&mut self.places);
        if let Some(of) = self.of.take() {
            // Only in debug builds: a drop comes here too, and a panic in it may end the process.
            debug_assert!(places > 0, "no places belong to a mailbox");
            of.add_permits(places as usize);
        }
    }

    fn assert_same(&self, of: Option<&Arc<Semaphore>>) {
        let same = self.of.as_ref().zip(of).is_none_or(|(own, other)| Arc::ptr_eq(own, other));
        assert!(same, "places of two mailboxes are held together");
    }
}

impl Drop for HeldPlaces {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_come_back_from_wherever_they_are_dropped() {
        let places = Places::new(10);
        drop(places.take(4).await.unwrap());
        assert_eq!(places.free(), 10);
        let mut held = places.hold(places.try_take(6).unwrap());
        places.add(places.try_take(2).unwrap(), &mut held);
        assert!(places.try_take(3).is_none());
        let mut split = held.split(3);
        assert_eq!((held.len(), split.len(), places.free()), (5, 3, 2));
        split.take_from(&mut held, 1);
        drop(split);
        assert_eq!(places.free(), 6);
        let mut rest = HeldPlaces::default();
        rest.merge(held);
        assert_eq!(rest.len(), 4);
        rest.give_back();
        assert_eq!((rest.len(), places.free()), (0, 10));
    }

    #[test]
    fn nobody_gives_more_than_is_held() {
        let places = Places::new(3);
        let mut held = places.hold(places.try_take(2).unwrap());
        assert_eq!(held.split(9).len(), 2, "and all are back at once");
        assert_eq!((held.split(1).len(), places.free()), (0, 3));
    }

    #[test]
    #[should_panic = "places of two mailboxes"]
    fn places_of_two_mailboxes_are_not_mixed() {
        let (one, other) = (Places::new(1), Places::new(1));
        let mut held = one.hold(one.try_take(1).unwrap());
        held.merge(other.hold(other.try_take(1).unwrap()));
    }
}
