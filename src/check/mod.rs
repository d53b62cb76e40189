//! `kubernetes-agent check`: what the troubleshooting chapter asks a person to try, tried at once, with what to do
//! about each thing that is wrong.
//!
//! It disturbs no agent that runs beside it: it registers nothing, claims nothing, says no `hello`, and takes no lock
//! on STATE_DIR. Areas are looked at side by side, each in a thread of its own; one that does not come to an end is
//! named as such.

mod backend;
mod certificate;
mod clock;
mod cluster;
mod permissions;
mod remedy;
pub mod report;
mod settings;
mod state_dir;
mod tls;
mod websocket;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::config::Config;
use crate::config::reader::Environment;
use crate::kube::Client;
use crate::metrics::Metrics;
use crate::thread::STACK;
use crate::thread::stop::{self, Stop};
use crate::thread::waker::{Waiter, Waker};
use report::{Line, Report};
use settings::Settings;

/// Everything ends within this, whatever does not answer.
const WITHIN: Duration = Duration::from_secs(28);
/// More lines than there are; a thread that nobody listens to any more does not wait.
const LINES: usize = 128;

/// Where an area puts its lines.
struct Sink {
    area: usize,
    out: Sender<(usize, Line)>,
}

impl Sink {
    fn tell(&self, line: Line) {
        let _ = self.out.try_send((self.area, line));
    }

    /// Those of `names` that have no line by then were not looked at.
    fn skip(&self, names: &[&'static str], why: &str) {
        for name in names {
            self.tell(Line::skipped(*name, why));
        }
    }
}

/// One area: the lines that it fills at the least, the settings that it cannot do without, and how it is looked at.
struct Area {
    lines: &'static [&'static str],
    needs: &'static [&'static str],
    look: fn(&Config, &Stop, &Sink),
}

const AREAS: [Area; 4] = [
    Area {
        lines: &["state_dir"],
        needs: &[],
        look: |config, _, sink| sink.tell(state_dir::look(&config.state_dir)),
    },
    Area {
        lines: &cluster::LINES,
        needs: &["KUBECONFIG", "KUBERNETES_SERVICE_HOST"],
        look: |config, stop, sink| match Metrics::new() {
            Ok(metrics) => {
                let access = config.kubernetes.clone();
                let kube = Client::new(access, stop.clone(), Arc::new(metrics));
                cluster::look(config, &kube, sink);
            }
            Err(err) => sink.skip(&cluster::LINES, &err.to_string()),
        },
    },
    Area {
        lines: &backend::LINES,
        needs: &[
            "BACKEND_URL",
            "API_KEY",
            "API_KEY_FILE",
            "CLUSTER_ID",
            "BACKEND_CA_FILE",
            "HTTPS_PROXY",
            "https_proxy",
        ],
        look: |config, stop, sink| waiting(stop, sink, |it| backend::look(config, it, sink)),
    },
    Area {
        lines: &websocket::LINES,
        needs: &[
            "BACKEND_WS_URL",
            "API_KEY",
            "API_KEY_FILE",
            "BACKEND_CA_FILE",
            "HTTPS_PROXY",
            "https_proxy",
        ],
        look: |config, stop, sink| waiting(stop, sink, |it| websocket::look(config, it, sink)),
    },
];

fn waiting(stop: &Stop, sink: &Sink, look: impl FnOnce(&Waiter<'_>)) {
    match Waker::new() {
        Ok(waker) => look(&Waiter {
            waker: &waker,
            stop,
        }),
        Err(err) => sink.tell(Line::failed(
            AREAS[sink.area].lines[0],
            format!("not looked at: {err}"),
            "look whether the process has descriptors left",
        )),
    }
}

/// Looks at everything.
pub fn run(environment: &dyn Environment) -> Report {
    let settings = Settings::read(environment);
    let mut report = Report {
        lines: settings.lines(),
    };
    let faulty = settings.faulty();
    let (guard, stop) = stop::pair();
    let found = match settings.config {
        Some(config) => look(&Arc::new(config), &faulty, &stop),
        None => AREAS
            .iter()
            .map(|it| unlooked(it, "the settings"))
            .collect(),
    };
    drop(guard);
    report.lines.extend(found.into_iter().flatten());
    report
}

fn unlooked(area: &Area, setting: &str) -> Vec<Line> {
    let why = format!("{setting} cannot be used");
    let lines = area.lines.iter();
    lines.map(|it| Line::skipped(*it, why.as_str())).collect()
}

/// The lines of each area.
fn look(config: &Arc<Config>, faulty: &BTreeSet<String>, stop: &Stop) -> Vec<Vec<Line>> {
    let (out, lines) = bounded(LINES);
    let mut found: Vec<Vec<Line>> = Vec::new();
    let mut threads = Vec::new();
    for (number, area) in AREAS.iter().enumerate() {
        let fault = area.needs.iter().find(|it| faulty.contains(**it));
        found.push(fault.map_or_else(Vec::new, |it| unlooked(area, it)));
        if fault.is_some() {
            continue;
        }
        let (config, stop) = (Arc::clone(config), stop.clone());
        let sink = Sink {
            area: number,
            out: out.clone(),
        };
        // One that is not started leaves no line, and is named below.
        let started = thread::Builder::new()
            .name(area.lines[0].to_owned())
            .stack_size(STACK)
            .spawn(move || (area.look)(&config, &stop, &sink));
        threads.extend(started);
    }
    drop(out);
    gather(&lines, &mut found);
    for (area, lines) in AREAS.iter().zip(&mut found) {
        complete(area, lines);
    }
    found
}

/// Takes in lines until every area has ended, or time is over.
fn gather(lines: &Receiver<(usize, Line)>, found: &mut [Vec<Line>]) {
    let until = Instant::now() + WITHIN;
    while let Ok((area, line)) = lines.recv_deadline(until) {
        let lines = &mut found[area];
        let is_known = lines.iter().any(|it| it.name == line.name);
        if !is_known {
            lines.push(line);
        }
    }
}

/// Puts the lines into their order. An area that did not come to its end says so in the first line that is missing.
fn complete(area: &Area, lines: &mut Vec<Line>) {
    let seen = |name: &&&str| {
        let is = |it: &Line| it.name == **name;
        let stands_for =
            |it: &Line| **name == permissions::ALL && it.name.starts_with("permission");
        lines.iter().any(|it| is(it) || stands_for(it))
    };
    let missing: Vec<_> = area.lines.iter().filter(|it| !seen(it)).collect();
    for (n, name) in missing.into_iter().enumerate() {
        lines.push(if n == 0 {
            Line::failed(
                *name,
                format!("no end within {} s", WITHIN.as_secs()),
                "look whether something on the way swallows packets, or answers without end",
            )
        } else {
            Line::skipped(*name, "the one before did not come to its end")
        });
    }
    lines.sort_by_key(|line| {
        let name = if line.name.starts_with("permission") {
            permissions::ALL
        } else {
            line.name.as_str()
        };
        area.lines.iter().position(|it| *it == name)
    });
}

#[cfg(test)]
mod tests {
    use super::report::Outcome;
    use super::*;

    #[test]
    fn an_area_that_does_not_end_is_named() {
        let mut lines = vec![Line::ok("api_server", "")];
        complete(&AREAS[1], &mut lines);
        let short: Vec<_> = lines
            .iter()
            .map(|it| (it.name.as_str(), it.outcome))
            .collect();
        assert_eq!(
            short,
            [
                ("api_server", Outcome::Ok),
                ("clock_api_server", Outcome::Failed),
                ("permissions", Outcome::Skipped),
                ("metrics_api", Outcome::Skipped),
            ]
        );
    }

    #[test]
    fn an_area_that_ended_is_left_as_it_is() {
        let names = [
            "api_server",
            "clock_api_server",
            "permission list pods",
            "metrics_api",
        ];
        let mut lines: Vec<_> = names.map(|it| Line::ok(it, "")).into();
        complete(&AREAS[1], &mut lines);
        assert_eq!(lines.len(), 4);
    }
}
