//! Hears of the boundaries that a store reaches.

use relive_storage::boundary::TARGET;
use tracing::span;

/// Calls a function with the name of each.
pub(crate) struct OnBoundary<F>(pub(crate) F);

impl<F: Fn(&'static str) + Send + Sync + 'static> tracing::Subscriber for OnBoundary<F> {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        (self.0)(event.metadata().name());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
