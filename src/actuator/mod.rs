//! Takes orders from both channels, claims them, carries them out, and brings their results home.
//!
//! ```text
//!  poller, websocket --> inbox (verify, RECEIVED) --> queue --> workers (CLAIMED, STARTED, execute, DONE) --> reporter
//!                           |                                     |                                             |
//!                           +-------------------- journal: what survives a crash ------------------------------+
//! ```

pub mod context;
pub mod ended;
pub mod event;
pub mod execute;
pub mod inbox;
pub mod queue;
pub mod rejections;
pub mod reporter;
pub mod schedule;
pub mod worker;
