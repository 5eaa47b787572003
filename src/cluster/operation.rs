//! What the harness does inside a container: a closed set of operations, each with a fixed command.

/// An operation in a container; paths are absolute paths in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a file in place and in one go. A rename would show rsync a file that vanishes.
    Write {
        /// The file.
        path: String,
        /// Its whole content; passed as an argument, so keep it to some kilobytes.
        content: String,
    },
    /// Reads a file to standard output.
    Read {
        /// The file.
        path: String,
    },
    /// Removes a file; one that is not there is fine.
    Remove {
        /// The file.
        path: String,
    },
}

impl Operation {
    /// The command and its arguments. Content and paths are arguments, never part of a script.
    pub fn argv(&self) -> Vec<&str> {
        match self {
            Self::Write { path, content } => vec!["sh", "-c", r#"printf %s "$2" >"$1""#, "write", path, content],
            Self::Read { path } => vec!["cat", path],
            Self::Remove { path } => vec!["rm", "-f", path],
        }
    }
}
