//! Class 32: the surroundings of the runtime. Each case either works or gives a typed error at
//! once, and never hangs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use relive::{
    Actor, ActorRef, Context, Durability, Handle, OpenError, Refused, Runtime, RuntimeFailure, Unavailable,
};
use serde::{Deserialize, Serialize};

use crate::medium;

#[derive(Serialize, Deserialize, Default)]
struct Node {
    sum: u64,
    spins: u64,
}

impl Actor for Node {
    const KIND: &'static str = "node";
    fn create(_key: &str) -> Self {
        Self::default()
    }
}

message!(Add { number: u64 }, "add", u64);
message!(Spin {}, "spin", ());
message!(Spins {}, "spins", u64);
message!(Deep { levels: u64 }, "deep", u64);
// How a handler comes to wait for its own actor.
message!(Wait { how: String }, "wait", String);

impl Handle<Add> for Node {
    async fn handle(&mut self, message: Add, _cx: &mut Context<'_>) -> u64 {
        self.sum += message.number;
        self.sum
    }
}

impl Handle<Spin> for Node {
    /// Sends to itself for ever.
    async fn handle(&mut self, _message: Spin, cx: &mut Context<'_>) {
        self.spins += 1;
        let key = cx.actor().key().to_owned();
        cx.to::<Self>(&key).send(Spin {}).unwrap();
    }
}

impl Handle<Spins> for Node {
    async fn handle(&mut self, _message: Spins, _cx: &mut Context<'_>) -> u64 {
        self.spins
    }
}

/// Needs about `levels` kilobytes of stack.
fn deep(levels: u64) -> u64 {
    let room = std::hint::black_box([levels; 128]);
    if levels == 0 { 0 } else { deep(levels - 1) + std::hint::black_box(room)[7].min(1) }
}

impl Handle<Deep> for Node {
    async fn handle(&mut self, message: Deep, _cx: &mut Context<'_>) -> u64 {
        self.sum += deep(message.levels);
        self.sum
    }
}

thread_local! {
    static RUNTIME: std::cell::RefCell<Option<Runtime>> = const { std::cell::RefCell::new(None) };
}

impl Handle<Wait> for Node {
    async fn handle(&mut self, message: Wait, cx: &mut Context<'_>) -> String {
        let key = cx.actor().key().to_owned();
        let outcome = cx.side_effect("wait for itself", || async move {
            let runtime = RUNTIME.with_borrow(Clone::clone).unwrap();
            let me: ActorRef<Node> = runtime.actor(&key).unwrap();
            match message.how.as_str() {
                "ask" => me.ask(Add { number: 1 }).await.unwrap_err().unavailable().map(ToString::to_string),
                "receipt" => me
                    .tell(Add { number: 1 })
                    .await
                    .unwrap()
                    .durable()
                    .await
                    .err()
                    .map(|error| error.to_string()),
                "checkpoint" => me.checkpoint().await.err().map(|error| error.to_string()),
                "producer" => {
                    let mut producer = runtime.producer("p").unwrap();
                    producer
                        .tell(&me, Add { number: 1 })
                        .await
                        .unwrap()
                        .durable()
                        .await
                        .err()
                        .map(|error| error.to_string())
                }
                _ => None,
            }
        });
        outcome.await.unwrap_or_default()
    }
}

async fn open(path: &Path) -> Result<Runtime, OpenError> {
    open_with(path, Duration::from_millis(200)).await
}

async fn open_with(path: &Path, shutdown_timeout: Duration) -> Result<Runtime, OpenError> {
    let builder = medium::runtime().actor::<Node>(|node| {
        let node = node.handles::<Add>().handles::<Spin>().handles::<Spins>();
        node.handles::<Deep>().handles::<Wait>()
    });
    builder.durability(Durability::ProcessCrash).shutdown_timeout(shutdown_timeout).open(path).await
}

fn node(runtime: &Runtime, key: &str) -> ActorRef<Node> {
    runtime.actor(key).unwrap()
}

/// relive needs only the threads of tokio, neither its time nor anything else.
#[test]
fn class_32_a_tokio_without_a_time_driver_will_do() {
    let root = tempfile::tempdir().unwrap();
    for workers in [0, 2] {
        let mut builder = match workers {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        builder.build().unwrap().block_on(async {
            let runtime = open(&root.path().join("store")).await.unwrap();
            let asked = node(&runtime, "a").ask(Add { number: 1 }).timeout(Duration::from_secs(60)).await;
            asked.unwrap();
            runtime.shutdown().await.unwrap();
        });
    }
}

/// Calls from outside of any tokio, on a runtime that lives in one.
#[test]
fn class_32_calls_from_outside_of_tokio_work() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let refused = futures_executor(open(&path));
    assert!(matches!(refused, Err(OpenError::NoTokio)));
    assert!(!path.exists());
    let tokio = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let runtime = tokio.block_on(open(&path)).unwrap();
    let alice = node(&runtime, "alice");
    let sum = futures_executor(async { alice.ask(Add { number: 5 }).timeout(Duration::from_secs(60)).await });
    assert_eq!(sum.unwrap(), 5);
    futures_executor(async { alice.tell(Add { number: 1 }).await.unwrap().durable().await }).unwrap();
    futures_executor(alice.checkpoint()).unwrap();
    assert_eq!(futures_executor(runtime.shutdown()).unwrap().left, []);
}

/// An executor that is no tokio.
fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// The tokio runtime in which the store was opened goes away while actors are in use.
#[test]
fn class_32_a_tokio_that_is_gone_is_told() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let tokio = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let runtime = tokio.block_on(open(&path)).unwrap();
    let alice = node(&runtime, "alice");
    tokio.block_on(async { alice.ask(Add { number: 5 }).await.unwrap() });
    drop(tokio);
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    other.block_on(async {
        let error = alice.ask(Add { number: 1 }).await.unwrap_err();
        assert!(
            matches!(error.unavailable(), Some(Unavailable::Failed(RuntimeFailure::HostGone))),
            "{error}"
        );
        let refused = alice.tell(Add { number: 1 }).await.unwrap_err().reason;
        let refused = refused.unavailable();
        assert!(matches!(refused, Some(Unavailable::Failed(RuntimeFailure::HostGone))), "{refused:?}");
        assert!(matches!(runtime.failed(), Some(RuntimeFailure::HostGone)));
        assert!(matches!(runtime.shutdown().await, Err(RuntimeFailure::HostGone)));
        let runtime = open(&path).await.unwrap();
        assert_eq!(node(&runtime, "alice").ask(Add { number: 0 }).await.unwrap(), 5);
        runtime.shutdown().await.unwrap();
    });
}

/// All clones are one runtime, and any of them ends it.
#[tokio::test(flavor = "multi_thread")]
async fn class_32_a_runtime_is_shared_by_cloning() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open(&path).await.unwrap();
    let clone = runtime.clone();
    node(&clone, "a").ask(Add { number: 5 }).await.unwrap();
    drop(clone);
    assert_eq!(node(&runtime, "a").ask(Add { number: 1 }).await.unwrap(), 6);
    let (first, second) = tokio::join!(runtime.clone().shutdown(), runtime.shutdown());
    assert_eq!((first.unwrap().left.len(), second.unwrap().left.len()), (0, 0));
    assert!(matches!(
        node(&runtime, "a").tell(Add { number: 1 }).await.unwrap_err().reason,
        Refused::Unavailable(Unavailable::Stopped)
    ));
    let again = open(&path).await.unwrap();
    assert_eq!(node(&again, "a").ask(Add { number: 0 }).await.unwrap(), 6);
    // With its last clone the runtime ends as by a crash, and releases the store.
    drop(again);
    let again = open(&path).await.unwrap();
    assert_eq!(node(&again, "a").ask(Add { number: 0 }).await.unwrap(), 6);
    again.shutdown().await.unwrap();
}

/// An actor that keeps itself busy does not keep a shutdown from its end, and goes on after the
/// next opening.
#[tokio::test(flavor = "multi_thread")]
async fn class_32_an_actor_that_sends_to_itself_for_ever_can_be_shut_down() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let mut spins = 0;
    for round in 0..3 {
        // Waiting for the actor to come to rest takes all of it. Writing its checkpoint takes much
        // less, on any machine.
        let runtime = open_with(&path, Duration::from_secs(2)).await.unwrap();
        if round == 0 {
            node(&runtime, "busy").tell(Spin {}).await.unwrap().durable().await.unwrap();
        }
        let goal = spins + 3;
        while spins < goal {
            spins = node(&runtime, "busy").ask(Spins {}).await.unwrap();
        }
        assert_eq!(runtime.shutdown().await.unwrap().left, [], "round {round}");
    }
}

/// A handler that would wait for its own actor gets an error that says so.
#[tokio::test]
async fn class_32_a_handler_that_waits_for_its_own_actor_is_told() {
    let root = tempfile::tempdir().unwrap();
    let runtime = open(&root.path().join("store")).await.unwrap();
    RUNTIME.set(Some(runtime.clone()));
    for how in ["ask", "receipt", "checkpoint", "producer"] {
        let told = node(&runtime, "a").ask(Wait { how: how.to_owned() }).await.unwrap();
        assert!(told.contains("node/a would wait for itself"), "{how}: {told}");
    }
    RUNTIME.set(None);
    runtime.shutdown().await.unwrap();
}

/// A delivery that succeeded on a large stack replays on one as large, without any setting.
#[test]
fn class_32_a_replay_has_the_stack_that_the_original_run_had() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let tokio = |stack: usize| {
        tokio::runtime::Builder::new_multi_thread().thread_stack_size(stack).enable_all().build().unwrap()
    };
    let expected = tokio(64 << 20).block_on(async {
        let runtime = open(&path).await.unwrap();
        // More than 10 MiB in a release build, and several times that in a debug build.
        let sum = node(&runtime, "a").ask(Deep { levels: 10_000 }).await.unwrap();
        runtime.crash().await;
        sum
    });
    let output = child("class_32_deep_child", &path, root.path());
    assert!(output.contains(&format!("sum {expected}")), "{output}");
}

/// Runs a test of this file in its own process.
fn child(test: &str, path: &Path, directory: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("surroundings::{test}"), "--exact", "--nocapture"]).env(CHILD, path);
    let output = command.env_remove("RUST_MIN_STACK").current_dir(directory).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

const CHILD: &str = "RELIVE_SURROUNDINGS_CHILD";

/// Restores an actor that needs a large stack, in a process whose own threads have a small one.
#[test]
fn class_32_deep_child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let tokio = tokio::runtime::Builder::new_multi_thread().thread_stack_size(1 << 20).build().unwrap();
    tokio.block_on(async {
        let runtime = open(Path::new(&path)).await.unwrap();
        println!("sum {}", node(&runtime, "a").ask(Add { number: 0 }).await.unwrap());
        runtime.shutdown().await.unwrap();
    });
}

/// A store opened by a relative path stays where it is when the process changes its directory.
#[test]
fn class_32_a_process_may_change_its_directory() {
    let root = tempfile::tempdir().unwrap();
    let output = child("class_32_moving_child", Path::new("a/store"), root.path());
    assert!(output.contains("moved"), "{output}");
    assert!(root.path().join("a/store/relive.store").exists());
    assert!(!root.path().join("b/a").exists());
}

#[test]
fn class_32_moving_child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    if Path::new(&path).is_absolute() {
        return;
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    tokio.block_on(async {
        for sum in 1..=2 {
            let runtime = open(Path::new(&path)).await.unwrap();
            let before = std::env::current_dir().unwrap();
            std::fs::create_dir_all("b").unwrap();
            std::env::set_current_dir("b").unwrap();
            for _ in 0..100 {
                node(&runtime, "a").ask(Add { number: 0 }).await.unwrap();
            }
            node(&runtime, "a").checkpoint().await.unwrap();
            runtime.cut_log().await.unwrap();
            assert_eq!(node(&runtime, "a").ask(Add { number: 1 }).await.unwrap(), sum);
            runtime.shutdown().await.unwrap();
            std::env::set_current_dir(before).unwrap();
        }
    });
    println!("moved");
}
