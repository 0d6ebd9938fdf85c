//! Who waits for the reply to a request that was sent again while its first delivery was ahead or
//! under way. The asker of the first delivery stands beside it, in the backlog.

use std::collections::BTreeMap;

use relive_storage::Rsn;

use crate::actor::envelope::ReplyTo;
use crate::error::Unavailable;

/// Those who wait for deliveries beside their first askers. Most actors have none.
#[derive(Default)]
pub(crate) struct Repeats(BTreeMap<Rsn, Vec<ReplyTo>>);

impl Repeats {
    /// Adds one who waits for what comes of the delivery at `rsn`.
    pub(crate) fn add(&mut self, rsn: Rsn, asker: ReplyTo) {
        let askers = self.0.entry(rsn).or_default();
        // Before it grows: a caller that gives up and asks again, while a handler waits for days,
        // leaves an asker behind each time.
        if askers.len() == askers.capacity() {
            askers.retain(|asker| !asker.is_closed());
        }
        askers.push(asker);
    }

    /// Takes all who wait for what comes of the delivery at `rsn`.
    pub(crate) fn take(&mut self, rsn: Rsn) -> Vec<ReplyTo> {
        self.0.remove(&rsn).unwrap_or_default()
    }

    /// Tells all why nothing comes.
    pub(crate) fn refuse(self, reason: &Unavailable) {
        for asker in self.0.into_values().flatten() {
            let _ = asker.send(Err(reason.clone()));
        }
    }

    /// The first delivery that somebody waits for.
    pub(crate) fn first(&self) -> Option<Rsn> {
        self.0.first_key_value().map(|(rsn, _)| *rsn)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::actor::envelope::Answer;

    #[test]
    fn all_who_wait_for_a_delivery_learn_the_same() {
        let mut repeats = Repeats::default();
        let mut waiting: Vec<_> = (0..5)
            .map(|_| {
                let (asker, answer) = oneshot::channel();
                repeats.add(Rsn::new(3), asker);
                answer
            })
            .collect();
        let (asker, mut later) = oneshot::channel();
        repeats.add(Rsn::new(4), asker);
        assert_eq!(repeats.first(), Some(Rsn::new(3)));
        for asker in repeats.take(Rsn::new(3)) {
            let _ = asker.send(Ok(Answer::Reply(Bytes::from_static(b"7"))));
        }
        for answer in &mut waiting {
            let Ok(Ok(Answer::Reply(reply))) = answer.try_recv() else { panic!("no reply") };
            assert_eq!(reply, b"7"[..]);
        }
        assert!(later.try_recv().is_err(), "it waits for another delivery");
        repeats.refuse(&Unavailable::Stopped);
        assert!(matches!(later.try_recv(), Ok(Err(Unavailable::Stopped))));
    }

    /// Invariant: bounded. Callers that have given up are not kept.
    #[test]
    fn who_has_given_up_is_not_kept() {
        let mut repeats = Repeats::default();
        for _ in 0..10_000 {
            repeats.add(Rsn::new(3), oneshot::channel().0);
        }
        let kept = repeats.0[&Rsn::new(3)].len();
        assert!(kept <= 16, "{kept} who wait for nothing");
    }
}
