//! Files of this repository that hold what the program says.

use super::root;

/// Whether what is judged or said anew takes the place of what was kept: `GOLDEN=write`.
pub fn is_renewed() -> bool {
    std::env::var_os("GOLDEN").is_some_and(|wish| wish == "write")
}

/// Compares with a file of this repository, or renews it.
pub fn golden(file: &str, actual: &str) {
    let path = root(file);
    let actual = actual.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if is_renewed() {
        return std::fs::write(path, actual).unwrap();
    }
    // Git may have made line ends Windows'.
    let expected = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let number = expected.lines().zip(actual.lines()).take_while(|(one, other)| one == other).count();
    let [expected_line, line] = [&expected, &actual].map(|text| text.lines().nth(number).unwrap_or_default());
    assert!(
        expected == actual,
        "{file}:{}: expected\n{expected_line}\nseen\n{line}\nif that is right, renew it with GOLDEN=write cargo test --test offline",
        number + 1
    );
}
