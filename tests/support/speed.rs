//! Measures how slow this machine is. Tests state limits for a usual machine, which are multiplied by this factor.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use regex::{Captures, Regex};

use super::root;

/// How long [`work`] takes on a usual machine: half as long again as on 2 idle cores of an AMD EPYC server (72 ms, debug build).
const USUAL: Duration = Duration::from_millis(110);
/// Caps the factor, because limits must still end tests that hang.
const MAX_SLOWNESS: f64 = 8.0;

/// How many times as slow as a usual machine this one is, at least 1. Measured once.
pub fn slowness() -> f64 {
    static SLOWNESS: OnceLock<f64> = OnceLock::new();
    *SLOWNESS.get_or_init(|| {
        let start = Instant::now();
        // In two threads, because the tests need two cores, and to notice a CPU quota.
        std::thread::scope(|scope| drop([scope.spawn(work), scope.spawn(work)]));
        let slowness = start.elapsed().div_duration_f64(USUAL).clamp(1.0, MAX_SLOWNESS);
        if slowness >= 1.1 {
            eprintln!("this machine is {slowness:.1} times as slow as usual; all limits are multiplied by that");
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

/// A scaled limit as text, for a command line or a suite.
pub fn duration(limit: Duration) -> String {
    format!("{}ms", scaled(limit).as_millis())
}

/// The text of a built-in suite with replaced and scaled limits.
pub fn suite(name: &str, replaced: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(root("suites").join(format!("{name}.yaml"))).unwrap();
    let text = replaced.iter().fold(text, |text, (limit, instead)| text.replace(limit, instead));
    let scaled =
        |limit: &Captures| format!("{}{}", &limit[1], duration(Duration::from_secs(limit[2].parse().unwrap())));
    Regex::new(r"(within: )(\d+)s\b").unwrap().replace_all(&text, scaled).into_owned()
}

/// Waits until a condition holds, within this limit on a usual machine.
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, limit, Duration::from_millis(50), || holds().then_some(()));
}

/// Polls until something is found, within this limit on a usual machine.
pub fn wait_for<T>(what: &str, limit: Duration, pause: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let (start, limit) = (Instant::now(), scaled(limit));
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(pause);
    }
}
