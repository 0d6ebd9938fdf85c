//! Hides the log lines of a replay: the original run has printed them.

use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

/// A filter for a `tracing-subscriber` layer that hides the log lines of handlers in a replay.
///
/// # Examples
/// ```
/// use relive::HideReplays;
/// use tracing_subscriber::Layer;
/// use tracing_subscriber::filter::{FilterExt, LevelFilter};
/// use tracing_subscriber::layer::SubscriberExt;
///
/// # fn layer<S: tracing::Subscriber>() -> impl Layer<S> { tracing_subscriber::layer::Identity::new() }
/// // It knows no levels. A replay is a span of the level INFO, so let that pass at least.
/// let filter = HideReplays.and(LevelFilter::INFO);
/// let subscriber = tracing_subscriber::registry().with(layer().with_filter(filter));
/// # drop(subscriber);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HideReplays;

/// The span that encloses every replay.
const REPLAY_SPAN: &str = "relive::replay";

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for HideReplays {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        // Spans must pass, or the one that marks a replay could not be found. The runtime's own
        // lines are about the replay itself.
        if metadata.is_span() || metadata.target().starts_with("relive") {
            return true;
        }
        let Some(span) = context.lookup_current() else {
            return true;
        };
        !span.scope().any(|span| span.metadata().name() == REPLAY_SPAN)
    }
}
