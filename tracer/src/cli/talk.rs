//! What memtrace says of itself, on stderr: the report is never mixed with it.

use std::fmt;

use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _,
    filter::Targets,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// Sets how much is said: `-q` errors only, then warnings and the attach summary, `-v` each step, `-vv` the
/// kernel side as well.
pub fn set_up_talk(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // Libraries have much to say of their own workings; only what is wrong with them is ours to pass on.
    let ours = Targets::new().with_default(LevelFilter::ERROR).with_target("memtrace", level);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).event_format(Plain);
    // Fails only when it was done before: then somebody else decides.
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours)).try_init();
}

/// `memtrace: message`, with the level only where it is bad news.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        write!(writer, "memtrace: {level}")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
