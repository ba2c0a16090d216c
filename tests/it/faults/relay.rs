//! A TCP relay between a worker and a node: it can cut, stall, delay and reset, each direction by itself.
//!
//! It belongs to the tests and not to `scratch`, for nothing that is shipped wants a bad network.
//!
//! What it cannot imitate is a machine that is gone: the relay's own kernel acknowledges what it takes. So a connection that is frozen here
//! is one whose peer has stopped to answer, not one whose packets are lost; what the peer's kernel does about the latter
//! (keepalives, `tcp_user_timeout`) the relay does in its place when it is told to (`lose`).

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// What one direction does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Passes it on.
    Open,
    /// Passes it on so much later.
    Delayed(Duration),
    /// Takes it, acknowledges it, and keeps it until it flows again; the end of a connection, too.
    Stalled,
}

/// When a server's kernel gives up a connection of the worker's that is silent, as the worker has asked it to: 10 s until it begins to ask,
/// then three times 5 s. It cannot here, for it hears from the relay; the relay ends it in its place.
const SERVER_NOTICES: Duration = Duration::from_secs(25);

/// How connections are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As a program does that stops: FIN.
    Closed,
    /// As a firewall does, or a machine that has started anew: RST.
    Reset,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Whether connections are let through. One that is not is ended at once by a RST: to close the listener instead, as would be more
    /// like a machine that refuses, would give the port away.
    accepts: bool,
    to_server: Flow,
    to_client: Flow,
    /// Connections with lower numbers are ended, in this way.
    ended_below: u64,
    end: End,
    /// Of connections with lower numbers nothing passes any more, whatever the flow.
    frozen_below: u64,
    /// Of connections with lower numbers the client's side is ended, and the server is not told.
    lost_below: u64,
    trap: Trap,
}

/// What happens when a settlement commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// Nothing.
    None,
    /// It does not reach the server, nor does anything after it.
    KeepsCommit,
    /// It does, and no answer comes back.
    KeepsAnswer,
    /// That was it.
    Sprung,
}

/// How the message that commits a transaction looks on the wire.
const COMMIT: &[u8] = b"COMMIT\0";
/// A statement that a settlement runs in its transaction, and nobody else.
const OF_A_SETTLEMENT: &[u8] = include_bytes!("../../../sql/node/takes_part.sql");

/// What a client says on one connection, as far as a trap has to know it: links commit as well, on the same connections.
#[derive(Default)]
struct Overheard {
    /// How the client refers to [`OF_A_SETTLEMENT`], once it has prepared it: in a Bind message, an unnamed portal and then its name.
    bound: Option<Vec<u8>>,
    settles: bool,
}

impl Overheard {
    /// Whether these bytes commit a settlement.
    fn commits(&mut self, bytes: &[u8]) -> bool {
        if let Some(at) = position(bytes, OF_A_SETTLEMENT).filter(|at| *at > 0) {
            // A Parse message: the statement's name, a zero, its text.
            let name = bytes[..at - 1].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            self.bound = Some([&[0], &bytes[at - 1 - name..at]].concat());
        }
        self.settles |= self.bound.as_ref().is_some_and(|bound| position(bytes, bound).is_some());
        let commits = position(bytes, COMMIT).is_some();
        let settles = self.settles;
        if commits || position(bytes, b"ROLLBACK\0").is_some() {
            self.settles = false;
        }
        commits && settles
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|found| found == wanted)
}

/// A relay on a port of its own; it ends with the value.
pub struct Relay {
    port: u16,
    state: Arc<watch::Sender<State>>,
    /// The number of the next connection.
    next: watch::Receiver<u64>,
    listening: JoinHandle<()>,
}

impl Relay {
    /// Passes on what it gets to this port of this machine.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = State {
            accepts: true,
            to_server: Flow::Open,
            to_client: Flow::Open,
            ended_below: 0,
            end: End::Closed,
            frozen_below: 0,
            lost_below: 0,
            trap: Trap::None,
        };
        let state = Arc::new(watch::Sender::new(open));
        let (count, next) = watch::channel(0);
        let listening = tokio::spawn(listen(listener, server, state.clone(), count));
        Self { port, state, next, listening }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets each direction.
    pub fn flow(&self, to_server: Flow, to_client: Flow) {
        self.state.send_modify(|state| (state.to_server, state.to_client) = (to_server, to_client));
    }

    /// Ends all connections, and lets no new one through.
    pub fn cut(&self) {
        self.end(End::Closed, false);
    }

    /// Ends all connections by a RST; new ones are let through.
    pub fn reset(&self) {
        self.end(End::Reset, true);
    }

    /// What is open now passes nothing any more, for ever, and nobody is told; new connections are let through.
    pub fn freeze(&self) {
        let next = *self.next.borrow();
        self.state.send_modify(|state| state.frozen_below = next);
    }

    /// What a client's kernel does about frozen connections: it gives them up. The server is not told.
    pub fn lose(&self) {
        self.state.send_modify(|state| state.lost_below = state.frozen_below);
    }

    /// Everything passes. What was frozen stays so.
    pub fn heal(&self) {
        self.state.send_modify(|state| {
            (state.accepts, state.to_server, state.to_client) = (true, Flow::Open, Flow::Open);
            state.trap = Trap::None;
        });
    }

    /// Sets a trap for the next settlement that commits.
    pub fn set(&self, trap: Trap) {
        self.state.send_modify(|state| state.trap = trap);
    }

    /// Waits until the trap has sprung.
    pub async fn sprung(&self) {
        let mut state = self.state.subscribe();
        // The sender is ours.
        let _ = state.wait_for(|state| state.trap == Trap::Sprung).await;
    }

    fn end(&self, end: End, accepts: bool) {
        let next = *self.next.borrow();
        self.state.send_modify(|state| (state.accepts, state.end, state.ended_below) = (accepts, end, next));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, server: u16, states: Arc<watch::Sender<State>>, count: watch::Sender<u64>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = *count.borrow();
        count.send_replace(number + 1);
        // After the number is taken: whoever ends all that is open means this one as well, or sees it refused.
        if !states.borrow().accepts {
            let _ = client.set_zero_linger();
            continue;
        }
        tokio::spawn(connection(number, client, server, states.clone()));
    }
}

async fn connection(number: u64, mut client: TcpStream, server: u16, states: Arc<watch::Sender<State>>) {
    let mut state = states.subscribe();
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    {
        let ((client_in, client_out), (server_in, server_out)) = (client.split(), server.split());
        let up = pass(number, client_in, server_out, &states, Way::UP);
        let down = pass(number, server_in, client_out, &states, Way::DOWN);
        tokio::select! {
            // Whoever ends his side has no more to say, and the other hears it: PostgreSQL knows no half of a connection.
            () = up => return,
            () = down => return,
            _ = state.wait_for(|state| number < state.ended_below.max(state.lost_below)) => {}
        }
    }
    let now = *state.borrow();
    if number < now.ended_below {
        if now.end == End::Reset {
            let (_, _) = (client.set_zero_linger(), server.set_zero_linger());
        }
        return;
    }
    // Lost: the client's side ends, and the server is not told. Its kernel finds out for itself.
    let _ = client.set_zero_linger();
    drop(client);
    let _ = timeout(SERVER_NOTICES, state.wait_for(|state| number < state.ended_below)).await;
    drop(server);
}

/// A direction.
struct Way {
    flow: fn(&State) -> Flow,
    /// What a trap does to it.
    springs: fn(&mut State),
}

impl Way {
    const UP: Self = Self {
        flow: |state| state.to_server,
        springs: |state| {
            match state.trap {
                Trap::KeepsCommit => state.to_server = Flow::Stalled,
                Trap::KeepsAnswer => state.to_client = Flow::Stalled,
                Trap::None | Trap::Sprung => return,
            }
            state.trap = Trap::Sprung;
        },
    };
    const DOWN: Self = Self { flow: |state| state.to_client, springs: |_| {} };
}

/// One direction of a connection, until its end has been passed on.
async fn pass(
    number: u64,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    states: &watch::Sender<State>,
    Way { flow, springs }: Way,
) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let take = async move {
        let mut buffer = vec![0; 1 << 16];
        let mut overheard = Overheard::default();
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let bytes = &buffer[..count];
            if overheard.commits(bytes) {
                states.send_modify(springs);
            }
            let delay = match flow(&states.borrow()) {
                Flow::Delayed(delay) => delay,
                Flow::Open | Flow::Stalled => Duration::ZERO,
            };
            if sender.send((Instant::now() + delay, bytes.to_vec())).is_err() {
                return;
            }
        }
    };
    let mut state = states.subscribe();
    let give = async move {
        loop {
            let taken = receiver.recv().await;
            if let Some((due, _)) = &taken {
                sleep_until(*due).await;
            }
            let flows = |state: &State| number >= state.frozen_below && flow(state) != Flow::Stalled;
            if state.wait_for(flows).await.is_err() {
                return;
            }
            match taken {
                Some((_, bytes)) if to.write_all(&bytes).await.is_ok() => {}
                Some(_) => return,
                None => {
                    let _ = to.shutdown().await;
                    return;
                }
            }
        }
    };
    tokio::join!(take, give);
}

/// A port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay, and the two ends of a connection through it.
    async fn ends() -> (Relay, TcpListener, TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::to(server.local_addr().unwrap().port()).await;
        let client = TcpStream::connect(("127.0.0.1", relay.port())).await.unwrap();
        let (served, _) = server.accept().await.unwrap();
        (relay, server, client, served)
    }

    /// Long enough for whatever passes to pass; what must not pass has not by then.
    const A_MOMENT: Duration = Duration::from_millis(150);
    const DEADLINE: Duration = Duration::from_secs(20);

    async fn hears(stream: &mut TcpStream, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        timeout(DEADLINE, stream.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, expected);
    }

    async fn hears_nothing(stream: &mut TcpStream) {
        assert!(timeout(A_MOMENT, stream.read(&mut [0; 16])).await.is_err());
    }

    /// What a read says once the connection has ended: nothing, or an error.
    async fn ending(stream: &mut TcpStream) -> std::io::Result<usize> {
        timeout(DEADLINE, stream.read(&mut [0; 16])).await.unwrap()
    }

    #[tokio::test]
    async fn it_passes_both_ways_and_passes_the_end_on() {
        let (_relay, _server, mut client, mut served) = ends().await;
        client.write_all(b"question").await.unwrap();
        hears(&mut served, b"question").await;
        served.write_all(b"answer").await.unwrap();
        drop(served);
        hears(&mut client, b"answer").await;
        assert_eq!(ending(&mut client).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn each_direction_stalls_by_itself_and_nothing_is_lost() {
        let (relay, _server, mut client, mut served) = ends().await;
        relay.flow(Flow::Open, Flow::Stalled);
        client.write_all(b"one").await.unwrap();
        hears(&mut served, b"one").await;
        served.write_all(b"1").await.unwrap();
        hears_nothing(&mut client).await;
        relay.flow(Flow::Stalled, Flow::Open);
        hears(&mut client, b"1").await;
        client.write_all(b"two").await.unwrap();
        // Nor is the other side told that this one has gone.
        drop(client);
        hears_nothing(&mut served).await;
        relay.heal();
        hears(&mut served, b"two").await;
        assert_eq!(ending(&mut served).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_delayed_comes_that_much_later() {
        let (relay, _server, mut client, mut served) = ends().await;
        let delay = Duration::from_millis(200);
        relay.flow(Flow::Delayed(delay), Flow::Open);
        let begun = Instant::now();
        client.write_all(b"late").await.unwrap();
        hears(&mut served, b"late").await;
        assert!(begun.elapsed() >= delay);
    }

    #[tokio::test]
    async fn a_cut_closes_and_refuses_until_it_is_healed() {
        let (relay, server, mut client, mut served) = ends().await;
        relay.cut();
        assert_eq!(ending(&mut client).await.unwrap(), 0);
        assert_eq!(ending(&mut served).await.unwrap(), 0);
        let mut refused = TcpStream::connect(("127.0.0.1", relay.port())).await.unwrap();
        assert!(ending(&mut refused).await.is_err());
        relay.heal();
        let mut again = TcpStream::connect(("127.0.0.1", relay.port())).await.unwrap();
        again.write_all(b"back").await.unwrap();
        hears(&mut server.accept().await.unwrap().0, b"back").await;
    }

    #[tokio::test]
    async fn a_reset_is_a_reset() {
        let (relay, _server, mut client, mut served) = ends().await;
        relay.reset();
        for stream in [&mut client, &mut served] {
            assert_eq!(ending(stream).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn a_trap_keeps_a_commit_or_its_answer() {
        let (relay, _server, mut client, mut served) = ends().await;
        relay.set(Trap::KeepsAnswer);
        let parse = [b"P\0\0\x01\x07s12\0", OF_A_SETTLEMENT, b"\0"].concat();
        let bind = b"B\0\0\0\x0f\0s12\0";
        for passes in [&parse[..], COMMIT, bind] {
            client.write_all(passes).await.unwrap();
            hears(&mut served, passes).await;
        }
        client.write_all(COMMIT).await.unwrap();
        timeout(DEADLINE, relay.sprung()).await.unwrap();
        hears(&mut served, COMMIT).await;
        served.write_all(b"OK").await.unwrap();
        hears_nothing(&mut client).await;
        relay.heal();
        hears(&mut client, b"OK").await;
        relay.set(Trap::KeepsCommit);
        client.write_all(bind).await.unwrap();
        hears(&mut served, bind).await;
        client.write_all(COMMIT).await.unwrap();
        timeout(DEADLINE, relay.sprung()).await.unwrap();
        hears_nothing(&mut served).await;
    }

    #[tokio::test]
    async fn a_frozen_connection_stays_frozen_and_new_ones_are_not() {
        let (relay, server, mut client, mut served) = ends().await;
        relay.freeze();
        client.write_all(b"lost").await.unwrap();
        let mut fresh = TcpStream::connect(("127.0.0.1", relay.port())).await.unwrap();
        fresh.write_all(b"new").await.unwrap();
        hears(&mut server.accept().await.unwrap().0, b"new").await;
        relay.heal();
        hears_nothing(&mut served).await;
        relay.lose();
        assert!(ending(&mut client).await.is_err());
        hears_nothing(&mut served).await;
    }
}
