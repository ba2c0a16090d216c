//! What systemd is told (sd_notify(3)): that the worker has started, how its links are, and that it is alive. Without systemd nobody
//! is told anything.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use super::Telemetry;
use super::vitals::Checkup;

/// How often the links are looked at where there is no watchdog.
const INTERVAL: Duration = Duration::from_secs(10);

/// Tells that the worker has started, then for ever what its links do. The watchdog is told at half its time, by a task of the runtime on
/// which all else runs, and only while the process is well: if the runtime hangs, or a task on which
/// all nodes depend does, systemd starts the worker anew. A link that stands still may be its nodes' fault, and no reason to stop the others.
pub async fn report(telemetry: Arc<Telemetry>) {
    let vitals = &telemetry.vitals;
    tell(&[NotifyState::Ready]);
    let mut watchdog_us = 0;
    let watched = sd_notify::watchdog_enabled(false, &mut watchdog_us);
    let interval = if watched { Duration::from_micros(watchdog_us / 2).min(INTERVAL) } else { INTERVAL };
    let (mut said, mut was_stuck) = (String::new(), false);
    loop {
        let checkup = vitals.check();
        let stuck = stuck(checkup);
        if stuck.is_empty() {
            tell(&[NotifyState::Watchdog]);
        } else if !was_stuck {
            tracing::error!(stuck = stuck.join(", "), "no sign of life; the watchdog is not told any more");
        }
        was_stuck = !stuck.is_empty();
        let summary = vitals.summary();
        if summary != said {
            tell(&[NotifyState::Status(&summary)]);
            said = summary;
        }
        tokio::time::sleep(interval).await;
    }
}

/// For what the watchdog is withheld.
fn stuck(checkup: Checkup) -> Vec<String> {
    checkup.reasons
}

/// Tells that the worker is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::debug!(%error, "cannot tell systemd");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_not_withheld_for_a_link_that_stands_still() {
        let stalled = vec!["link ams -> fra".to_owned()];
        let checkup = |reasons: &[String]| Checkup {
            healthy: reasons.is_empty(),
            tasks: 2,
            reasons: reasons.to_vec(),
            stalled: stalled.clone(),
        };
        assert!(stuck(checkup(&[])).is_empty());
        assert_eq!(stuck(checkup(&["settlement".to_owned()])), ["settlement"]);
    }
}
