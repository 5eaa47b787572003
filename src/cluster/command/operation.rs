//! What the harness does inside a container: a closed set of operations, each with a fixed script.
//!
//! Scripts are for any POSIX shell with busybox's or the usual tools. Content and paths are arguments, never part of one.

use crate::cluster::concurrency::Work;

/// An operation in a container; paths are absolute paths in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a file in place and in one go: a rename would show rsync a file that vanishes. Its whole content is an
    /// argument, so keep it to some kilobytes.
    Write { path: String, content: String },
    /// Writes a file of any size in place: a line over and over, cut off at the size.
    Fill { path: String, line: String, bytes: usize },
    /// Writes more to the end of a file: a line over and over, cut off at so many bytes.
    Append { path: String, line: String, bytes: usize },
    /// Writes many small files into new folders; [`Self::tree`] says which. All are old: changed in [`Self::YEAR`].
    Tree { folder: String, line: String, files: usize },
    /// Reads a file to standard output.
    Read { path: String },
    /// The size and the SHA-1 of a file, as [`Self::digest`] has them; nothing if there is none. For files that are too
    /// large to be read.
    Digest { path: String },
    /// Makes a folder and those above it, writes a file into it, and reads that to standard output.
    WriteNested { folder: String, name: String, content: String },
    /// The names and contents of the files directly in a folder whose names begin alike, each ended by NUL. With `/` in
    /// the prefix they are of files in a folder there.
    Gather { folder: String, prefix: String },
    /// When the files in a folder and below were changed: seconds since 1970, a space and the path relative to it, in
    /// lines.
    Times { folder: String },
    /// What is directly in a folder and whose names begin alike: when it was changed in seconds since 1970, a space,
    /// how much disk it uses in KiB, a space, its name and NUL.
    Ages { folder: String, prefix: String },
    /// How much disk a folder uses, in KiB.
    DiskUsage { folder: String },
    /// Removes a file, or a folder and what is in it; one that is not there is fine.
    Remove { path: String },
    /// Removes what is directly in a folder and whose names begin alike, and prints those names, each ended by NUL. The
    /// prefix is never empty.
    Sweep { folder: String, prefix: String },
    /// What the container's cgroup counts: memory in bytes, the time in hundredths of a second, and the CPU time used
    /// until then in nanoseconds. Version 2 of cgroups, else version 1.
    Usage,
    /// Asks the name server of the container's `resolv.conf` for names, in the namespace's cluster domain. Prints each
    /// name server after `! `, then for each name, in any order, `? `, the name, the exit code, and what nslookup said.
    Resolve { names: Vec<String> },
    /// Connects to a TCP port and closes the connection.
    Connect { address: String, port: u16 },
}

// The scripts, which take their arguments as `$1` and so on.
const WRITE: &str = r#"printf %s "$2" >"$1""#;
const FILL: &str = r#"yes "$2" | head -c "$3" >"$1""#;
const APPEND: &str = r#"yes "$2" | head -c "$3" >>"$1""#;
/// Hardly anything but the shell itself: a process for each file would take seconds.
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
/// Nothing but the shell itself, so that reading the CPU time costs little of it.
const USAGE: &str = r#"cd /sys/fs/cgroup || return
    { read -r memory <memory.current; } 2>/dev/null || read -r memory <memory/memory.usage_in_bytes || return
    read -r up rest </proc/uptime || return
    if [ -e cpu.stat ]; then
        while read -r key value; do [ "$key" != usage_usec ] || cpu=${value}000; done <cpu.stat
    else
        read -r cpu <cpuacct/cpuacct.usage
    fi
    echo "$memory ${up%.*}${up#*.} $cpu""#;
/// Only the full name works with every nslookup; `search` has the domain. All at once: a name server that
/// does not answer costs the same 5 s for many names as for one, and a command has 30.
const RESOLVE: &str = r#"domain=$(sed -n 's/^search[[:space:]]\{1,\}\([^[:space:]]*\).*/\1/p' /etc/resolv.conf | head -n 1)
    sed -n 's/^nameserver[[:space:]]\{1,\}/! /p' /etc/resolv.conf
    for name do
        { said=$(nslookup "$name${domain:+.$domain.}" 2>&1); printf '? %s %s\n%s\n' "$name" $? "$said"; } &
    done
    wait"#;
const CONNECT: &str = r#"nc -w 2 "$1" "$2" -e true"#;

impl Operation {
    /// The script, which takes its arguments as `$1` and so on, and those.
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

    /// The operation with that script; whether its arguments are these shows when it is encoded again.
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

    /// What operations that are done together are like: one that is slow makes all slow.
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
            _ if operations.iter().all(Self::removes) => Work::Removal,
            _ => Work::Quick,
        }
    }

    pub fn removes(&self) -> bool {
        matches!(self, Self::Remove { .. } | Self::Sweep { .. })
    }

    /// Whether all that it can say is whether it was done.
    pub fn says_nothing(&self) -> bool {
        matches!(
            self,
            Self::Write { .. } | Self::Fill { .. } | Self::Append { .. } | Self::Tree { .. } | Self::Remove { .. }
        )
    }

    /// Whether its output is the same when it is done twice.
    pub fn may_be_repeated(&self) -> bool {
        !self.says_nothing() && !self.removes()
    }

    /// When files of [`Self::Tree`] were changed: far from now, so that a copy that does not keep that is seen.
    pub const YEAR: i16 = 2001;

    /// What [`Self::Fill`] and [`Self::Append`] write.
    pub fn filling(line: &str, bytes: usize) -> Vec<u8> {
        let line = format!("{line}\n").into_bytes();
        let mut content = line.repeat(bytes.div_ceil(line.len()));
        content.truncate(bytes);
        content
    }

    /// What [`Self::Tree`] writes: paths relative to its folder, with `/`, and contents. Every fourth file is empty.
    pub fn tree(line: &str, files: usize) -> Vec<(String, Vec<u8>)> {
        let file = |index: usize| {
            let content = format!("{line} {index}\n").repeat(index % 4);
            (format!("{}/{}/{index}.txt", index % 5, index % 3), content.into_bytes())
        };
        (0..files).map(file).collect()
    }
}

/// The names and contents in what [`Operation::Gather`] says.
pub fn gathered(said: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut parts = said.split(|byte| *byte == 0);
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
}
