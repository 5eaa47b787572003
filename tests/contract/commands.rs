//! Commands in containers.

use file_simulator_e2e::cluster::{ApiError, End, Operation, ResourceExt};
use file_simulator_e2e::digest::Digest;

use super::clusters::{Connected, select, wanted};

pub async fn pod(api: &Connected, server: &str) -> String {
    let watch = api.cluster.watch(wanted(), false).await.unwrap();
    let snapshot = watch.snapshot().unwrap();
    let ready = snapshot.ready(&select(), "nfs-server");
    ready.iter().find(|(name, _)| name == server).expect("a Ready pod").1.name_any()
}

/// A file's path in an export, unique to this process.
fn file(name: &str) -> String {
    format!("/data/e2e-contract-{name}-{}", std::process::id())
}

pub async fn each_operation_has_its_own_output_and_exit_code(api: Connected) {
    let pod = pod(&api, "nas-input-1").await;
    let (path, folder) = (file("own"), file("folder"));
    let prefix = path.trim_start_matches("/data/").to_owned();
    let operations = [
        Operation::Write { path: path.clone(), content: "a; $(touch b) 'c'\n".into() },
        Operation::Read { path: path.clone() },
        Operation::Read { path: "/data/no-such-file".into() },
        Operation::WriteNested { folder: format!("{folder}/two words"), name: "deep".into(), content: "é".into() },
        Operation::Read { path: format!("{folder}/two words/deep") },
        Operation::Gather { folder: "/data".into(), prefix: prefix.clone() },
        Operation::Ages { folder: "/data".into(), prefix: prefix.clone() },
        Operation::Sweep { folder: "/data".into(), prefix: prefix.clone() },
        Operation::Remove { path: folder.clone() },
        Operation::Usage,
        Operation::Tree { folder: folder.clone(), line: "line".into(), files: 7 },
        Operation::Append { path: format!("{folder}/0/0/more"), line: "abc".into(), bytes: 10 },
        Operation::DiskUsage { folder: folder.clone() },
        Operation::Times { folder: folder.clone() },
        Operation::Remove { path: folder.clone() },
        Operation::Remove { path: folder },
    ];
    let outputs = api.cluster.exec(&pod, "nfs-server", &operations).await.unwrap();
    let texts: Vec<_> = outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect();
    assert_eq!(texts[..2], ["", "a; $(touch b) 'c'\n"]);
    assert_eq!(outputs[2].end, End::Exited(1));
    let error = String::from_utf8_lossy(&outputs[2].stderr);
    assert!(error.contains("/data/no-such-file") && error.contains("No such file or directory"), "{error}");
    assert_eq!(texts[3..5], ["é", "é"]);
    assert!(texts[5].ends_with("\0a; $(touch b) 'c'\n\0"), "{}", texts[5]);
    assert!(
        outputs.iter().enumerate().all(|(index, output)| index == 2 || output.end == End::Exited(0)),
        "{outputs:?}"
    );
    assert_eq!(texts[7], texts[5].split_inclusive('\0').next().unwrap());
    assert!(texts[12].split_once('\t').is_some_and(|(used, _)| used.parse::<u32>().is_ok()), "{}", texts[12]);
    assert_eq!((texts[13].lines().count(), texts[14].as_str()), (8, ""), "{}", texts[13]);
    let [changed, used, name] = texts[6].splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{}", texts[6]) };
    let age = api.cluster.now().as_second() - changed.parse::<i64>().unwrap();
    assert!((-2..60).contains(&age) && used == "4" && format!("/data/{name}") == format!("{path}\0"), "{}", texts[6]);
    let numbers: Vec<u64> = texts[9].split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert!(numbers.len() == 3 && numbers[0] > 10_000, "{numbers:?}");
}

pub async fn large_output_is_complete(api: Connected) {
    let pod = pod(&api, "nas-input-2").await;
    let (path, line, bytes) = (file("large"), "0123456789".to_owned(), 700_001);
    let fill = Operation::Fill { path: path.clone(), line: line.clone(), bytes };
    let digest = Operation::Digest { path: path.clone() };
    let none = Operation::Digest { path: file("none") };
    let operations = [fill, Operation::Read { path: path.clone() }, digest, none, Operation::Remove { path }];
    let outputs = api.cluster.exec(&pod, "nfs-server", &operations).await.unwrap();
    let content = Operation::filling(&line, bytes);
    assert!(outputs[1].stdout == content, "{} bytes received", outputs[1].stdout.len());
    let digests = [&outputs[2], &outputs[3]].map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    assert_eq!(digests, [format!("{}\n", Digest::of(&content)), String::new()]);
    assert!(outputs.iter().all(|output| output.end == End::Exited(0)));
}

pub async fn the_export_is_read_only_for_the_sidecar(api: Connected) {
    let pod = pod(&api, "nas-output-2").await;
    let write = Operation::Write { path: "/nfs-data/e2e-contract".into(), content: String::new() };
    let outputs = api.cluster.exec(&pod, "sync-to-windows", &[write]).await.unwrap();
    assert_eq!(outputs[0].end, End::Exited(1));
    assert!(String::from_utf8_lossy(&outputs[0].stderr).contains("Read-only file system"), "{outputs:?}");
}

pub async fn commands_fail_in_a_missing_container_or_pod(api: Connected) {
    let name = pod(&api, "nas-input-1").await;
    let read = [Operation::Read { path: "/etc/exports".into() }];
    let pod = api.cluster.exec("no-such-pod", "nfs-server", &read).await.unwrap_err();
    assert!(matches!(pod, ApiError::NotFound { .. }), "{pod}");
    let container = api.cluster.exec(&name, "no-such-container", &read).await.unwrap_err();
    assert!(container.to_string().contains("container no-such-container is not valid for pod"), "{container}");
    // This init container has completed.
    let ended = api.cluster.exec(&name, "sync-windows-data", &read).await;
    let ended = ended.map_or_else(|error| error.to_string(), |outputs| outputs[0].problem().unwrap());
    assert!(ended.contains("container not found"), "{ended}");
}

pub async fn names_resolve_and_ports_accept_connections_in_containers(api: Connected) {
    let pod = pod(&api, "nas-input-1").await;
    let watch = api.cluster.watch(wanted(), true).await.unwrap();
    let services = watch.network().unwrap().services(&select(), "nas-output-1");
    let (name, spec) = (services[0].name_any(), services[0].spec.clone().unwrap());
    let names = vec![name.clone(), "no-such-service".to_owned()];
    let address = spec.cluster_ip.unwrap();
    let [open, closed] = [2049, 1].map(|port| Operation::Connect { address: address.clone(), port });
    let mut outputs = Vec::new();
    for operation in [Operation::Resolve { names }, open, closed] {
        outputs.extend(api.cluster.exec(&pod, "nfs-server", &[operation]).await.unwrap());
    }
    let output = String::from_utf8_lossy(&outputs[0].stdout);
    assert!(output.starts_with("! "), "{output}");
    for (start, words) in [(format!("{name} 0\n"), &*address), ("no-such-service 1\n".to_owned(), "NXDOMAIN")] {
        let mut parts = output.split("\n? ");
        assert!(parts.any(|part| part.starts_with(&start) && part.contains(words)), "{start}: {output}");
    }
    assert_eq!(outputs[1].end, End::Exited(0), "{outputs:?}");
    assert_eq!(outputs[2].end, End::Exited(1), "{outputs:?}");
}
