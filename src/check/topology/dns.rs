//! `dns`: inside a pod, the name of a server's Service resolves to its ClusterIP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use serde::{Deserialize, Serialize};

use super::exec::{Executed, NOT_FOUND, exec, ready_pod};
use crate::check::findings::{Findings, listed, or_none};
use crate::check::{Kind, Need, Site, System};
use crate::cluster::{Operation, ResourceExt};
use crate::event::{Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dns {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    services: Vec<Arc<Service>>,
    /// The lookups of all servers' Services; `None` if the server has none.
    #[serde(rename = "said")]
    lookups: Option<Executed>,
    /// Whether some names got no answer at the first attempt.
    #[serde(default)]
    is_late: bool,
}

impl Kind for Dns {
    type Observation = Observation;
    const NEEDS: &'static [Need] = &[Need::Services, Need::Commands];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        // Waits for pods first, because Services exist before their pods.
        let pod = ready_pod(site, |_| true).await?;
        let network = site.shared.watch.network().map_err(|error| site.request_failed(&error))?;
        let all = site.system.names().flat_map(|server| network.services(&site.system.pods, server));
        let mut names: Vec<String> = all.map(|service| service.name_any()).collect();
        names.sort();
        let services = network.services(&site.system.pods, site.server());
        let (mut lookups, mut is_late) = (None, false);
        if !services.is_empty() {
            let place = format!("dns {}", names.join(" "));
            let resolve = Operation::Resolve { names };
            let look_up = async {
                let first = exec(site, &pod, &resolve).await?;
                if Answers::parse(&first.text).timeouts() == 0 {
                    return Ok::<_, Verdict>((first, false));
                }
                // A name server that is short of CPU drops queries.
                Ok((exec(site, &pod, &resolve).await?, true))
            };
            let (executed, late) = site.shared.once(place, look_up).await?;
            (lookups, is_late) = (Some(executed), late);
        }
        Ok(Observation { server: site.server().to_owned(), services, lookups, is_late })
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let Some(lookups) = seen.lookups.as_ref().filter(|_| !seen.services.is_empty()) else {
            let hint = "run helm upgrade again: it recreates a missing Service";
            let reason = Reason::new(format!("server {}", seen.server), "a Service with its labels", "none");
            return Verdict::fail(reason.hint(hint));
        };
        let answers = Answers::parse(&lookups.text);
        let name_servers = or_none(listed(&answers.servers));
        let (mut found, mut resolved, mut no_answers) = (Findings::default(), Vec::new(), false);
        for service in &seen.services {
            let name = service.name_any();
            let wanted = cluster_ips(service);
            let (what, hint) = match answers.names.get(&name) {
                _ if wanted.is_empty() => {
                    let kind = service.spec.as_ref().and_then(|spec| spec.type_.clone()).unwrap_or_default();
                    let what = format!("no ClusterIP: the Service is headless or an ExternalName (type {kind})");
                    (what, "run helm upgrade again; delete a headless Service first")
                }
                Some(Answer::Addresses(ips)) => {
                    let Some(difference) = difference(&wanted, ips) else {
                        resolved.push(format!("{name} resolves to {}", listed(ips)));
                        continue;
                    };
                    difference
                }
                Some(Answer::NoAddress(text)) => {
                    let hint = "read the log of CoreDNS in kube-system, and check the pod's /etc/resolv.conf";
                    (format!("name server {name_servers}: {text}"), hint)
                }
                Some(Answer::Timeout) if answers.timeouts() == answers.names.len() => {
                    no_answers = true;
                    continue;
                }
                Some(Answer::Timeout) => {
                    let what = format!("no answer from name server {name_servers}, which answers for other names");
                    (what, "check whether all CoreDNS pods in kube-system are Ready")
                }
                Some(Answer::NoNslookup(text)) => {
                    let reason = Reason::new(&lookups.place, "nslookup in its image", text);
                    return Verdict::error(reason.hint("give the export's container an image that contains nslookup"));
                }
                None => {
                    let text = lookups.text.trim();
                    return Verdict::error(Reason::new(&lookups.place, format!("an answer for {name}"), text));
                }
            };
            let expected = format!("to resolve to its ClusterIP {} in {}", listed(&wanted), lookups.place);
            found.add_finding(format!("the name of Service {name}"), expected, what, hint);
        }
        if no_answers && found.passes() {
            let place = &lookups.place;
            return Verdict::skip(format!("name server {name_servers} in the resolv.conf of {place} answers no query"));
        }
        if seen.is_late {
            found.note(format!("name server {name_servers} is slow: it did not answer all names at the first attempt"));
        }
        found.verdict(format!("{}, according to name server {name_servers}", resolved.join("; ")))
    }
}

/// How the addresses that a name resolves to differ from the wanted ones, with a hint; `None` if they do not.
fn difference(wanted: &BTreeSet<IpAddr>, found: &BTreeSet<IpAddr>) -> Option<(String, &'static str)> {
    if !required(wanted).all(|ip| found.contains(ip)) {
        let hint = "run the test again after 30 s, for which CoreDNS caches the address of a recreated Service; then \
                    check the CoreDNS pods in kube-system and read their log";
        return Some((listed(found), hint));
    }
    let others = listed(found.difference(wanted));
    let hint = "find where the other address comes from: check the ConfigMap coredns in kube-system";
    (!others.is_empty()).then(|| (format!("also {others}"), hint))
}

fn cluster_ips(service: &Service) -> BTreeSet<IpAddr> {
    let spec = service.spec.as_ref();
    let all = spec.iter().flat_map(|spec| spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip));
    all.filter_map(|ip| ip.parse().ok()).collect()
}

/// The addresses that an answer must contain: IPv4 only for dual-stack Services, because not every nslookup queries
/// both families.
fn required(wanted: &BTreeSet<IpAddr>) -> impl Iterator<Item = &IpAddr> {
    let has_ipv4 = wanted.iter().any(IpAddr::is_ipv4);
    wanted.iter().filter(move |ip| ip.is_ipv4() || !has_ipv4)
}

struct Answers {
    /// The name servers in the container's `resolv.conf`.
    servers: Vec<String>,
    names: BTreeMap<String, Answer>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Addresses(BTreeSet<IpAddr>),
    NoAddress(String),
    Timeout,
    NoNslookup(String),
}

impl Answers {
    fn parse(text: &str) -> Self {
        let servers = text.lines().filter_map(|line| line.strip_prefix("! "));
        let servers = servers.map(|server| server.trim().to_owned()).collect();
        // Each answer begins with a line of the name and nslookup's exit code.
        let text = format!("\n{text}");
        let names = text.split("\n? ").skip(1).filter_map(|answer| {
            let (first, rest) = answer.split_once('\n').unwrap_or((answer, ""));
            let (name, code) = first.split_once(' ')?;
            Some((name.to_owned(), Answer::parse(code.trim().parse().unwrap_or(-1), &rest.lines().collect::<Vec<_>>())))
        });
        Self { servers, names: names.collect() }
    }

    fn timeouts(&self) -> usize {
        self.names.values().filter(|answer| **answer == Answer::Timeout).count()
    }
}

impl Answer {
    /// Understands the `nslookup` of busybox, old and new, and of BIND.
    fn parse(code: i32, lines: &[&str]) -> Self {
        let has = |words: &[&str]| lines.iter().find(|line| words.iter().any(|word| line.contains(word)));
        if code == NOT_FOUND {
            return Self::NoNslookup(lines.join(" "));
        }
        // The lines before are the name server's own address.
        let lines_of_name = lines.iter().skip_while(|line| !line.starts_with("Name:")).skip(1);
        let addresses = lines_of_name.filter_map(|line| {
            let (_, rest) = line.strip_prefix("Address")?.split_once(':')?;
            rest.split_whitespace().next()?.parse().ok()
        });
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        if !addresses.is_empty() {
            return Self::Addresses(addresses);
        }
        // A name server that refuses one of two queries and drops the other has answered.
        let timeouts =
            ["timed out", "no servers", "onnection refused", "unreachable", "Try again", "Temporary failure"];
        match (has(&["can't find", "Can't find", "can't resolve", "No answer"]), has(&timeouts)) {
            (Some(line), timeout) if timeout != Some(line) => {
                Self::NoAddress(line.trim_start_matches(['*', ' ']).to_owned())
            }
            (_, Some(_)) => Self::Timeout,
            _ => Self::NoAddress(lines.join(" ").trim().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::event::Outcome;

    const SERVER: &str = "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n";
    const SILENT: &str = "? nas-1 1\n;; connection timed out; no servers could be reached\n\n";

    fn judged(output: &str, ips: &[&str]) -> Verdict {
        let service = json!({"metadata": {"name": "nas-1"}, "spec": {"clusterIP": ips.first(), "clusterIPs": ips}});
        let text = format!("! 10.96.0.10\n{output}");
        let seen = json!({"server": "nas", "services": [service], "said": {"place": "pod p", "code": 0, "text": text}});
        judged_by::<Dns>(json!({}), seen)
    }

    fn found(addresses: &str) -> String {
        format!("? nas-1 0\n{SERVER}\nName:\tnas-1.ns.svc.cluster.local\n{addresses}\n\n")
    }

    #[test]
    fn the_output_of_each_nslookup_is_judged() {
        let old = "? nas-1 0\nServer:    10.96.0.10\nAddress 1: 10.96.0.10 kube-dns\n\n\
                   Name:      nas-1.ns.svc\nAddress 1: 10.96.61.27 nas-1.ns.svc\n";
        let (one, both) = (&["10.96.61.27"][..], &["10.96.61.27", "fd00::1"][..]);
        let missing = format!("? nas-1 1\n{SERVER}** server can't find nas-1.ns.svc.cluster.local.: NXDOMAIN\n");
        let one_of_two = format!("{SILENT}? nas-2 1\n{SERVER}** server can't find nas-2: NXDOMAIN\n");
        for (output, ips, outcome) in [
            (found("Address: 10.96.61.27"), one, Outcome::Pass),
            (old.to_owned(), one, Outcome::Pass),
            // Only one family was queried.
            (found("Address: 10.96.61.27"), both, Outcome::Pass),
            (found("Address: 10.96.61.27\nAddress: fd00::1"), both, Outcome::Pass),
            (found("Address: fd00::1"), &both[1..], Outcome::Pass),
            (found("Address: 10.96.0.10"), one, Outcome::Fail),
            (found("Address: 10.96.61.27\nAddress: 10.0.0.9"), one, Outcome::Fail),
            (found("Address: 10.244.0.9"), &["None"], Outcome::Fail),
            (missing, one, Outcome::Fail),
            (SILENT.to_owned(), one, Outcome::Skip),
            ("? nas-1 1\nnslookup: can't resolve 'nas-1': Try again\n".to_owned(), one, Outcome::Skip),
            (one_of_two, one, Outcome::Fail),
            // One query was refused, and another got no answer.
            ("? nas-1 1\n*** Can't find nas-1: No answer\n;; connection timed out\n".to_owned(), one, Outcome::Fail),
            ("? nas-1 127\nsh: nslookup: not found\n".to_owned(), one, Outcome::Error),
            (String::new(), one, Outcome::Error),
        ] {
            let verdict = judged(&output, ips);
            assert_eq!(verdict.outcome, outcome, "{output:?}: {verdict:?}");
        }
        assert_eq!([SILENT, old].map(|output| Answers::parse(output).timeouts()), [1, 0]);
    }
}
