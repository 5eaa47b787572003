//! The default path of the kubeconfig, as in kubectl.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

pub(super) fn kubeconfig() -> Option<PathBuf> {
    let windows = if cfg!(windows) { windows_home(|name| env::var_os(name)) } else { None };
    Some(windows.or_else(env::home_dir)?.join(".kube").join("config"))
}

/// The first home folder on Windows that has a kubeconfig.
fn windows_home(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let drive = set("HOMEDRIVE").zip(set("HOMEPATH")).map(|(drive, path)| [drive, path].into_iter().collect());
    let mut homes = [set("HOME"), drive, set("USERPROFILE")].into_iter().flatten().map(PathBuf::from);
    homes.find(|home| home.join(".kube/config").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_uses_the_first_home_folder_with_a_kubeconfig() {
        let folder = tempfile::tempdir().unwrap();
        let variable = |name: &str| match name {
            "HOMEPATH" => Some("ve".into()),
            name => Some(folder.path().join(name.to_lowercase().replace("homedrive", "dri")).into_os_string()),
        };
        let homes = || windows_home(variable);
        assert_eq!(homes(), None);
        for home in ["userprofile", "drive", "home"] {
            let home = folder.path().join(home);
            std::fs::create_dir_all(home.join(".kube")).unwrap();
            std::fs::write(home.join(".kube/config"), "").unwrap();
            assert_eq!(homes().unwrap(), home);
        }
    }
}
