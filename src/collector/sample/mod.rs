//! What one sample of a pod or a node is: the members of the contract, written from the records at once.

mod node;
mod pod;

pub use node::NodeSample;
pub use pod::PodSample;
