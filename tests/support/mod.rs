//! Shared by the test binaries: running the program, reading its reports, clusters, golden files, the catalogue of faults.

#![allow(dead_code, unused_imports, unused_macros, reason = "each binary uses a part")]

use std::path::{Path, PathBuf};

pub mod catalogue;
pub mod expected;
pub mod golden;
pub mod junit;
pub mod share;
pub mod simulated;
pub mod speed;
pub mod stub_server;
pub mod test_cluster;
pub mod workspace;

pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Trials named after their functions.
macro_rules! trials {
    ($theme:literal: $($module:ident::$name:ident),+ $(,)?) => {{
        $(use $module::$name;)+
        trials!($theme: $($name),+)
    }};
    ($theme:literal: $($name:ident),+ $(,)?) => {
        vec![$(libtest_mimic::Trial::test(concat!($theme, "::", stringify!($name)), || {
            $name();
            Ok(())
        })),+]
    };
}
