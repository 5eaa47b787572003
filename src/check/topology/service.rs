//! `service`: a server's Service is as in the values, and its one ready endpoint is the server's own pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service as Object, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::check::parameter::{Expected, Fact, Span};
use crate::check::{Kind, Need, Site};
use crate::cluster::ResourceExt;
use crate::cluster::server::{is_ready, progress};
use crate::event::{Hop, Outcome, Reason, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// The Service's type.
    #[serde(rename = "type")]
    pub kind: Fact,
    /// Its port.
    pub port: Fact,
    /// The port's NodePort.
    pub node_port: Fact,
    /// The pod's port that it leads to.
    pub target_port: u16,
    /// EndpointSlices follow a pod's readiness within this time.
    pub within: Span,
    /// A container that was restarted must have been running for so long since, or the endpoint may come and go.
    pub restart_window: Span,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    kind: Expected,
    port: Expected,
    node_port: Expected,
    pod: Arc<Pod>,
    /// The server's Services.
    services: Vec<Arc<Object>>,
    /// Their EndpointSlices.
    slices: Vec<Arc<EndpointSlice>>,
}

impl Kind for Service {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Services, Need::Values];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let pod = match site.steady_pod(self.restart_window).await {
            Ok((pod, _)) => pod,
            // A stranger with the server's labels gets a share of the connections: that is to be seen here.
            Err(verdict) => own(site).ok_or(verdict)?,
        };
        let mut seen = Observation {
            server: site.server().to_owned(),
            kind: site.expected(&self.kind)?,
            port: site.expected(&self.port)?,
            node_port: site.expected(&self.node_port)?,
            pod,
            services: Vec::new(),
            slices: Vec::new(),
        };
        let limit = Instant::now() + self.within.0;
        loop {
            let mut changes = site.shared.watch.changes(Some(site.server()));
            let network = site.shared.watch.network().map_err(|error| site.no_answer(&error))?;
            seen.services = network.services(&site.select, site.server());
            seen.slices = seen.services.iter().flat_map(|service| network.slices(service)).collect();
            if self.judge(&seen).outcome == Outcome::Pass || timeout_at(limit, changes.changed()).await.is_err() {
                return Ok(seen);
            }
        }
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let [service] = seen.services.as_slice() else {
            let names: Vec<_> = seen.services.iter().map(|service| service.name_any()).collect();
            let what = if names.is_empty() { "no Service with its labels".to_owned() } else { names.join(", ") };
            let hint = "run helm upgrade again, which makes a missing one; delete one that is not the release's";
            let reason = Reason::new(format!("server {}", seen.server), "exactly one Service", what).hint(hint);
            return Verdict::judged("", vec![reason]).at(Hop::Nfs);
        };
        let name = service.name_any();
        let object = format!("Service {name}");
        let repair = "the live object was edited, or the values are not the release's: run helm upgrade again";
        let mut reasons = Vec::new();
        let mut differs = |what: &str, expected: &Expected, live: String| {
            if let Some(text) = expected.text().filter(|text| *text != live) {
                let expected = format!("{what} {text} ({})", expected.source);
                let live = if live.is_empty() { "none".to_owned() } else { live };
                reasons.push(Reason::new(&object, expected, live).hint(repair));
            }
        };
        let spec = service.spec.as_ref();
        let kind = spec.and_then(|spec| spec.type_.as_deref()).unwrap_or("ClusterIP");
        differs("type", &seen.kind, kind.to_owned());
        let ports: Vec<&ServicePort> = spec
            .iter()
            .flat_map(|spec| spec.ports.iter().flatten())
            .filter(|port| is_tcp(port.protocol.as_deref()))
            .collect();
        // The one that the values mean: a Service may have more.
        let wanted = seen.port.text();
        let port = ports.iter().find(|port| wanted.as_ref().is_none_or(|wanted| port.port.to_string() == *wanted));
        let Some(port) = port else {
            let live = ports.iter().map(|port| port.port.to_string()).collect::<Vec<_>>().join(", ");
            let wanted =
                wanted.map_or("a TCP port".to_owned(), |port| format!("TCP port {port} ({})", seen.port.source));
            let live = if live.is_empty() { "none".to_owned() } else { live };
            reasons.push(Reason::new(&object, wanted, live).hint(repair));
            return Verdict::judged("", reasons).at(Hop::Nfs);
        };
        let node_port = port.node_port.map(|port| port.to_string()).unwrap_or_default();
        differs("NodePort", &seen.node_port, node_port.clone());
        let address = self.endpoint(seen, service, port).unwrap_or_else(|reason| {
            reasons.push(reason);
            String::new()
        });
        let node_port = if node_port.is_empty() { node_port } else { format!(" on NodePort {node_port}") };
        let pod = seen.pod.name_any();
        let summary =
            format!("{name}: {kind}, port {}{node_port}, leads to its own pod {pod} at {address} only", port.port);
        Verdict::judged(summary, reasons).at(Hop::Nfs)
    }
}

impl Service {
    /// The address and port of the one ready endpoint, if that is the server's own pod.
    fn endpoint(&self, seen: &Observation, service: &Object, port: &ServicePort) -> Result<String, Reason> {
        let own = seen.pod.name_any();
        let object = format!("EndpointSlices of Service {}", service.name_any());
        let expected = format!("exactly one ready endpoint, pod {own}, port {}", self.target_port);
        // A Service of two address families has two slices with the same pod.
        let slices = seen.slices.iter().filter(|slice| slice.address_type != "FQDN");
        let all: Vec<(&Endpoint, &EndpointSlice)> =
            slices.flat_map(|slice| slice.endpoints.iter().map(|end| (end, slice.as_ref()))).collect();
        let mut ready: BTreeMap<String, Vec<(&Endpoint, &EndpointSlice)>> = BTreeMap::new();
        for (end, slice) in all.iter().filter(|(end, _)| is_in_use(end)) {
            ready.entry(whose(end, &seen.pod)).or_default().push((end, slice));
        }
        let others: Vec<&str> = ready.keys().map(String::as_str).filter(|name| *name != own).collect();
        let Some(ends) = ready.get(&own) else {
            let what = match others.as_slice() {
                [] if seen.slices.is_empty() => "no EndpointSlice".to_owned(),
                [] if all.iter().any(|(end, _)| whose(end, &seen.pod) == own) => {
                    let state = if is_ready(&seen.pod) { "though the pod is".to_owned() } else { progress(&seen.pod) };
                    format!("its endpoint is not ready: {state}")
                }
                [] => "no ready endpoint".to_owned(),
                others => format!("others: {}", others.join(", ")),
            };
            let hint = unselected(service, &seen.pod).unwrap_or_else(|| {
                format!("the Service does select the pod; see the test pods::{}, whether the pod is Ready", seen.server)
            });
            return Err(Reason::new(object, expected, what).hint(hint));
        };
        if !others.is_empty() {
            let what = format!("also {}", others.join(", "));
            let hint = "it has the labels that the Service selects, so it may get connections: delete it, or its owner";
            return Err(Reason::new(object, expected, what).hint(hint));
        }
        let leads = |open: &EndpointPort| {
            let is_its = open.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default();
            is_its
                && is_tcp(open.protocol.as_deref())
                && open.port.is_none_or(|open| open == i32::from(self.target_port))
        };
        if let Some((_, slice)) = ends.iter().find(|(_, slice)| !slice.ports.iter().flatten().any(leads)) {
            let open: Vec<String> =
                slice.ports.iter().flatten().filter_map(|open| Some(open.port?.to_string())).collect();
            let what = if open.is_empty() {
                "the pod, but no port".to_owned()
            } else {
                format!("the pod, port {}", open.join(", "))
            };
            let target = match &port.target_port {
                Some(IntOrString::Int(number)) => number.to_string(),
                Some(IntOrString::String(name)) => format!("`{name}`"),
                None => port.port.to_string(),
            };
            let hint = format!(
                "the Service's targetPort is {target}: make it {} or the name that the pod's container gives this port",
                self.target_port
            );
            return Err(Reason::new(object, expected, what).hint(hint));
        }
        let addresses = ends.iter().filter_map(|(end, _)| end.addresses.first());
        Ok(addresses.map(|address| format!("{address} port {}", self.target_port)).collect::<Vec<_>>().join(" and "))
    }
}

/// Of several pods with the server's labels the one that its Deployment has made.
fn own(site: &Site) -> Option<Arc<Pod>> {
    let server = site.shared.watch.population().ok()?.server(&site.select, site.server());
    let current = server.current();
    match current.iter().filter(|pod| server.is_newest(pod)).collect::<Vec<_>>().as_slice() {
        [own] if current.len() > 1 && server.obstacle().is_none() => Some(Arc::clone(own)),
        _ => None,
    }
}

/// Whether connections are sent to it. Source: `conditions` in the API's reference; no `ready` stands for true.
fn is_in_use(end: &Endpoint) -> bool {
    let conditions = end.conditions.as_ref();
    conditions.and_then(|conditions| conditions.ready) != Some(false)
        && conditions.and_then(|conditions| conditions.terminating) != Some(true)
}

/// The name of the endpoint's pod, or else what is known of it.
fn whose(end: &Endpoint, own: &Pod) -> String {
    let target = end.target_ref.as_ref();
    if let Some(name) = target.and_then(|target| target.name.as_ref()) {
        // Another pod of the same name that is gone.
        let is_older =
            target.and_then(|target| target.uid.as_ref()).is_some_and(|uid| Some(uid) != own.metadata.uid.as_ref());
        let is_own_name = own.metadata.name.as_ref() == Some(name);
        return if is_own_name && is_older { format!("a former {name}") } else { name.clone() };
    }
    let status = own.status.as_ref();
    let ips = status.iter().flat_map(|status| status.pod_ips.iter().flatten()).map(|ip| &ip.ip);
    let mut ips = ips.chain(status.and_then(|status| status.pod_ip.as_ref()));
    if ips.any(|ip| end.addresses.contains(ip)) { own.name_any() } else { end.addresses.join(", ") }
}

/// What the Service selects and the pod does not have, for a hint.
fn unselected(service: &Object, pod: &Pod) -> Option<String> {
    let selector = service.spec.as_ref()?.selector.as_ref();
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        return Some("the Service has no selector: run helm upgrade again".to_owned());
    };
    let (key, value) = selector.iter().find(|(key, value)| pod.labels().get(*key) != Some(value))?;
    let label = pod.labels().get(key).map_or("no such label".to_owned(), |label| format!("`{label}`"));
    Some(format!("the Service selects {key}={value}, the pod has {label}: run helm upgrade again"))
}

fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("TCP"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{output_pod, with};

    fn endpoint(pod: &str, uid: &str, address: &str) -> Value {
        json!({"addresses": [address], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": pod, "uid": uid}})
    }

    fn own() -> Value {
        endpoint("nas-output-1-abc", "pod-1", "10.244.0.5")
    }

    fn slice(family: &str, endpoints: &[Value], ports: &Value) -> Value {
        json!({"metadata": {"name": "nas"}, "addressType": family, "endpoints": endpoints, "ports": ports})
    }

    fn nfs() -> Value {
        json!([{"name": "nfs", "port": 2049, "protocol": "TCP"}])
    }

    fn judged(changes: &[(&str, Value)]) -> Verdict {
        let service = json!({"metadata": {"name": "nas"}, "spec": {
            "type": "NodePort", "selector": {"app.kubernetes.io/component": "nas-output-1"},
            "ports": [{"name": "nfs", "port": 2049, "nodePort": 32154, "targetPort": "nfs", "protocol": "TCP"}]}});
        let says = |value: Value| json!({"value": value, "source": "the values"});
        let seen = json!({"server": "nas-output-1", "kind": says(json!("NodePort")), "port": says(json!(2049)),
            "node_port": says(json!(32154)), "pod": with(output_pod(), &[("/status/podIP", json!("10.244.0.5"))]),
            "services": [service], "slices": [slice("IPv4", &[own()], &nfs())]});
        let fact = || Fact { values: "x".into(), default: None };
        let within = Span(std::time::Duration::ZERO);
        let (kind, port, node_port, restart_window) = (fact(), fact(), fact(), within);
        let check = Service { kind, port, node_port, target_port: 2049, within, restart_window };
        check.judge(&serde_json::from_value(with(seen, changes)).unwrap())
    }

    fn fails(changes: &[(&str, Value)], word: &str) {
        let verdict = judged(changes);
        let [reason] = verdict.reasons.as_slice() else { panic!("{changes:?}: {verdict:?}") };
        assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Nfs)), "{changes:?}");
        let text = format!("{} {} {}", reason.expected, reason.seen, reason.hint);
        assert!(text.contains(word), "{word}: {text}");
    }

    #[test]
    fn a_service_as_in_the_values_that_leads_to_its_own_pod_passes() {
        let verdict = judged(&[]);
        assert_eq!((verdict.reasons, verdict.outcome), (Vec::new(), Outcome::Pass));
        let own = with(own(), &[("/conditions", json!({}))]);
        assert_eq!(judged(&[("/slices/0/endpoints", json!([own]))]).outcome, Outcome::Pass, "ready where it is unsaid");
        let bare = json!([{"addresses": ["10.244.0.5"]}]);
        assert_eq!(judged(&[("/slices/0/endpoints", bare)]).outcome, Outcome::Pass, "by its address");
        assert_eq!(judged(&[("/node_port/value", Value::Null)]).outcome, Outcome::Pass, "the values do not say");
    }

    #[test]
    fn two_address_families_a_second_port_and_an_old_endpoint_are_no_fault() {
        let six = slice("IPv6", &[endpoint("nas-output-1-abc", "pod-1", "fd00::5")], &nfs());
        assert_eq!(judged(&[("/slices/-", six)]).outcome, Outcome::Pass);
        let metrics = json!({"name": "metrics", "port": 9100, "protocol": "TCP"});
        assert_eq!(judged(&[("/services/0/spec/ports/-", metrics)]).outcome, Outcome::Pass);
        let udp = json!({"name": "nfs-udp", "port": 2049, "nodePort": 32164, "protocol": "UDP"});
        let both = json!([udp, {"name": "nfs", "port": 2049, "nodePort": 32154, "protocol": "TCP"}]);
        assert_eq!(
            judged(&[("/services/0/spec/ports", both)]).reasons,
            Vec::new(),
            "the same port of another protocol"
        );
        let going = json!({"ready": false, "serving": true, "terminating": true});
        let old = with(endpoint("nas-output-1-old", "pod-0", "10.244.0.4"), &[("/conditions", going)]);
        assert_eq!(judged(&[("/slices/0/endpoints/-", old)]).outcome, Outcome::Pass);
    }

    #[test]
    fn another_type_port_or_node_port_fails() {
        fails(&[("/services/0/spec/type", json!("ClusterIP"))], "type NodePort (the values) ClusterIP");
        fails(&[("/services/0/spec/ports/0/nodePort", json!(32164))], "32164");
        fails(&[("/services/0/spec/ports/0/nodePort", Value::Null)], "none");
        fails(&[("/services/0/spec/ports/0/port", json!(20490))], "20490");
    }

    #[test]
    fn no_service_and_two_fail() {
        fails(&[("/services", json!([]))], "no Service");
        fails(&[("/services/-", json!({"metadata": {"name": "other"}}))], "nas, other");
    }

    #[test]
    fn an_endpoint_that_is_missing_not_ready_or_another_pod_fails() {
        fails(&[("/slices", json!([]))], "no EndpointSlice");
        let changed = json!({"app.kubernetes.io/component": "nas-output-9"});
        let empty = slice("IPv4", &[], &Value::Null);
        fails(&[("/services/0/spec/selector", changed), ("/slices", json!([empty]))], "nas-output-9, the pod has");
        fails(&[("/slices/0/endpoints/0/conditions/ready", json!(false))], "not ready");
        fails(
            &[("/slices/0/endpoints/0", endpoint("nas-output-2-x", "pod-9", "10.244.0.9"))],
            "others: nas-output-2-x",
        );
        fails(&[("/slices/0/endpoints/0/targetRef/uid", json!("pod-0"))], "a former nas-output-1-abc");
    }

    #[test]
    fn an_eighth_pod_with_the_servers_labels_fails_by_name() {
        let second = slice("IPv4", &[endpoint("nas-extra", "pod-8", "10.244.0.8")], &Value::Null);
        fails(&[("/slices/-", second)], "also nas-extra");
    }

    #[test]
    fn a_ready_address_without_the_port_fails() {
        let target = ("/services/0/spec/ports/0/targetPort", json!("nfsd"));
        fails(&[("/slices/0/ports", Value::Null), target], "targetPort is `nfsd`");
        fails(&[("/slices/0/ports/0/port", json!(111))], "port 111");
    }
}
