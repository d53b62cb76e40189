//! What a line of the journal says.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::actions::envelope::RawEnvelope;
use crate::actions::id::{EnvelopeId, PayloadHash};
use crate::actions::outcome::ResultBody;

/// The version of this format.
pub(super) const FORMAT: u32 = 1;

/// One change, or one piece of what holds at the start of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record<'a> {
    /// The first line of each file.
    Journal {
        format: u32,
        instance_id: Cow<'a, str>,
    },
    /// The last line of what was written before the file got its name: all before it was on the disk by then.
    Sealed {},
    /// The version of the remote settings, and they themselves as JSON.
    Config {
        version: u64,
        settings: Cow<'a, str>,
    },
    /// An id that must not be taken again.
    Known {
        id: Cow<'a, EnvelopeId>,
        sha256: PayloadHash,
        expires_at: i64,
    },
    /// An order was taken.
    Received {
        envelope: Cow<'a, RawEnvelope>,
        expires_at: i64,
    },
    /// The backend has given it to us.
    Claimed { id: Cow<'a, EnvelopeId> },
    /// From here on the cluster may have been changed. `at` in milliseconds since 1970.
    Started { id: Cow<'a, EnvelopeId>, at: i64 },
    /// A part of it is done; JSON that means something to the action.
    Step {
        id: Cow<'a, EnvelopeId>,
        step: Cow<'a, str>,
    },
    /// It is over, with this result.
    Done {
        id: Cow<'a, EnvelopeId>,
        body: Cow<'a, ResultBody>,
    },
    /// The backend refuses the result for good.
    Parked { id: Cow<'a, EnvelopeId> },
    /// There is nothing left to do: the backend has the result, or never gave us the order.
    Closed { id: Cow<'a, EnvelopeId> },
    /// In place of all that led to a result which is kept, when a file is written anew.
    Kept {
        id: Cow<'a, EnvelopeId>,
        body: Cow<'a, ResultBody>,
        is_parked: bool,
    },
}
