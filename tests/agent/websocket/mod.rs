//! The real-time channel: the agent's process against the reference backend, which cuts, refuses and attacks.

mod cuts;
mod hostile;
mod proxy;
mod push;
mod refused;
mod settings;
mod silence;
mod tls;
