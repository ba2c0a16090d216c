//! What systemd hears of `dbmail-mesh run`.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::cli::{File, NOWHERE, command};

const DEADLINE: Duration = Duration::from_secs(60);

/// A worker under a service manager.
struct Service {
    worker: Child,
    socket: UnixDatagram,
    _folder: TempDir,
}

impl Service {
    fn start(settings: &File, watchdog: Duration) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut command: Command = command();
        command.arg("-c").arg(settings.path()).args(["--log-level", "off", "--set", "health.listen=", "run"]);
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        Self { worker: command.env_remove("WATCHDOG_PID").spawn().unwrap(), socket, _folder: folder }
    }

    /// The next messages, until one that contains the words.
    fn until(&self, words: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while begun.elapsed() < DEADLINE {
            let length = match self.socket.recv(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                received => received.unwrap(),
            };
            heard.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
            if heard.last().unwrap().contains(words) {
                return heard;
            }
        }
        panic!("{words:?} was not heard: {heard:?}");
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.worker.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

/// A link to a node that cannot be reached fails, and is alive.
#[test]
fn a_worker_is_ready_alive_while_nodes_are_away_and_says_that_it_stops() {
    let nodes = File::with_nodes(&[NOWHERE.to_owned(), NOWHERE.replace("/mail", "/other")]);
    let mut service = Service::start(&nodes, Duration::from_millis(200));
    assert_eq!(service.until("READY=1"), ["READY=1"]);
    service.until("WATCHDOG=1");
    // Not all of them have tried yet when it first says how they are.
    service.until("STATUS=links: 2 ");
    let begun = Instant::now();
    for _ in 0..5 {
        service.until("WATCHDOG=1");
    }
    assert!(begun.elapsed() >= Duration::from_millis(300), "at half the time, and not at once");
    service.signal("TERM");
    service.until("STOPPING=1");
    assert!(service.worker.wait().unwrap().success());
}

/// A process that does not run says nothing: the watchdog is not told by anything outside it.
#[test]
fn a_worker_that_does_not_run_says_nothing() {
    let nodes = File::with_nodes(&[NOWHERE.to_owned()]);
    let service = Service::start(&nodes, Duration::from_millis(200));
    service.until("WATCHDOG=1");
    service.signal("STOP");
    service.socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    let mut buffer = [0; 4096];
    // What it said before it was stopped.
    while service.socket.recv(&mut buffer).is_ok() {}
    assert!(service.socket.recv(&mut buffer).is_err());
    service.signal("CONT");
    service.socket.set_read_timeout(Some(DEADLINE)).unwrap();
    service.until("WATCHDOG=1");
}
