//! What the backend may ask for, and whether it is to be believed: the pure half of the actuator.
//!
//! An envelope comes in as text ([`envelope`], [`list`]), is proven to be for this agent and from its backend ([`verify`]),
//! and only then read as one of the seven [`action`]s or as [`settings`]. The local [`policy`] decides whether the
//! action may run here, and an [`outcome`] says what came of it. Nothing in this module does I/O or reads a clock:
//! times are passed in.

pub mod envelope;
pub mod id;
pub mod keys;
pub mod known;
pub mod list;
pub mod refusal;
pub mod verify;

pub mod action;
pub mod image;
pub mod members;
pub mod names;
pub mod object;
pub mod params;
pub mod settings;

pub mod limiter;
pub mod outcome;
pub mod policy;

mod details;
mod strict_json;
