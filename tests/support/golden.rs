//! Golden files: expected output of the program, kept in this repository.

use super::root;

/// Whether `GOLDEN=write` is set: changed output replaces the expected one.
pub fn is_updating() -> bool {
    std::env::var_os("GOLDEN").is_some_and(|value| value == "write")
}

pub fn golden(file: &str, actual: &str) {
    let path = root(file);
    let actual = actual.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if is_updating() {
        return std::fs::write(path, actual).unwrap();
    }
    // Git may have converted line endings.
    let expected = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let number = expected.lines().zip(actual.lines()).take_while(|(one, other)| one == other).count();
    let [expected_line, line] = [&expected, &actual].map(|text| text.lines().nth(number).unwrap_or_default());
    assert!(
        expected == actual,
        "{file}:{}: expected\n{expected_line}\nseen\n{line}\nif this is right, update the file: GOLDEN=write cargo test --test offline",
        number + 1
    );
}
