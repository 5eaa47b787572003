//! `dns`: the name of a server's Service resolves inside a pod, to the Service's ClusterIP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use serde::{Deserialize, Serialize};

use super::inside::{self, NOT_FOUND, Said};
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
    /// What was said of all servers' Services; `None` where the server has none.
    said: Option<Said>,
    /// Whether not all names had an answer when they were asked for the first time.
    #[serde(default)]
    is_late: bool,
}

impl Kind for Dns {
    type Observation = Observation;
    const NEEDS: &'static [Need] = &[Need::Services, Need::Commands];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        // First, because a Service is there before its pods are.
        let pod = inside::pod(site, |_| true).await?;
        let network = site.shared.watch.network().map_err(|error| site.no_answer(&error))?;
        let all = site.system.names().flat_map(|server| network.services(&site.system.pods, server));
        let mut names: Vec<String> = all.map(|service| service.name_any()).collect();
        names.sort();
        let services = network.services(&site.system.pods, site.server());
        let (mut said, mut is_late) = (None, false);
        if !services.is_empty() {
            let place = format!("dns {}", names.join(" "));
            let resolve = Operation::Resolve { names };
            let look = async {
                let first = inside::ask(site, &pod, &resolve).await?;
                if Answers::read(&first.text).silences() == 0 {
                    return Ok::<_, Verdict>((first, false));
                }
                // A name server that is short of CPU drops questions.
                Ok((inside::ask(site, &pod, &resolve).await?, true))
            };
            let (answered, late) = site.shared.once(place, look).await?;
            (said, is_late) = (Some(answered), late);
        }
        Ok(Observation { server: site.server().to_owned(), services, said, is_late })
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let Some(said) = seen.said.as_ref().filter(|_| !seen.services.is_empty()) else {
            let hint = "run helm upgrade again: it makes a missing Service";
            let reason = Reason::new(format!("server {}", seen.server), "a Service with its labels", "none");
            return Verdict::fail(reason.hint(hint));
        };
        let answers = Answers::read(&said.text);
        let name_servers = or_none(listed(&answers.servers));
        let (mut found, mut resolved, mut is_silent) = (Findings::default(), Vec::new(), false);
        for service in &seen.services {
            let name = service.name_any();
            let wanted = cluster_ips(service);
            let (what, hint) = match answers.names.get(&name) {
                _ if wanted.is_empty() => {
                    let kind = service.spec.as_ref().and_then(|spec| spec.type_.clone()).unwrap_or_default();
                    let what = format!("the Service has none: it is headless or not of this cluster (type {kind})");
                    (what, "run helm upgrade again; a Service that was headless must be deleted before")
                }
                Some(Answer::Addresses(ips)) => {
                    let Some(other) = other(&wanted, ips) else {
                        resolved.push(format!("{name} resolves to {}", listed(ips)));
                        continue;
                    };
                    other
                }
                Some(Answer::Nothing(text)) => {
                    let hint = "look at the log of CoreDNS in kube-system, and at the pod's /etc/resolv.conf";
                    (format!("name server {name_servers}: {text}"), hint)
                }
                Some(Answer::Silence) if answers.silences() == answers.names.len() => {
                    is_silent = true;
                    continue;
                }
                Some(Answer::Silence) => {
                    let what = format!("no answer of name server {name_servers}, which does answer for other names");
                    (what, "look whether every pod of CoreDNS in kube-system is Ready")
                }
                Some(Answer::NoTool(text)) => {
                    let reason = Reason::new(&said.place, "nslookup in its image", text);
                    return Verdict::error(reason.hint("give the export's container an image that has it"));
                }
                None => {
                    let text = said.text.trim();
                    return Verdict::error(Reason::new(&said.place, format!("an answer for {name}"), text));
                }
            };
            let expected = format!("to resolve to its ClusterIP {} in {}", listed(&wanted), said.place);
            found.wrong(format!("the name of Service {name}"), expected, what, hint);
        }
        if is_silent && found.are_good() {
            let whose = format!("name server {name_servers} of the resolv.conf in {}", said.place);
            return Verdict::skip(format!("{whose} does not answer at all"));
        }
        if seen.is_late {
            let slow = "did not answer for all names when it was first asked: it is slow";
            found.note(format!("name server {name_servers} {slow}"));
        }
        found.verdict(format!("{}, by name server {name_servers}", resolved.join("; ")))
    }
}

/// What is wrong with the addresses that a name resolves to, and the hint; `None` if they are the wanted ones.
fn other(wanted: &BTreeSet<IpAddr>, found: &BTreeSet<IpAddr>) -> Option<(String, &'static str)> {
    if !required(wanted).all(|ip| found.contains(ip)) {
        let hint = "a Service made again has a new address, and CoreDNS keeps the old one for up to 30 s; \
                    then look at the pods and the log of CoreDNS in kube-system";
        return Some((listed(found), hint));
    }
    let foreign = listed(found.difference(wanted));
    let hint = "ask the cluster's DNS where that comes from: look at the ConfigMap coredns in kube-system";
    (!foreign.is_empty()).then(|| (format!("also {foreign}"), hint))
}

/// The addresses that its name must resolve to.
fn cluster_ips(service: &Service) -> BTreeSet<IpAddr> {
    let spec = service.spec.as_ref();
    let all = spec.iter().flat_map(|spec| spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip));
    all.filter_map(|ip| ip.parse().ok()).collect()
}

/// Those that must be among the answers: of two families IPv4, because not every nslookup asks for both.
fn required(wanted: &BTreeSet<IpAddr>) -> impl Iterator<Item = &IpAddr> {
    let has_four = wanted.iter().any(IpAddr::is_ipv4);
    wanted.iter().filter(move |ip| ip.is_ipv4() || !has_four)
}

/// What [`Operation::Resolve`] printed.
struct Answers {
    /// The name servers of the container's `resolv.conf`.
    servers: Vec<String>,
    /// By the name that was asked for.
    names: BTreeMap<String, Answer>,
}

/// What nslookup said of a name.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Addresses(BTreeSet<IpAddr>),
    /// The name server answered, but not with an address.
    Nothing(String),
    /// No name server answered.
    Silence,
    /// There is no nslookup.
    NoTool(String),
}

impl Answers {
    fn read(text: &str) -> Self {
        let servers = text.lines().filter_map(|line| line.strip_prefix("! "));
        let servers = servers.map(|server| server.trim().to_owned()).collect();
        // Each answer begins with the name that was asked for and the code of nslookup.
        let text = format!("\n{text}");
        let names = text.split("\n? ").skip(1).filter_map(|answer| {
            let (asked, said) = answer.split_once('\n').unwrap_or((answer, ""));
            let (name, code) = asked.split_once(' ')?;
            Some((name.to_owned(), Answer::read(code.trim().parse().unwrap_or(-1), &said.lines().collect::<Vec<_>>())))
        });
        Self { servers, names: names.collect() }
    }

    /// How many names got no answer.
    fn silences(&self) -> usize {
        self.names.values().filter(|answer| **answer == Answer::Silence).count()
    }
}

impl Answer {
    /// Reads the words of busybox, old and new, and of BIND's.
    fn read(code: i32, lines: &[&str]) -> Self {
        let has = |words: &[&str]| lines.iter().find(|line| words.iter().any(|word| line.contains(word)));
        if code == NOT_FOUND {
            return Self::NoTool(lines.join(" "));
        }
        // What stands before is the name server's own address.
        let about = lines.iter().skip_while(|line| !line.starts_with("Name:")).skip(1);
        let addresses = about.filter_map(|line| {
            let (_, rest) = line.strip_prefix("Address")?.split_once(':')?;
            rest.split_whitespace().next()?.parse().ok()
        });
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        if !addresses.is_empty() {
            return Self::Addresses(addresses);
        }
        // A name server that refuses one of two questions and is silent on the other has answered.
        let silence = ["timed out", "no servers", "onnection refused", "unreachable", "Try again", "Temporary failure"];
        match (has(&["can't find", "Can't find", "can't resolve", "No answer"]), has(&silence)) {
            (Some(line), silent) if silent != Some(line) => {
                Self::Nothing(line.trim_start_matches(['*', ' ']).to_owned())
            }
            (_, Some(_)) => Self::Silence,
            _ => Self::Nothing(lines.join(" ").trim().to_owned()),
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

    fn judged(said: &str, ips: &[&str]) -> Verdict {
        let service = json!({"metadata": {"name": "nas-1"}, "spec": {"clusterIP": ips.first(), "clusterIPs": ips}});
        let text = format!("! 10.96.0.10\n{said}");
        let seen = json!({"server": "nas", "services": [service], "said": {"place": "pod p", "code": 0, "text": text}});
        judged_by::<Dns>(json!({}), seen)
    }

    fn found(addresses: &str) -> String {
        format!("? nas-1 0\n{SERVER}\nName:\tnas-1.ns.svc.cluster.local\n{addresses}\n\n")
    }

    #[test]
    fn the_words_of_each_nslookup_are_judged() {
        let old = "? nas-1 0\nServer:    10.96.0.10\nAddress 1: 10.96.0.10 kube-dns\n\n\
                   Name:      nas-1.ns.svc\nAddress 1: 10.96.61.27 nas-1.ns.svc\n";
        let (one, both) = (&["10.96.61.27"][..], &["10.96.61.27", "fd00::1"][..]);
        let missing = format!("? nas-1 1\n{SERVER}** server can't find nas-1.ns.svc.cluster.local.: NXDOMAIN\n");
        let one_of_two = format!("{SILENT}? nas-2 1\n{SERVER}** server can't find nas-2: NXDOMAIN\n");
        for (said, ips, outcome) in [
            (found("Address: 10.96.61.27"), one, Outcome::Pass),
            (old.to_owned(), one, Outcome::Pass),
            // Only one family was asked for.
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
            // One question was refused, and another had no answer.
            ("? nas-1 1\n*** Can't find nas-1: No answer\n;; connection timed out\n".to_owned(), one, Outcome::Fail),
            ("? nas-1 127\nsh: nslookup: not found\n".to_owned(), one, Outcome::Error),
            (String::new(), one, Outcome::Error),
        ] {
            let verdict = judged(&said, ips);
            assert_eq!(verdict.outcome, outcome, "{said:?}: {verdict:?}");
        }
        assert_eq!([SILENT, old].map(|said| Answers::read(said).silences()), [1, 0]);
    }
}
