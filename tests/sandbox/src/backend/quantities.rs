//! CPU, memory and the time they were measured at (protocol, section 2, Samples).

use super::check::Members;
use super::rules::TIME;

/// The time of the usage and its window, which are there together. Returns whether there is usage.
pub(super) fn window(of: &Members<'_>) -> bool {
    let measured = of.nullable_text("timestamp", &TIME).is_some();
    if of.is_null("window_seconds") == measured {
        of.fault("window_seconds", "null where timestamp is, and only there");
    } else if measured {
        of.number("window_seconds");
    }
    measured
}

/// The usage of a container or node: none where the sample has no time for it.
pub(super) fn usage(of: &Members<'_>, measured: bool) {
    nullable_millicores(of, "cpu_millicores");
    nullable_bytes(of, "memory_bytes");
    let none = of.is_null("cpu_millicores") && of.is_null("memory_bytes");
    if !measured && !none {
        of.fault(
            "cpu_millicores",
            "usage without the time it was measured at",
        );
    }
}

pub(super) fn nullable_millicores(of: &Members<'_>, name: &str) {
    if !of.is_null(name) {
        millicores(of, name);
    }
}

/// Exact to the nanocore: six decimals at most.
pub(super) fn millicores(of: &Members<'_>, name: &str) {
    let nanocores = of.number(name) * 1e6;
    // Below what a double can tell apart at 1000 cores.
    if (nanocores - nanocores.round()).abs() > 1e-3 {
        of.fault(
            name,
            format_args!("finer than a nanocore: {}", nanocores / 1e6),
        );
    }
}

pub(super) fn nullable_bytes(of: &Members<'_>, name: &str) {
    if !of.is_null(name) {
        of.integer(name, 0);
    }
}
