//! At most once, and no result lost.

mod disk;
mod kills;
mod many;
mod state_dir;
mod states;
