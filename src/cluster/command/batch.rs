//! Encodes several operations as one command line and splits their outputs; shared with the simulated cluster.
//!
//! Scripts become functions of one shell, and a random mark follows the output of each.

use std::fmt::Write;

use super::operation::Operation;

/// The text before each script, between it and its arguments, and after those.
const HEAD: &str = "operation() {\n";
const CALL: &str = "\n}\n(operation";
const TAIL: &str =
    ")\ncode=$?; failed=$((failed | code)); printf '\\n%s %s\\n' \"$1\" $code; printf '\\n%s\\n' \"$1\" >&2\n";
/// The end of the command: the shell's exit code shows whether all succeeded, even if outputs are lost.
const END: &str = "exit $((failed > 0))\n";
/// The shell's exit code if any operation failed.
pub const FAILED: i32 = 1;

/// A shell's command line for the operations. After each, it writes the mark to both outputs, and the exit code to stdout.
pub fn encode(operations: &[Operation], mark: &str) -> Vec<String> {
    let mut script = String::new();
    let mut arguments = vec![mark.to_owned()];
    for operation in operations {
        let (body, own) = operation.call();
        let numbers = (0..own.len()).map(|index| format!(r#" "${{{}}}""#, arguments.len() + 1 + index));
        let numbers: String = numbers.collect();
        // Never fails on a String.
        let _ = write!(script, "{HEAD}{body}{CALL}{numbers}{TAIL}");
        arguments.extend(own);
    }
    script.push_str(END);
    let command = ["sh", "-c", &script, "operations"].map(str::to_owned);
    command.into_iter().chain(arguments).collect()
}

/// The marks after an operation's standard output and standard error.
pub fn marks(mark: &str, code: i32) -> [String; 2] {
    [format!("\n{mark} {code}\n"), format!("\n{mark}\n")]
}

/// The output before each mark, and the exit code after it.
pub(super) fn parts<'a>(output: &'a [u8], mark: &str) -> impl Iterator<Item = (&'a [u8], Option<i32>)> {
    let mark = format!("\n{mark}");
    let mut rest = output;
    std::iter::from_fn(move || {
        let at = rest.windows(mark.len()).position(|window| window == mark.as_bytes())?;
        let after = &rest[at + mark.len()..];
        let end = after.iter().position(|byte| *byte == b'\n')?;
        let code = std::str::from_utf8(&after[..end]).ok().and_then(|code| code.trim().parse().ok());
        let part = &rest[..at];
        rest = &after[end + 1..];
        Some((part, code))
    })
}

/// The mark and the operations of a command line; `None` if `encode` does not produce it.
pub fn decode(command: &[String]) -> Option<(&str, Vec<Operation>)> {
    let [shell, option, script, name, mark, arguments @ ..] = command else { return None };
    if [shell, option, name] != ["sh", "-c", "operations"] {
        return None;
    }
    let (mut script, mut arguments) = (script.as_str(), arguments);
    let mut operations = Vec::new();
    while script != END {
        let (body, rest) = script.strip_prefix(HEAD)?.split_once(CALL)?;
        let (numbers, rest) = rest.split_once(TAIL)?;
        let (own, others) = arguments.split_at_checked(numbers.split_whitespace().count())?;
        operations.push(Operation::read(body, own)?);
        (script, arguments) = (rest, others);
    }
    // Rejects a command line that differs in details.
    (encode(&operations, mark) == command).then_some((mark.as_str(), operations))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[cfg(unix)]
    fn run(operations: &[Operation]) -> Vec<(String, String, Option<i32>)> {
        let argv = encode(operations, "mark");
        assert_eq!(decode(&argv), Some(("mark", operations.to_vec())));
        let output = std::process::Command::new(&argv[0]).args(&argv[1..]).output().unwrap();
        let text = |part: &[u8]| String::from_utf8(part.to_owned()).unwrap();
        let parts = parts(&output.stdout, "mark").zip(parts(&output.stderr, "mark"));
        parts.map(|((out, code), (err, _))| (text(out), text(err), code)).collect()
    }

    #[test]
    fn only_encoded_command_lines_are_decoded() {
        let encoded = encode(&[Operation::Usage, Operation::Remove { path: "/data/a".into() }], "mark");
        let changed = |index: usize, text: &str| {
            let mut command = encoded.clone();
            text.clone_into(&mut command[index]);
            command
        };
        let other = encoded[2].replace("rm -rf", "rm -r");
        for command in [changed(2, &other), changed(0, "bash"), encoded[..5].to_vec(), vec!["sh".into()]] {
            assert_eq!(decode(&command), None, "{command:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn operations_in_one_shell_have_separate_outputs_and_exit_codes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("{}/{name}", folder.path().display());
        let content = "a; $(touch b) 'c'\n".to_owned();
        let digest = format!("{}\n", crate::digest::Digest::of(&content));
        let fails = "";
        let gather = |prefix: &str| Operation::Gather { folder: path(""), prefix: prefix.into() };
        let sweep = |prefix: &str| Operation::Sweep { folder: path(""), prefix: prefix.into() };
        let (operations, outputs): (Vec<_>, Vec<_>) = [
            (Operation::Write { path: path("one file"), content: content.clone() }, ""),
            (Operation::Digest { path: path("one file") }, &*digest),
            (Operation::Digest { path: path("missing") }, ""),
            (Operation::Read { path: path("missing") }, fails),
            (Operation::Read { path: path("one file") }, &content),
            (Operation::WriteNested { folder: path("two/three"), name: "deep".into(), content: "deep".into() }, "deep"),
            (Operation::Fill { path: path("big"), line: "abc".into(), bytes: 10 }, ""),
            (Operation::Append { path: path("big"), line: "ab".into(), bytes: 4 }, ""),
            (gather("b"), "big\0abc\nabc\nabab\na\0"),
            (gather("two/"), ""),
            (gather("two/three/d"), "two/three/deep\0deep\0"),
            (Operation::Remove { path: path("two") }, ""),
            (gather("none"), ""),
            (sweep("b"), "big\0"),
            (sweep(""), fails),
        ]
        .into_iter()
        .unzip();
        let ended = run(&operations);
        assert_eq!(ended.iter().map(|(out, ..)| out.as_str()).collect::<Vec<_>>(), outputs, "{ended:?}");
        let failed = ended.iter().enumerate().filter(|(_, (.., code))| *code != Some(0)).map(|(at, _)| at);
        assert_eq!(failed.collect::<Vec<_>>(), [3, 14], "{ended:?}");
        assert!(ended[3].1.contains("missing") && ended[4].1.is_empty(), "{ended:?}");
        assert!(folder.path().join("one file").exists());
        assert!(!folder.path().join("two").exists() && !folder.path().join("b").exists());
        assert_eq!(
            [("abc", 10), ("ab", 0)].map(|(line, bytes)| Operation::filling(line, bytes)),
            [b"abc\nabc\nab".to_vec(), Vec::new()]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_tree_has_the_documented_files_and_times() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a tree").display().to_string();
        let made = Operation::Tree { folder: folder.clone(), line: "-n %s".into(), files: 20 };
        let ended =
            run(&[made, Operation::Times { folder: folder.clone() }, Operation::DiskUsage { folder: folder.clone() }]);
        let tree = Operation::tree("-n %s", 20);
        for (path, content) in &tree {
            assert_eq!(std::fs::read(format!("{folder}/{path}")).unwrap(), *content, "{path}");
        }
        let times = &ended[1].0;
        assert_eq!(times.lines().filter(|line| line.contains(" ./")).count(), tree.len());
        for line in times.lines() {
            let seconds = line.split(' ').next().unwrap().parse().unwrap();
            let changed = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            assert_eq!(changed.year(), Operation::YEAR, "{line}");
        }
        let used = &ended[2].0;
        assert!(used.split_whitespace().next().unwrap().parse::<u64>().unwrap() > 0, "{used}");
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let words = prop_oneof![".{0,12}", "[\"$'\\\\ \n;}{()]{0,6}"];
        (0..5u8, words.clone(), words, any::<u16>()).prop_map(|(kind, path, other, number)| match kind {
            0 => Operation::Write { path, content: other },
            1 => Operation::Read { path },
            2 => Operation::Fill { path, line: other, bytes: number.into() },
            3 => Operation::WriteNested { folder: path, name: other.clone(), content: other },
            _ => Operation::Resolve { names: vec![path, other] },
        })
    }

    proptest! {
        #[test]
        fn any_operations_are_decoded_but_no_truncated_ones(
            operations in prop::collection::vec(operation(), 1..5), cut in any::<prop::sample::Index>(),
        ) {
            let command = encode(&operations, "mark");
            prop_assert_eq!(decode(&command), Some(("mark", operations)));
            prop_assert_eq!(decode(&command[..cut.index(command.len())]), None);
            let mut other = command.clone();
            let script = other[2].clone();
            let at = cut.index(script.len());
            other[2] = script.chars().take(at).collect();
            prop_assert!(decode(&other).is_none_or(|(_, fewer)| encode(&fewer, "mark") == other));
        }

        #[test]
        fn any_outputs_are_split_at_their_marks(
            outputs in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), any::<u8>()), 0..5),
            garbage in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'm'), any::<u8>()], 0..40),
        ) {
            // Random in production, so that no output contains it.
            let mark = "0123456789abcdef";
            let stdout = outputs.iter().flat_map(|(output, code)| {
                [output.as_slice(), marks(mark, i32::from(*code))[0].as_bytes()].concat()
            });
            let stdout: Vec<u8> = stdout.chain(garbage.iter().copied()).collect();
            let parts: Vec<_> = parts(&stdout, mark).map(|(part, code)| (part.to_owned(), code.unwrap_or(-1))).collect();
            let outputs: Vec<_> = outputs.into_iter().map(|(output, code)| (output, i32::from(code))).collect();
            prop_assert_eq!(parts, outputs);
            super::parts(&garbage, "m").for_each(drop);
        }
    }
}
