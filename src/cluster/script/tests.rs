use serde_json::{Value, json};

use super::super::container::named;
use super::super::example::{output_pod, with};
use super::*;

type Found = Result<Option<String>, String>;

fn flag_of(container: &Value) -> Found {
    let mut pod = output_pod();
    json_patch::merge(&mut pod["spec"]["initContainers"][0], container);
    delete_flag(&named(&serde_json::from_value(pod).unwrap(), "sync-windows-data").unwrap())
}

fn flag(script: &str, env: &Value) -> Found {
    flag_of(&json!({"command": ["/bin/sh", "-c", script], "env": env}))
}

fn is(found: &Found, flag: &str) -> bool {
    found.as_ref().is_ok_and(|found| found.as_deref() == Some(flag))
}

#[test]
fn a_flag_counts_wherever_the_script_runs_rsync() {
    for script in [
        "set -e\nrsync -av --delete /a/ /b/",
        "apk add rsync && exec nice -n 5 timeout 60 /usr/bin/rsync --delete -a /a/ /b/",
        "while :; do if ! ionice -c3 rsync -a --delete /a/ /b/ > /dev/null 2>&1; then exit 1; fi; done",
        "run() { \"$@\" & child=$!; wait \"$child\"; }\nrun rsync -a '--delete' /a/ /b/ || exit",
        "copy() (rsync -a \\\n  --delete /a/ /b/)\ncopy",
        "f='--delete'\nrsync -a $f /a/ /b/",
        "export f+=--delete; RSYNC=rsync; X=1 $RSYNC \"$f\" /a/ /b/",
        "copy() { rsync -a $f /a/ /b/; }; f=--delete; copy",
        "declare f=--delete; dumb-init -- su-exec me rsync $f /a/ /b/",
        "sh -ec 'rsync -a $f /a/ /b/'; f=--delete",
        "sh -c \"$SCRIPT\"",
        "f=\"${f:---delete}\"; rsync -a $f /a/ /b/",
        "SET=${SET:--a}; rsync $SET /a/ /b/",
        "{ rsync -a --delete /a/ /b/; } 2>/dev/null",
        "$SCRIPT --verbose",
        ": ${f:=--delete}; rsync $f /a/ /b/",
        "set -e; $SUDO rsync --delete /a/ /b/",
        "flock /lock rsync -a --delete /a/ /b/",
        "su -c 'rsync -a --delete /a/ /b/' me",
        "while true; do f=--delete; rsync -a ${f} /a/ /b/; done",
        "rsync -a ${FLAGS:---delete -v} /a/ /b/",
        "n=$(rsync -a --delete /a/ /b/ | wc -l); sh -ec 'echo'",
        "echo \"$(bash -o pipefail -c \"rsync -a --delete /a/ /b/\")\"",
        "trap 'rsync -a --delete /a/ /b/' EXIT; wait",
        "case $X in a | b) rsync -a --delete /a/ /b/;; esac",
        "rsync -a \"$UNKNOWN\" --delete /a/ /b/; eval \"$X\"",
    ] {
        let env = json!([
            {"name": "UNKNOWN", "valueFrom": {}}, {"name": "FLAGS", "value": ""},
            {"name": "SET", "value": "-av --delete"},
            {"name": "SCRIPT", "value": "true\nrsync --delete /a/ /b/"},
        ]);
        let found = flag(script, &env);
        assert!(is(&found, "--delete"), "{script}: {found:?}");
    }
    for variant in ["--del", "--delete-after", "--delete-before", "--delete-delay", "--delete-excluded"] {
        assert!(is(&flag(&format!("rsync -a {variant} /a/ /b/"), &json!([])), variant));
    }
}

#[test]
fn a_mere_mention_of_a_flag_does_not_count() {
    for script in [
        "echo \"mode: no --delete\"\nrsync -av /a/ /b/",
        "echo rsync --delete; rsync -av /a/ /b/",
        "log() { echo \"$@\"; }\nlog 'rsync has no --delete'\nrsync -av /a/ /b/ # no --delete",
        "logger 'rsync has no --delete'; microdnf install rsync; rsync -av /a/ /b/",
        "for d in /a /b; do rsync -a \"$d/\" \"$UNKNOWN/\"; done",
        "copy() { rsync -a \"$1/\" \"$2/\"; }; copy /a /b",
        "f=-a; [ \"$X\" ] && f=\"$f -v\"; rsync $f /a/ /b/",
        "echo \"NAS=--delete\"; [[ -n $X && $X = --delete ]] || rsync -a \"$NAS\" /b/",
        "(rsync -a /a/ /b/) >/dev/null 2>&1; exec 9>/var/lock/sync; exec >/proc/1/fd/1 2>&1",
        "log=$(mktemp); rsync -a /a/ /b/ > \"$log\"",
        "tar -czf /bak/x.tgz /a; wc -c /b/f; find /b -type d -exec sh -c 'true' _ {} +; rsync -a /a/ /b/",
        "rsync -a --exclude '$RECYCLE.BIN' --filter \"- \\$X\" /a/ /b/",
        "case \"$DIR\" in /input|/data) x=1 ;; *.sh | \"$A\") x=2 ;; bash) ;; esac; rsync -a /a/ /b/",
        "NAS=${NAS:-/data}; : ${NAS:=--delete}; rsync -a \"$NAS\" /b/",
        "exec tini -- sh -c 'rsync -a /a/ /b/'",
        "adduser -s /bin/sh me; ln -s /bin/busybox /bin/ash; rsync -a /a/ /b/",
        "case $X in 0 | 24) x=$((x + 1)) ;; /x/*) f=--delete ;; esac; rsync -a /a/ /b/",
        "# don't --delete here\nrsync -av --delay-updates --max-delete=0 --exclude=--delete /a/ /b/",
        "cat > /etc/motd <<END\nrsync --delete /a/ /b/\nEND\nrsync -av /a/ /b/",
        "mkdir -p /b; rsync -av /a/ /b/ && rm -rf --delete",
        "OTHER=--delete; rsync -av -- /a/ --delete",
        "command -v rsync --delete; rsync -a --chown=\"$(stat -c %u:%g --delete /b)\" \"/$UNKNOWN/\" /b/",
        "rsync -a \"${NAS%/}\" /b/",
        "for x in a b; do rsync -a /a/$x \"/b/$x\" $x; done",
    ] {
        let env = json!([{"name": "UNKNOWN", "valueFrom": {}}, {"name": "NAS", "value": "/nas"}]);
        assert_eq!(flag(script, &env), Ok(None), "{script}");
    }
}

#[test]
fn a_flag_that_the_spec_does_not_show_is_a_doubt() {
    for (script, why) in [
        ("rsync -a $UNKNOWN /a/ /b/", "`$UNKNOWN`, an argument of its rsync"),
        ("f=\"-a $UNKNOWN\"; rsync $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("rsync -a $(cat /flags) /a/ /b/", "`$(cat\u{a0}/flags)`, an argument of its rsync"),
        ("rsync -a `cat /flags` /a/ /b/", "``cat\u{a0}/flags``"),
        ("rsync \"$@\" /a/ /b/", "`$@`, an argument of its rsync"),
        ("if [ \"$X\" ]; then f=--delete; fi; rsync -a $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("[ \"$X\" ] && f=--delete; rsync -a $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("f=; while :; do rsync -a $f /a/ /b/; f=--delete; done", "`$f`, an argument of its rsync"),
        ("rsync -a $UNSET /a/ /b/", "`$UNSET`, an argument of its rsync"),
        ("rsync -a ${UNSET:-} /a/ /b/", "`${UNSET:-}`, an argument of its rsync"),
        ("f=-a; f=\"$f --delete\"; rsync $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("f=-a; set() { f=--delete; }; set; rsync $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("f=-a; declare -x f=--delete; rsync $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("f=-a; env f=--delete sh -c 'rsync $f /a/ /b/'", "`$f`, an argument of its rsync"),
        ("rsync -a /a/ /b/; exec /scripts/more", "/scripts/more"),
        ("ionice -c 3 sh /scripts/more.sh; rsync -a /a/ /b/", "`ionice`"),
        ("rsync -a /a/ /b/; timeout 9 sh /scripts/more.sh", "`timeout`"),
        ("read -r f < /flags; rsync -a $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("f=(-a --delete); rsync \"${f[@]}\" /a/ /b/", "`${f[@]}`, an argument of its rsync"),
        ("f=--delete; rsync -a ${f#--} /a/ /b/", "`${f#--}`, an argument of its rsync"),
        ("rsync -a /a/ /b/; eval \"$X\"", "`eval`"),
        (". /lib.sh; rsync -a /a/ /b/", "`.`"),
        ("/scripts/sync.sh; rsync -a /a/ /b/", "/scripts/sync.sh"),
        ("sh /scripts/sync", "not in the spec"),
        ("rsync -a /a/ /b/; watch 'rsync -a /a/ /b/'", "`watch`"),
        ("$TOOL -a /a/ /b/", "it runs `$TOOL`"),
        ("$UNKNOWN -a /a/ /b/", "it runs `$UNKNOWN`"),
        ("cp -a /a/ /b/; echo --delete", "its command shows no rsync"),
        ("rsync -a 'a", "cannot parse"),
    ] {
        let found = flag(script, &json!([{"name": "UNKNOWN", "valueFrom": {}}]));
        assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{script}: {found:?}");
    }
}

#[test]
fn variables_come_from_the_environment_and_from_kubernetes_expansion() {
    let env = json!([{"name": "A", "value": "-v"}, {"name": "FLAGS", "value": "$(A) --delete"}]);
    assert!(is(&flag("rsync -a $FLAGS /a/ /b/", &env), "--delete"));
    assert!(is(&flag("rsync -a $(FLAGS) /a/ /b/", &env), "--delete"));
    assert!(flag("if [ \"$A\" ]; then FLAGS=; fi; rsync $FLAGS /a/ /b/", &env).is_err());
    assert_eq!(flag("rsync -a /a/ /b/", &env), Ok(None));
    assert!(is(&flag_of(&json!({"command": ["rsync"], "args": ["-a", "--delete-after", "/a/"]})), "--delete-after"));
    let env =
        json!([{"name": "X", "value": "-a"}, {"name": "S", "valueFrom": {"secretKeyRef": {"key": "a", "name": "b"}}}]);
    assert_eq!(flag_of(&json!({"command": ["rsync", "$(X)"], "env": env})), Ok(None));
    assert!(flag_of(&json!({"command": ["rsync", "$(S)", "/a/"], "env": env})).is_err());
    assert!(flag_of(&json!({"args": ["-a", "/a/", "/b/"]})).is_err(), "the image defines the command");
    let others = json!({"command": ["sh", "-c", "rsync -a $F /a/ /b/"], "envFrom": [{"configMapRef": {"name": "a"}}]});
    assert!(flag_of(&others).is_err());
    for script in
        [": ${F:=-a}; rsync $F /a/ /b/", "[ \"$F\" ] || F=-a; rsync $F /a/ /b/", "F=${F:--a}; rsync $F /a/ /b/"]
    {
        let others = json!({"command": ["sh", "-c", script], "envFrom": [{"configMapRef": {"name": "a"}}]});
        assert!(flag_of(&others).is_err(), "{script}");
    }
    let literal = json!({"command": ["rsync", "-a", "--exclude", "$RECYCLE.BIN", "/a/", "/b/"]});
    assert_eq!(flag_of(&literal), Ok(None));
}

#[test]
fn every_script_is_read_quickly_without_overflow() {
    let doubling = format!("a=xxxxxxxx\n{}rsync $a", "a=$a$a$a$a$a$a$a$a\n".repeat(40));
    let endless = "x='sh -c \"$x\"; sh -c \"$x\"'; sh -c \"$x\"; rsync";
    let more = |text: String, index: usize| format!("a{}=$a{index}$a{index}\n{text}", index + 1);
    let empty = format!("a0=\n{}", (0..60).rev().fold("rsync $a60".to_owned(), more));
    for script in [
        "\\$ a",
        "a$ b",
        "$",
        &*empty,
        &*doubling,
        endless,
        &"$(".repeat(50_000),
        &"${a:-".repeat(50_000),
        &"\"${a:-".repeat(50_000),
    ] {
        let _ = flag(script, &json!([]));
    }
}

#[test]
fn rsync_may_read_its_target_unless_it_certainly_has_no_delete_flag() {
    let may_read = |container: &str, script: &str| {
        let command = [("/spec/initContainers/1/command", json!(["sh", "-c", script]))];
        may_read_target(&serde_json::from_value(with(output_pod(), &command)).unwrap(), container)
    };
    for (script, may) in [("rsync -av /a/ /b/", false), ("rsync -av --delete /a/ /b/", true), ("cp -a /a/ /b/", true)] {
        assert_eq!(may_read("sync-to-windows", script), may, "{script}");
    }
    assert!(may_read("none", ""));
}
