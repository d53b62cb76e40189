//! What the agent and its host use, as sysinfo reads it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::Counter;
use sysinfo::{
    CpuRefreshKind, Disks, MemoryRefreshKind, Networks, Pid, ProcessRefreshKind, ProcessesToUpdate,
    RefreshKind, System,
};

use crate::backend::protocol::ResourceUsage;
use crate::metrics::Metrics;

/// Asked more often, the last numbers are given again: processor shares need a stretch of time to be measured over.
const FRESH: Duration = Duration::from_secs(1);

/// Reads what is used.
pub struct Resources {
    metrics: Arc<Metrics>,
    state_dir: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    /// `None` where this operating system is none that sysinfo knows.
    system: Option<System>,
    networks: Option<Networks>,
    pid: Option<Pid>,
    read: Option<(Instant, Duration)>,
    usage: ResourceUsage,
}

impl Resources {
    /// Measures this process, and the disk that holds `state_dir`.
    pub fn new(state_dir: &Path, metrics: Arc<Metrics>) -> Self {
        let cpu = CpuRefreshKind::nothing().with_usage();
        let memory = MemoryRefreshKind::nothing().with_ram();
        let wanted = RefreshKind::nothing().with_cpu(cpu).with_memory(memory);
        let inner = Inner {
            system: System::new_with_specifics(wanted).ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            pid: sysinfo::get_current_pid().ok(),
            read: None,
            usage: ResourceUsage::default(),
        };
        Self {
            metrics,
            state_dir: state_dir.to_owned(),
            inner: Mutex::new(inner),
        }
    }

    /// The present numbers, which are also put into the metrics.
    pub fn read(&self) -> ResourceUsage {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.read.is_none_or(|(at, _)| at.elapsed() >= FRESH) {
            self.refresh(&mut inner);
        }
        inner.usage
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are doubles; bytes above 2^53 do not occur"
    )]
    fn refresh(&self, inner: &mut Inner) {
        let gauges = &self.metrics.system;
        let mut usage = inner.usage;
        if let Some(system) = &mut inner.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            gauges
                .host_cpu_ratio
                .set(f64::from(system.global_cpu_usage()) / 100.0);
            gauges
                .host_memory_bytes
                .with_label_values(&["total"])
                .set(system.total_memory() as f64);
            gauges
                .host_memory_bytes
                .with_label_values(&["available"])
                .set(system.available_memory() as f64);
            let limit = system.cgroup_limits().map(|it| it.total_memory);
            gauges
                .memory_limit_bytes
                .set(limit.unwrap_or_else(|| system.total_memory()) as f64);
            let wanted = ProcessRefreshKind::nothing()
                .with_cpu()
                .with_memory()
                .without_tasks();
            let pids = inner.pid.as_slice();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(pids), false, wanted);
            if let Some(process) = inner.pid.and_then(|it| system.process(it)) {
                let used = Duration::from_millis(process.accumulated_cpu_time());
                usage.memory_bytes = process.memory();
                usage.cpu_percent = share(inner.read, used);
                rises_to(&gauges.process_cpu_seconds, used.as_secs_f64());
                gauges.process_memory_bytes.set(usage.memory_bytes as f64);
                inner.read = Some((Instant::now(), used));
            }
        }
        if let Some(networks) = &mut inner.networks {
            networks.refresh(true);
            let real = || {
                networks
                    .iter()
                    .filter(|(name, _)| *name != "lo")
                    .map(|(_, it)| it)
            };
            usage.network_sent_bytes = real().map(sysinfo::NetworkData::total_transmitted).sum();
            usage.network_received_bytes = real().map(sysinfo::NetworkData::total_received).sum();
            for (direction, bytes) in [
                ("sent", usage.network_sent_bytes),
                ("received", usage.network_received_bytes),
            ] {
                let counter = gauges.network_bytes.with_label_values(&[direction]);
                rises_to(&counter, bytes as f64);
            }
        }
        (usage.disk_free_bytes, usage.disk_total_bytes) = disk(&self.state_dir);
        gauges
            .disk_bytes
            .with_label_values(&["free"])
            .set(usage.disk_free_bytes as f64);
        gauges
            .disk_bytes
            .with_label_values(&["total"])
            .set(usage.disk_total_bytes as f64);
        inner.usage = usage;
    }
}

/// Counts up to what the system has counted. What it has lost, with an interface that is gone, is not counted back.
fn rises_to(counter: &Counter, total: f64) {
    let more = total - counter.get();
    if more > 0.0 {
        counter.inc_by(more);
    }
}

/// Percent of one processor used since the last reading.
fn share(last: Option<(Instant, Duration)>, used: Duration) -> f64 {
    let Some((at, before)) = last else { return 0.0 };
    let percent =
        100.0 * used.saturating_sub(before).as_secs_f64() / at.elapsed().as_secs_f64().max(0.001);
    (percent * 100.0).round() / 100.0
}

/// Free and total bytes of the disk that holds `path`: of the mounts above it, the nearest.
pub fn disk(path: &Path) -> (u64, u64) {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let Ok(disks) = Disks::new_with_refreshed_list() else {
        return (0, 0);
    };
    let above = disks.iter().filter(|it| path.starts_with(it.mount_point()));
    above
        .max_by_key(|it| it.mount_point().as_os_str().len())
        .map_or((0, 0), |it| (it.available_space(), it.total_space()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_its_disk_are_measured() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let resources = Resources::new(folder.path(), Arc::clone(&metrics));
        let usage = resources.read();
        assert!(usage.memory_bytes > 1 << 20, "{usage:?}");
        assert!(
            usage.disk_total_bytes >= usage.disk_free_bytes && usage.disk_total_bytes > 0,
            "{usage:?}"
        );
        let text = metrics.text();
        assert!(
            text.contains("kubernetes_agent_host_memory_bytes{state=\"total\"}"),
            "{text}"
        );
    }
}
