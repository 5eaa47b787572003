//! Measures how slow this machine is. Limits in tests are for a usual machine; this factor multiplies them.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use regex::{Captures, Regex};

use super::root;

/// The duration of [`work`] on a usual machine: 1.5 times that on 2 idle cores of an AMD EPYC server (72 ms, debug build).
const USUAL: Duration = Duration::from_millis(110);
/// Limits must still end hanging tests.
const MAX_SLOWNESS: f64 = 8.0;

/// At least 1; measured once.
pub fn slowness() -> f64 {
    static SLOWNESS: OnceLock<f64> = OnceLock::new();
    *SLOWNESS.get_or_init(|| {
        let start = Instant::now();
        // Two threads, because tests need two cores, and to detect a CPU quota.
        std::thread::scope(|scope| drop([scope.spawn(work), scope.spawn(work)]));
        let slowness = start.elapsed().div_duration_f64(USUAL).clamp(1.0, MAX_SLOWNESS);
        if slowness >= 1.1 {
            eprintln!("this machine is {slowness:.1} times slower than usual; multiplying all limits");
        }
        slowness
    })
}

fn work() {
    let mut sum = 1_u64;
    for number in 0..12_000_000 {
        sum = sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(black_box(number));
    }
    black_box(sum);
}

pub fn scaled(limit: Duration) -> Duration {
    limit.mul_f64(slowness())
}

pub fn duration(limit: Duration) -> String {
    format!("{}ms", scaled(limit).as_millis())
}

pub fn suite(name: &str, replaced: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(root("suites").join(format!("{name}.yaml"))).unwrap();
    let text = replaced.iter().fold(text, |text, (limit, instead)| text.replace(limit, instead));
    let scaled =
        |limit: &Captures| format!("{}{}", &limit[1], duration(Duration::from_secs(limit[2].parse().unwrap())));
    Regex::new(r"(within: )(\d+)s\b").unwrap().replace_all(&text, scaled).into_owned()
}

pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, limit, Duration::from_millis(50), || holds().then_some(()));
}

pub fn wait_for<T>(what: &str, limit: Duration, pause: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    let (start, limit) = (Instant::now(), scaled(limit));
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(pause);
    }
}
