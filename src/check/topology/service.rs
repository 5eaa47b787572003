//! `service`: a server's Service matches the values, and its only ready endpoint is the server's own pod.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service as Object, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::check::findings::{Findings, listed, or_none};
use crate::check::parameter::{DurationParam, Expected};
use crate::check::site::newest_of_several;
use crate::check::{Kind, Need, Site, System};
use crate::cluster::ResourceExt;
use crate::cluster::server::{is_ready, progress};
use crate::event::{Hop, Outcome, Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// How long EndpointSlices may take to follow a pod's readiness.
    pub within: DurationParam,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    kind: Expected,
    port: Expected,
    node_port: Expected,
    pod: Arc<Pod>,
    services: Vec<Arc<Object>>,
    slices: Vec<Arc<EndpointSlice>>,
}

impl Kind for Service {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Services, Need::Values];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let pod = match site.steady_pod().await {
            Ok((pod, _)) => pod,
            // Another pod with the server's labels receives a share of the connections, which this test must report.
            Err(verdict) => {
                let snapshot = site.shared.watch.snapshot().ok();
                let server = snapshot.map(|snapshot| snapshot.server(&site.system.pods, site.server()));
                server.as_ref().and_then(newest_of_several).ok_or(verdict)?
            }
        };
        let facts = &site.system.facts;
        let mut seen = Observation {
            server: site.server().to_owned(),
            kind: site.expected(facts.service_type.as_ref())?,
            port: site.expected(facts.service_port.as_ref())?,
            node_port: site.expected(facts.node_port.as_ref())?,
            pod,
            services: Vec::new(),
            slices: Vec::new(),
        };
        let deadline = Instant::now() + self.within.0;
        loop {
            let mut changes = site.shared.watch.changes(Some(site.server()));
            let network = site.shared.watch.network().map_err(|error| site.request_failed(&error))?;
            seen.services = network.services(&site.system.pods, site.server());
            seen.slices = seen.services.iter().flat_map(|service| network.slices(service)).collect();
            if self.judge(&site.system, &seen).outcome == Outcome::Pass
                || timeout_at(deadline, changes.changed()).await.is_err()
            {
                return Ok(seen);
            }
        }
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let [service] = seen.services.as_slice() else {
            let names = listed(seen.services.iter().map(|service| service.name_any()));
            let what = if names.is_empty() { "no Service with its labels".to_owned() } else { names };
            let hint =
                "run helm upgrade again, which recreates a missing Service; delete one that is not the release's";
            let reason = Reason::new(format!("server {}", seen.server), "exactly one Service", what);
            return Verdict::fail(reason.hint(hint)).at(Hop::Nfs);
        };
        let name = service.name_any();
        let object = format!("Service {name}");
        let hint = "run helm upgrade again: the live object was edited, or the values are not the release's";
        let mut found = Findings::default();
        let spec = service.spec.as_ref();
        let kind = spec.and_then(|spec| spec.type_.as_deref()).unwrap_or("ClusterIP");
        if let Some(expected) = seen.kind.mismatch("type", kind) {
            found.add_finding(&object, expected, or_none(kind), hint);
        }
        let ports = spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let ports: Vec<&ServicePort> = ports.filter(|port| is_tcp(port.protocol.as_deref())).collect();
        // A Service may have more ports than the one in the values.
        let wanted = seen.port.text();
        let port = ports.iter().find(|port| wanted.as_ref().is_none_or(|wanted| port.port.to_string() == *wanted));
        let Some(port) = port else {
            let live = or_none(listed(ports.iter().map(|port| port.port)));
            let wanted = wanted.map_or("a TCP port".to_owned(), |wanted| format!("TCP port {wanted}"));
            let expected = format!("{wanted} ({})", seen.port.source);
            return found.fail(Reason::new(object, expected, live).hint(hint)).at(Hop::Nfs);
        };
        let node_port = port.node_port.map(|port| port.to_string()).unwrap_or_default();
        if let Some(expected) = seen.node_port.mismatch("NodePort", &node_port) {
            found.add_finding(object, expected, or_none(&*node_port), hint);
        }
        let node_port = if node_port.is_empty() { node_port } else { format!(" on NodePort {node_port}") };
        let address = endpoint(system.export.port, seen, service, port).unwrap_or_else(|reason| {
            found.add(reason);
            String::new()
        });
        let (port, pod) = (port.port, seen.pod.name_any());
        let summary = format!("{name}: {kind}, port {port}{node_port}, leads only to its own pod {pod} at {address}");
        found.verdict(summary).at(Hop::Nfs)
    }
}

/// The address and port of the only ready endpoint, if it is the server's own pod.
fn endpoint(target: u16, seen: &Observation, service: &Object, port: &ServicePort) -> Result<String, Reason> {
    let own = seen.pod.name_any();
    let object = format!("EndpointSlices of Service {}", service.name_any());
    let expected = format!("exactly one ready endpoint, pod {own}, port {target}");
    // A dual-stack Service has two slices with the same pod.
    let all = seen
        .slices
        .iter()
        .flat_map(|slice| slice.endpoints.iter().map(move |end| (pod_name(end, &seen.pod), end, slice)));
    let (ready, idle): (Vec<_>, Vec<_>) = all.partition(|(_, end, _)| is_in_use(end));
    let (ends, others): (Vec<_>, Vec<_>) = ready.into_iter().partition(|(name, ..)| *name == own);
    let others = listed(others.into_iter().map(|(name, ..)| name).collect::<BTreeSet<_>>());
    let matches_port = |open: &EndpointPort| {
        let has_name = open.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default();
        let is_target = open.port.is_none_or(|open| open == i32::from(target));
        has_name && is_tcp(open.protocol.as_deref()) && is_target
    };
    let (what, hint) = if ends.is_empty() {
        let what = if !others.is_empty() {
            format!("other pods: {others}")
        } else if seen.slices.is_empty() {
            "no EndpointSlice".to_owned()
        } else if idle.iter().any(|(name, ..)| *name == own) {
            let state = if is_ready(&seen.pod) {
                ", although the pod is".to_owned()
            } else {
                format!(": {}", progress(&seen.pod))
            };
            format!("its endpoint is not ready{state}")
        } else {
            "no ready endpoint".to_owned()
        };
        let is_selected = idle.iter().any(|(name, ..)| *name == own);
        let labels =
            if is_selected { "" } else { "check whether the pod has the labels that the Service selects, and " };
        (what, format!("{labels}see the test pods::{}", seen.server))
    } else if !others.is_empty() {
        let hint = "delete the other pod or its owner: the Service selects its labels, so it may receive connections";
        (format!("also {others}"), hint.to_owned())
    } else if let Some((.., slice)) = ends.iter().find(|(.., slice)| !slice.ports.iter().flatten().any(matches_port)) {
        let open = listed(slice.ports.iter().flatten().filter_map(|open| open.port));
        let what = if open.is_empty() { "the pod, but no port".to_owned() } else { format!("the pod, port {open}") };
        (what, format!("set the Service's targetPort to {target} or to the container's name for this port"))
    } else {
        let addresses = ends.iter().filter_map(|(_, end, _)| end.addresses.first());
        return Ok(addresses.map(|address| format!("{address} port {target}")).collect::<Vec<_>>().join(" and "));
    };
    Err(Reason::new(object, expected, what).hint(hint))
}

/// Whether the endpoint receives connections. According to the API reference, a missing `ready` means true.
fn is_in_use(end: &Endpoint) -> bool {
    let conditions = end.conditions.as_ref();
    conditions.and_then(|conditions| conditions.ready) != Some(false)
        && conditions.and_then(|conditions| conditions.terminating) != Some(true)
}

fn addresses(pod: &Pod) -> impl Iterator<Item = &String> {
    let status = pod.status.as_ref();
    let ips = status.into_iter().flat_map(|status| status.pod_ips.iter().flatten()).map(|ip| &ip.ip);
    ips.chain(status.and_then(|status| status.pod_ip.as_ref()))
}

/// The name of the endpoint's pod, or else its addresses.
fn pod_name(end: &Endpoint, own: &Pod) -> String {
    match &end.target_ref {
        // An earlier pod of the same name.
        Some(ObjectReference { name: Some(name), uid: Some(uid), .. })
            if *name == own.name_any() && own.uid().as_ref() != Some(uid) =>
        {
            format!("an earlier {name}")
        }
        Some(ObjectReference { name: Some(name), .. }) => name.clone(),
        // The endpoint was created by hand, or for a Service without a selector.
        _ if addresses(own).any(|ip| end.addresses.contains(ip)) => own.name_any(),
        _ => end.addresses.join(", "),
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("TCP"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::cluster::example::{output_pod, with};

    fn endpoint(pod: &str, uid: &str, address: &str) -> Value {
        json!({"addresses": [address], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": pod, "uid": uid}})
    }

    fn slice(family: &str, endpoints: &[Value]) -> Value {
        let ports = json!([{"name": "nfs", "port": 2049, "protocol": "TCP"}]);
        json!({"metadata": {"name": "nas"}, "addressType": family, "endpoints": endpoints, "ports": ports})
    }

    fn judged(changes: &[(&str, Value)]) -> Verdict {
        let service = json!({"metadata": {"name": "nas"}, "spec": {
            "type": "NodePort", "selector": {"app.kubernetes.io/component": "nas-output-1"},
            "ports": [{"name": "nfs", "port": 2049, "nodePort": 32154, "targetPort": "nfs", "protocol": "TCP"}]}});
        let expected = |value: Value| json!({"value": value, "source": "the values"});
        let own = endpoint("nas-output-1-abc", "pod-1", "10.244.0.5");
        let seen = json!({"server": "nas-output-1", "kind": expected(json!("NodePort")), "port": expected(json!(2049)),
            "node_port": expected(json!(32154)), "pod": with(output_pod(), &[("/status/podIP", json!("10.244.0.5"))]),
            "services": [service], "slices": [slice("IPv4", &[own])]});
        judged_by::<Service>(json!({"within": "1s"}), with(seen, changes))
    }

    #[test]
    fn equivalent_spellings_and_additional_ports_and_endpoints_pass() {
        let udp = json!({"name": "nfs-udp", "port": 2049, "nodePort": 32164, "protocol": "UDP"});
        let tcp = json!({"name": "nfs", "port": 2049, "nodePort": 32154, "protocol": "TCP"});
        let terminating = json!({"ready": false, "serving": true, "terminating": true});
        let old = with(endpoint("nas-output-1-old", "pod-0", "10.244.0.4"), &[("/conditions", terminating)]);
        for change in [
            ("/slices/0/endpoints/0/conditions", json!({})),
            ("/slices/0/endpoints", json!([{"addresses": ["10.244.0.5"]}])),
            ("/node_port/value", Value::Null),
            ("/slices/-", slice("IPv6", &[endpoint("nas-output-1-abc", "pod-1", "fd00::5")])),
            ("/services/0/spec/ports/-", json!({"name": "metrics", "port": 9100, "protocol": "TCP"})),
            ("/services/0/spec/ports", json!([udp, tcp])),
            ("/slices/0/endpoints/-", old),
        ] {
            assert_eq!(judged(std::slice::from_ref(&change)).reasons, Vec::new(), "{change:?}");
        }
    }

    #[test]
    fn each_difference_fails_with_its_own_message() {
        let other = |pod: &str| slice("IPv4", &[endpoint(pod, "pod-9", "10.244.0.9")]);
        for (pointer, value, words) in [
            ("/services/0/spec/ports/0/port", json!(20490), "20490"),
            ("/services/-", json!({"metadata": {"name": "other"}}), "nas, other"),
            ("/slices", json!([]), "no EndpointSlice"),
            ("/slices/0/endpoints/0/conditions/ready", json!(false), "not ready"),
            ("/slices/0/endpoints/0/targetRef/uid", json!("pod-0"), "an earlier nas-output-1-abc"),
            ("/slices/-", other("nas-extra"), "also nas-extra"),
            ("/slices/0/ports/0/port", json!(111), "port 111"),
        ] {
            let verdict = judged(&[(pointer, value)]);
            let [reason] = verdict.reasons.as_slice() else { panic!("{pointer}: {verdict:?}") };
            let text = format!("{} {} {}", reason.expected, reason.seen, reason.hint);
            assert!(text.contains(words) && verdict.hop == Some(Hop::Nfs), "{words}: {text}");
        }
    }
}
