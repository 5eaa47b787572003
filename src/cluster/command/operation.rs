//! Everything that the program does inside a container: a closed set of operations, each with a fixed script.
//!
//! Scripts run in any POSIX shell with busybox or the usual tools. Content and paths are arguments, never part of a script.

use crate::cluster::concurrency::Work;

/// An operation in a container; paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a file in place and at once, because rsync would see a renamed file vanish. The content is an argument, so
    /// keep it to some kilobytes.
    Write { path: String, content: String },
    /// Writes a file of any size in place: the repeated line, cut at `bytes`.
    Fill { path: String, line: String, bytes: usize },
    /// Appends to a file: the repeated line, cut at `bytes`.
    Append { path: String, line: String, bytes: usize },
    /// Writes the many small files of [`Self::tree`] into new folders, with times in [`Self::YEAR`].
    Tree { folder: String, line: String, files: usize },
    /// Prints a file.
    Read { path: String },
    /// Prints the size and the SHA-1 of a file, or nothing if it does not exist. For files too large to read.
    Digest { path: String },
    /// Creates a folder and its parents, writes a file into it, and prints the file.
    WriteNested { folder: String, name: String, content: String },
    /// Prints the names and contents of the files directly in a folder whose names have the prefix, each followed by NUL. A
    /// prefix with `/` looks into a subfolder.
    Gather { folder: String, prefix: String },
    /// Prints the mtimes of all files below a folder, one per line: seconds since 1970, a space and the relative path.
    Times { folder: String },
    /// Prints the entries directly in a folder whose names have the prefix: mtime in seconds since 1970, a space, disk usage
    /// in KiB, a space, name and NUL.
    Ages { folder: String, prefix: String },
    /// Prints the disk usage of a folder, in KiB.
    DiskUsage { folder: String },
    /// Removes a file, or a folder with its content, if it exists.
    Remove { path: String },
    /// Removes the entries directly in a folder whose names have the prefix, which must not be empty, and prints their
    /// names, each followed by NUL.
    Sweep { folder: String, prefix: String },
    /// Prints the usage of the container's cgroup (version 2 or 1): memory in bytes, the current time in hundredths of a
    /// second, and the CPU time used so far in nanoseconds.
    Usage,
    /// Resolves names in the namespace's cluster domain with the name server of the container's `resolv.conf`. Prints each
    /// name server after `! `, then for each name, in any order, `? `, the name, the exit code, and nslookup's output.
    Resolve { names: Vec<String> },
    /// Connects to a TCP port and closes the connection.
    Connect { address: String, port: u16 },
}

// The scripts; their arguments are `$1` and so on.
const WRITE: &str = r#"printf %s "$2" >"$1""#;
const FILL: &str = r#"yes "$2" | head -c "$3" >"$1""#;
const APPEND: &str = r#"yes "$2" | head -c "$3" >>"$1""#;
/// Almost only shell built-ins: a process for each file would take seconds.
const TREE: &str = r#"mkdir -p "$1" && cd "$1" || return
    file=0
    while [ "$file" -lt "$3" ]; do
        folder=$((file % 5))/$((file % 3))
        [ -d "$folder" ] || mkdir -p "$folder" || return
        lines=$((file % 4))
        while [ "$lines" -gt 0 ]; do
            printf '%s %s\n' "$2" "$file" || return
            lines=$((lines - 1))
        done >"$folder/$file.txt" || return
        file=$((file + 1))
    done
    find . -type f -exec touch -t 200102030405.06 {} +"#;
const READ: &str = r#"cat "$1""#;
const DIGEST: &str = r#"[ ! -e "$1" ] || {
        size=$(wc -c <"$1") && sum=$(sha1sum <"$1") || return
        printf '%d %s\n' "$size" "${sum%% *}"
    }"#;
const WRITE_NESTED: &str = r#"mkdir -p "$1" && printf %s "$3" >"$1/$2" && cat "$1/$2""#;
const GATHER: &str = r#"cd "$1" && for file in "$2"*; do
        [ ! -f "$file" ] || { printf '%s\0' "$file" && cat "$file" && printf '\0'; } || return
    done"#;
const TIMES: &str = r#"cd "$1" && find . -type f -exec stat -c '%Y %n' {} +"#;
const AGES: &str = r#"cd "$1" && for file in "$2"*; do
        [ -e "$file" ] || continue
        changed=$(stat -c %Y "$file") && used=$(du -sk "$file") || return
        printf '%s %s %s\0' "$changed" "${used%%[!0-9]*}" "$file"
    done"#;
const DISK_USAGE: &str = r#"du -sk "$1""#;
const REMOVE: &str = r#"rm -rf "$1""#;
const SWEEP: &str = r#"[ -n "$2" ] && cd "$1" && for file in "$2"*; do
        [ ! -e "$file" ] || { rm -rf "$file" && printf '%s\0' "$file"; } || return
    done"#;
/// Only shell built-ins, so that reading the CPU time uses little of it.
const USAGE: &str = r#"cd /sys/fs/cgroup || return
    { read -r memory <memory.current; } 2>/dev/null || read -r memory <memory/memory.usage_in_bytes || return
    read -r up rest </proc/uptime || return
    if [ -e cpu.stat ]; then
        while read -r key value; do [ "$key" != usage_usec ] || cpu=${value}000; done <cpu.stat
    else
        read -r cpu <cpuacct/cpuacct.usage
    fi
    echo "$memory ${up%.*}${up#*.} $cpu""#;
/// Uses full names, which every nslookup resolves, with the domain from `search`. In parallel: a name server that does not
/// reply costs 5 s once instead of for each name, and a command has 30.
const RESOLVE: &str = r#"domain=$(sed -n 's/^search[[:space:]]\{1,\}\([^[:space:]]*\).*/\1/p' /etc/resolv.conf | head -n 1)
    sed -n 's/^nameserver[[:space:]]\{1,\}/! /p' /etc/resolv.conf
    for name do
        { said=$(nslookup "$name${domain:+.$domain.}" 2>&1); printf '? %s %s\n%s\n' "$name" $? "$said"; } &
    done
    wait"#;
const CONNECT: &str = r#"nc -w 2 "$1" "$2" -e true"#;

impl Operation {
    /// The script and its arguments.
    pub fn call(&self) -> (&'static str, Vec<String>) {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        match self {
            Self::Write { path, content } => (WRITE, own(&[path, content])),
            Self::Fill { path, line, bytes } => (FILL, own(&[path, line, &bytes.to_string()])),
            Self::Append { path, line, bytes } => (APPEND, own(&[path, line, &bytes.to_string()])),
            Self::Tree { folder, line, files } => (TREE, own(&[folder, line, &files.to_string()])),
            Self::Read { path } => (READ, own(&[path])),
            Self::Digest { path } => (DIGEST, own(&[path])),
            Self::WriteNested { folder, name, content } => (WRITE_NESTED, own(&[folder, name, content])),
            Self::Gather { folder, prefix } => (GATHER, own(&[folder, prefix])),
            Self::Times { folder } => (TIMES, own(&[folder])),
            Self::Ages { folder, prefix } => (AGES, own(&[folder, prefix])),
            Self::DiskUsage { folder } => (DISK_USAGE, own(&[folder])),
            Self::Remove { path } => (REMOVE, own(&[path])),
            Self::Sweep { folder, prefix } => (SWEEP, own(&[folder, prefix])),
            Self::Usage => (USAGE, Vec::new()),
            Self::Resolve { names } => (RESOLVE, names.clone()),
            Self::Connect { address, port } => (CONNECT, own(&[address, &port.to_string()])),
        }
    }

    /// The operation with this script. Does not check the arguments: the caller encodes it again and compares.
    pub(super) fn read(script: &str, arguments: &[String]) -> Option<Self> {
        let text = |index: usize| arguments.get(index).cloned().unwrap_or_default();
        let number = |index: usize| text(index).parse().unwrap_or_default();
        let [path, folder, address] = [text(0), text(0), text(0)];
        Some(match script {
            WRITE => Self::Write { path, content: text(1) },
            FILL => Self::Fill { path, line: text(1), bytes: number(2) },
            APPEND => Self::Append { path, line: text(1), bytes: number(2) },
            TREE => Self::Tree { folder, line: text(1), files: number(2) },
            READ => Self::Read { path },
            DIGEST => Self::Digest { path },
            WRITE_NESTED => Self::WriteNested { folder, name: text(1), content: text(2) },
            GATHER => Self::Gather { folder, prefix: text(1) },
            TIMES => Self::Times { folder },
            AGES => Self::Ages { folder, prefix: text(1) },
            DISK_USAGE => Self::DiskUsage { folder },
            REMOVE => Self::Remove { path },
            SWEEP => Self::Sweep { folder, prefix: text(1) },
            USAGE => Self::Usage,
            RESOLVE => Self::Resolve { names: arguments.to_vec() },
            CONNECT => Self::Connect { address, port: text(1).parse().unwrap_or_default() },
            _ => return None,
        })
    }

    /// How a batch of operations counts: one slow operation makes all of it slow.
    pub fn work(operations: &[Self]) -> Work {
        let is_slow = |operation: &Self| {
            matches!(
                operation,
                Self::Resolve { .. }
                    | Self::Connect { .. }
                    | Self::Tree { .. }
                    | Self::DiskUsage { .. }
                    | Self::Append { .. }
            )
        };
        match operations {
            _ if operations.iter().any(is_slow) => Work::Slow,
            _ if operations.iter().all(Self::is_removal) => Work::Removal,
            _ => Work::Quick,
        }
    }

    pub fn is_removal(&self) -> bool {
        matches!(self, Self::Remove { .. } | Self::Sweep { .. })
    }

    /// Whether its only result is the exit code.
    pub fn has_no_output(&self) -> bool {
        matches!(
            self,
            Self::Write { .. } | Self::Fill { .. } | Self::Append { .. } | Self::Tree { .. } | Self::Remove { .. }
        )
    }

    /// Whether it has the same output when it runs again.
    pub fn is_repeatable(&self) -> bool {
        !self.has_no_output() && !self.is_removal()
    }

    /// The year of the mtimes of [`Self::Tree`]: long ago, to detect a copy that does not preserve them.
    pub const YEAR: i16 = 2001;

    /// The content that [`Self::Fill`] and [`Self::Append`] write.
    pub fn filling(line: &str, bytes: usize) -> Vec<u8> {
        let line = format!("{line}\n").into_bytes();
        let mut content = line.repeat(bytes.div_ceil(line.len()));
        content.truncate(bytes);
        content
    }

    /// The files that [`Self::Tree`] writes: paths relative to its folder, with `/`, and contents. Every fourth is empty.
    pub fn tree(line: &str, files: usize) -> Vec<(String, Vec<u8>)> {
        let file = |index: usize| {
            let content = format!("{line} {index}\n").repeat(index % 4);
            (format!("{}/{}/{index}.txt", index % 5, index % 3), content.into_bytes())
        };
        (0..files).map(file).collect()
    }
}

/// The names and contents in the output of [`Operation::Gather`].
pub fn gathered(output: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut parts = output.split(|byte| *byte == 0);
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
}
