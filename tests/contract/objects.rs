//! Lists, watches, deletion, and errors.

use std::time::Duration;

use file_simulator_e2e::cluster::{ApiError, ResourceExt, Snapshot, Watch, server};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::Api;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::support::speed::scaled;

use super::clusters::{self, Clusters, Connected, client, select, wanted};

const SERVER: &str = "nas-input-3";

fn pods(api: &Connected) -> Api<Pod> {
    Api::namespaced(api.client.clone(), &api.target.namespace)
}

async fn named(api: &Connected, params: &ListParams) -> Vec<String> {
    let found = pods(api).list(params).await.unwrap();
    found.items.iter().map(ResourceExt::name_any).collect()
}

async fn until(watch: &Watch, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let wait = async {
        loop {
            let mut changes = watch.changes(None);
            if let Ok(snapshot) = watch.snapshot()
                && holds(&snapshot)
            {
                return snapshot;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(scaled(Duration::from_secs(60)), wait)
        .await
        .expect("the pods did not reach the expected state")
}

fn is_settled(snapshot: &Snapshot, name: &str) -> bool {
    let server = snapshot.server(&select(), name);
    let is_ready = server.pods.iter().all(|pod| server::is_ready(pod));
    server.rollout_state().pending().is_none() && server.pods.len() == 1 && is_ready
}

pub async fn selectors_match_labels_and_names(api: Connected) {
    let labels = |selector: &str| ListParams::default().labels(selector);
    let all = named(&api, &labels("simulator.protocol=nfs")).await;
    assert_eq!(all.len(), 7, "{all:?}");
    let one = named(&api, &labels("simulator.protocol=nfs,app.kubernetes.io/component=nas-output-1")).await;
    assert!(one.len() == 1 && one[0].contains("nas-output-1"), "{one:?}");
    assert_eq!(named(&api, &labels("simulator.protocol=nfs,app.kubernetes.io/component!=nas-output-1")).await.len(), 6);
    assert!(named(&api, &labels("app.kubernetes.io/component=nas-output-9")).await.is_empty());
    let by_name = ListParams::default().fields(&format!("metadata.name={}", one[0]));
    assert_eq!(named(&api, &by_name).await, one);
    let secrets: Api<Secret> = Api::namespaced(api.client.clone(), &api.target.namespace);
    let metadata = secrets.list_metadata(&labels("owner=helm,name=file-sim")).await.unwrap();
    assert!(metadata.items.iter().all(|secret| secret.labels()["owner"] == "helm") && !metadata.items.is_empty());
}

pub async fn all_pages_of_a_list_have_one_version(api: Connected) {
    let mut page = ListParams::default().labels("simulator.protocol=nfs").limit(3);
    let (mut sizes, mut names, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let found = pods(&api).list(&page).await.unwrap();
        sizes.push(found.items.len());
        names.extend(found.items.iter().map(ResourceExt::name_any));
        versions.extend(found.metadata.resource_version);
        page.continue_token = found.metadata.continue_.filter(|next| !next.is_empty());
        if page.continue_token.is_none() {
            break;
        }
    }
    versions.dedup();
    assert_eq!((sizes, versions.len()), (vec![3, 3, 1], 1));
    assert_eq!(names, named(&api, &ListParams::default().labels("simulator.protocol=nfs")).await);
}

pub async fn the_release_is_settled_and_its_services_route_to_its_pods(api: Connected) {
    let watch = api.cluster.watch(wanted(), true).await.unwrap();
    let servers = ["input-1", "input-2", "input-3", "backup", "output-1", "output-2", "output-3"];
    let servers = servers.map(|name| format!("nas-{name}"));
    let snapshot = until(&watch, |now| servers.iter().all(|server| is_settled(now, server))).await;
    let network = watch.network().unwrap();
    for name in &servers {
        let pod = &snapshot.server(&select(), name).pods[0];
        let services = network.services(&select(), name);
        let slices = network.slices(&services[0]);
        let endpoints: Vec<_> = slices.iter().flat_map(|slice| &slice.endpoints).collect();
        assert_eq!((services.len(), slices.len(), endpoints.len()), (1, 1, 1), "{name}");
        let ip = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
        assert_eq!(endpoints[0].addresses, [ip]);
        assert_eq!(endpoints[0].target_ref.as_ref().unwrap().uid, pod.metadata.uid);
        assert_eq!(slices[0].ports.as_ref().unwrap()[0].port, Some(2049));
        assert!(services[0].spec.as_ref().unwrap().ports.as_ref().unwrap()[0].node_port > Some(0));
    }
    let revisions = api.cluster.revisions().await.unwrap();
    let deployed = api.cluster.deployed(&revisions).await.unwrap().unwrap();
    assert_eq!(
        (deployed.status.as_str(), deployed.contents.overrides["nasServers"].as_array().unwrap().len()),
        ("deployed", 7)
    );
    assert_eq!(api.cluster.has_namespace().await.unwrap(), Some(true));
    assert_eq!(api.cluster.nodes().await.unwrap().len(), 1);
}

pub async fn a_deleted_pod_is_replaced_and_watch_events_are_in_order(api: Connected) {
    let watch = api.cluster.watch(wanted(), false).await.unwrap();
    let before = until(&watch, |now| is_settled(now, SERVER)).await.server(&select(), SERVER).pods[0].clone();
    let params = WatchParams::default().labels(&format!("app.kubernetes.io/component={SERVER}"));
    let version = pods(&api).list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = pods(&api).watch(&params, &version).await.unwrap().boxed();
    let (name, uid) = (before.name_any(), before.uid().unwrap());
    let refused = api.cluster.delete_pod(&name, "00000000-0000-0000-0000-000000000000").await.unwrap_err();
    assert!(refused.to_string().contains("(409)"), "{refused}");
    api.cluster.delete_pod(&name, &uid).await.unwrap();
    let (mut seen, mut versions) = (Vec::new(), Vec::new());
    let read = async {
        // Until the old pod is gone and the new one is Ready, in either order.
        let (mut is_gone, mut is_ready) = (false, false);
        while !(is_gone && is_ready) {
            let (verb, pod) = match events.try_next().await.unwrap().expect("the watch ended") {
                WatchEvent::Added(pod) => ("ADDED", pod),
                WatchEvent::Modified(pod) => ("MODIFIED", pod),
                WatchEvent::Deleted(pod) => ("DELETED", pod),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => panic!("{status:?}"),
            };
            let is_old = pod.uid().unwrap() == uid;
            is_gone |= is_old && verb == "DELETED";
            is_ready |= !is_old && server::is_ready(&pod);
            versions.push(pod.resource_version().unwrap().parse::<u64>().unwrap());
            seen.push((is_old, verb, server::is_terminating(&pod)));
        }
    };
    tokio::time::timeout(scaled(Duration::from_secs(90)), read).await.expect("the pod was not replaced");
    let of = |old: bool| seen.iter().filter(move |(is_old, ..)| *is_old == old).collect::<Vec<_>>();
    assert_eq!(of(true)[0], &(true, "MODIFIED", true), "{seen:?}");
    assert_eq!(of(false)[0], &(false, "ADDED", false), "{seen:?}");
    assert!(of(true).iter().filter(|(_, verb, _)| *verb == "DELETED").count() == 1, "{seen:?}");
    assert!(of(true).last().unwrap().1 == "DELETED", "{seen:?}");
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    let after = until(&watch, |now| is_settled(now, SERVER)).await.server(&select(), SERVER).pods[0].clone();
    assert_ne!(after.uid().unwrap(), uid);
    assert_eq!(after.owner_references()[0].uid, before.owner_references()[0].uid, "the same ReplicaSet");
    let missing = api.cluster.delete_pod(&name, &uid).await.unwrap_err();
    assert!(matches!(missing, ApiError::NotFound { .. }), "{missing}");
}

pub async fn a_watch_from_an_old_version_expires(api: Connected) {
    // The real API server caches pods for long, but not events: etcd compacts their versions after 5 to 10 minutes.
    let namespace = if api.clusters == Clusters::Real { "kube-system" } else { &api.target.namespace };
    let events: Api<Event> = Api::namespaced(api.client.clone(), namespace);
    let expires = async {
        loop {
            match events.watch(&WatchParams::default().timeout(5), "1").await {
                Err(kube::Error::Api(status)) => return status.code,
                Err(error) => panic!("{error}"),
                Ok(stream) => {
                    if let Some(WatchEvent::Error(status)) = stream.boxed().try_next().await.unwrap() {
                        return status.code;
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(900), expires).await, Ok(410));
}

pub async fn warnings_are_selected_by_uid(api: Connected) {
    let watch = api.cluster.watch(wanted(), false).await.unwrap();
    let snapshot = until(&watch, |now| is_settled(now, SERVER)).await;
    let uid = snapshot.server(&select(), SERVER).pods[0].uid().unwrap();
    // A healthy pod may have old warnings, but all returned warnings must belong to that pod.
    let params = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning"));
    let events: Api<Event> = Api::namespaced(api.client.clone(), &api.target.namespace);
    let warnings = events.list(&params).await.unwrap().items;
    assert!(warnings.iter().all(|event| event.involved_object.uid.as_ref() == Some(&uid)), "{warnings:?}");
    assert!(api.cluster.events(&uid).await.unwrap().len() <= warnings.len());
    assert_eq!(api.cluster.events("00000000-0000-0000-0000-000000000000").await.unwrap(), []);
}

pub async fn missing_objects_are_not_found(api: Connected) {
    let pod = pods(&api).get("no-such-pod").await.unwrap_err();
    let kube::Error::Api(status) = pod else { panic!("{pod}") };
    assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    assert_eq!(status.message, "pods \"no-such-pod\" not found");
    let nothing: Api<Pod> = Api::namespaced(api.client.clone(), "no-such-namespace");
    assert!(nothing.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(
        api.cluster.metrics(&wanted()).await.map(|found| found.len()),
        None,
        "the cluster has no metrics-server"
    );
}

pub async fn forbidden_errors_name_verb_and_resource(api: Connected) {
    // The user `nobody` has no permissions on the real cluster; on a simulated cluster, a fault removes one permission.
    let (forbidding, nobody) = match api.clusters {
        Clusters::Real => (None, client(&api.target, Some("nobody")).await),
        Clusters::Simulated => {
            let forbidding = clusters::forbidding().await;
            let client = forbidding.client.clone();
            (Some(forbidding), client)
        }
    };
    let pods: Api<Pod> = Api::namespaced(nobody.clone(), "file-simulator");
    let error = pods.list(&ListParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error}") };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert!(status.message.contains("cannot list resource \"pods\" in API group \"\""), "{}", status.message);
    // An access review agrees.
    let allowed = async |client, verb: &str| {
        let attributes = json!({"namespace": "file-simulator", "verb": verb, "resource": "pods", "group": ""});
        let review = serde_json::from_value(json!({"spec": {"resourceAttributes": attributes}})).unwrap();
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client);
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    assert!(allowed(api.client.clone(), "list").await);
    if forbidding.is_some() {
        assert!(!allowed(nobody.clone(), "list").await);
        assert!(allowed(nobody, "watch").await);
    }
}
