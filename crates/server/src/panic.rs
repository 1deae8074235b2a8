//! A thread that panicked may have left its state half changed: the process ends at once and recovers from the log, as
//! after any crash.

/// Ends the process if the thread that holds it panics.
#[derive(Debug)]
pub struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            tracing::error!(
                thread = thread.name(),
                "a thread panicked; ending the process"
            );
            std::process::abort();
        }
    }
}
