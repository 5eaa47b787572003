//! How slow this machine is, and what follows for limits: those in tests are those of a usual machine, times that.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use regex::{Captures, Regex};

use super::root;

/// How long [`work`] takes on a usual machine. Measured in a debug build on 2 cores of a server (AMD EPYC) with nothing else to
/// do: 72 ms; half as much again is still usual.
const USUAL: Duration = Duration::from_millis(110);
/// No machine counts as slower than this: limits are to end tests that hang.
const MOST: f64 = 8.0;

/// How many times as slow as a usual one this machine is, at least 1: measured once, and said where it is more.
pub fn slowness() -> f64 {
    static SLOWNESS: OnceLock<f64> = OnceLock::new();
    *SLOWNESS.get_or_init(|| {
        let start = Instant::now();
        // On two cores, as all that is tested runs; a quota for all of them shows, too.
        std::thread::scope(|scope| drop([scope.spawn(work), scope.spawn(work)]));
        let slowness = start.elapsed().div_duration_f64(USUAL).clamp(1.0, MOST);
        if slowness >= 1.1 {
            eprintln!("this machine is {slowness:.1} times as slow as a usual one: limits are so much longer");
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

/// The same for a command line or a suite.
pub fn duration(limit: Duration) -> String {
    format!("{}ms", scaled(limit).as_millis())
}

/// A built-in suite's text with some limits replaced, and all for this machine.
pub fn suite(name: &str, replaced: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(root("suites").join(format!("{name}.yaml"))).unwrap();
    let text = replaced.iter().fold(text, |text, (limit, instead)| text.replace(limit, instead));
    let scaled =
        |limit: &Captures| format!("{}{}", &limit[1], duration(Duration::from_secs(limit[2].parse().unwrap())));
    Regex::new(r"(within: )(\d+)s\b").unwrap().replace_all(&text, scaled).into_owned()
}

/// Waits until that holds, so long at the most on a usual machine.
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, limit, Duration::from_millis(50), || holds().then_some(()));
}

/// Looks for something again and again, so long at the most on a usual machine.
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
