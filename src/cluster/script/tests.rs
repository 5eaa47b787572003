use serde_json::{Value, json};

use super::super::container::named;
use super::super::example::output_pod;
use super::*;

type Found = Result<Option<String>, String>;

/// What is known of the flag of a container: it, or that there is none, or why not.
fn of(container: &Value) -> Found {
    let mut pod = output_pod();
    json_patch::merge(&mut pod["spec"]["initContainers"][0], container);
    delete_flag(&named(&serde_json::from_value(pod).unwrap(), "sync-windows-data").unwrap())
}

fn of_script(script: &str) -> Found {
    let env = json!([
        {"name": "UNKNOWN", "valueFrom": {}}, {"name": "EMPTY", "value": ""}, {"name": "NAS", "value": "/nas"},
        {"name": "SCRIPT", "value": "rsync --delete /a/ /b/"},
    ]);
    of(&json!({"command": ["/bin/sh", "-c", script], "env": env}))
}

#[test]
fn arguments_of_an_rsync_that_is_run_count_wherever_it_stands() {
    for script in [
        "apk add rsync && exec nice -n 5 timeout 60 /usr/bin/rsync --delete -a /a/ /b/",
        "while :; do if ! ionice -c3 rsync -a --delete /a/ /b/ > /dev/null 2>&1; then exit 1; fi; done",
        "run() { \"$@\" & child=$!; wait \"$child\"; }\nrun rsync -a '--delete' /a/ /b/ || exit",
        "copy() (rsync -a \\\n  --delete /a/ /b/)\ncopy",
        "f='--delete'\nrsync -a $f /a/ /b/",
        "export f+=--delete; X=1 rsync \"$f\" /a/ /b/",
        "copy() { rsync -a $f /a/ /b/; }; f=--delete; copy",
        "declare f=--delete; dumb-init -- su-exec me rsync $f /a/ /b/",
        "sh -ec 'rsync -a $f /a/ /b/'; f=--delete",
        "set -e; $SUDO rsync --delete /a/ /b/",
        "su -c 'rsync -a --delete /a/ /b/' me",
        "n=`rsync -a --delete /a/ /b/ | wc -l`; sh -ec 'echo'",
        "echo \"$(bash -o pipefail -c \"rsync -a --delete /a/ /b/\")\"",
        "trap 'rsync -a --delete /a/ /b/' EXIT; wait",
        "case $X in a | b) rsync -a --delete /a/ /b/;; esac",
    ] {
        assert_eq!(of_script(script), Ok(Some("--delete".to_owned())), "{script}");
    }
    for variant in ["--del", "--delete-after", "--delete-excluded"] {
        assert_eq!(of_script(&format!("rsync -a {variant} /a/ /b/")), Ok(Some(variant.to_owned())));
    }
}

#[test]
fn what_only_mentions_a_flag_does_not_count() {
    for script in [
        "echo rsync --delete; echo \"mode: no --delete\"\nrsync -av /a/ /b/ # no --delete",
        "logger 'rsync has no --delete'; microdnf install rsync; rsync -av /a/ /b/",
        "for d in /a /b; do rsync -a \"$d/\" \"$UNKNOWN/\"; rsync -a /a/$d /b/$d; done",
        "copy() { rsync -a \"$1/\" \"$2/\"; }; copy /a /b",
        "f=-a; g=\"$f -v\"; rsync $g $EMPTY /a/ /b/",
        "echo \"NAS=--delete\"; [[ -n $X && $X = --delete ]] || rsync -a \"$NAS\" /b/",
        "(rsync -a /a/ /b/) >/dev/null 2>&1; exec 9>/var/lock/sync; exec >/proc/1/fd/1 2>&1",
        "tar -czf /bak/x.tgz /a; wc -c /b/f; find /b -type d -exec sh -c 'true' _ {} +; rsync -a /a/ /b/",
        "rsync -a --exclude '$RECYCLE.BIN' --filter \"- \\$X\" /a/ /b/",
        "exec tini -- sh -c 'rsync -a /a/ /b/'; adduser -s /bin/sh me",
        "case $X in 0 | 24) x=$((x / (1 + 1))) ;; /x/*) f=--delete ;; esac; rsync -a /a/ /b/",
        "rsync -av --delay-updates --max-delete=0 --exclude=--delete /a/ /b/; rm -rf --delete",
        "OTHER=--delete; rsync -av \"$NAS\" -- /a/ --delete",
        "command -v rsync --delete; rsync -a --chown=\"$(stat -c %u:%g --delete /b)\" \"/$UNKNOWN/\" /b/",
    ] {
        assert_eq!(of_script(script), Ok(None), "{script}");
    }
}

#[test]
fn what_the_spec_does_not_tell_is_said() {
    for (script, why) in [
        ("rsync -a $UNKNOWN /a/ /b/", "`$UNKNOWN`, an argument of its rsync"),
        ("f=\"-a $UNKNOWN\"; rsync $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("rsync -a $(cat /flags) /a/ /b/", "`$(cat /flags)`, an argument of its rsync"),
        ("rsync -a `cat /flags` /a/ /b/", "``cat /flags``"),
        ("rsync \"$@\" /a/ /b/", "`$@`, an argument of its rsync"),
        ("if [ \"$X\" ]; then f=--delete; fi; rsync -a $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("[ \"$X\" ] && f=--delete; rsync -a $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("f=; while :; do rsync -a $f /a/ /b/; f=--delete; done", "`$f`, an argument of its rsync"),
        ("f=\"$f -v\"; rsync $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("f=-a; env f=--delete sh -c 'rsync $f /a/ /b/'", "`$f`, an argument of its rsync"),
        (": ${EMPTY:=--delete}; rsync $EMPTY /a/ /b/", "cannot be read to its end"),
        ("read -r f < /flags; rsync -a $f /a/ /b/", "`$f`, an argument of its rsync"),
        ("f=(-a --delete); rsync \"${f[@]}\" /a/ /b/", "`${f[@]}`, an argument of its rsync"),
        ("f=--delete; rsync -a ${f#--} /a/ /b/", "`${f#--}`, an argument of its rsync"),
        ("rsync -a /a/ /b/; timeout 9 sh /scripts/more.sh", "`timeout`"),
        ("rsync -a /a/ /b/; eval \"$X\"", "`eval`"),
        (". /lib.sh; rsync -a /a/ /b/", "`.`"),
        ("sh /scripts/sync", "not in the spec"),
        ("sh -c \"$SCRIPT\"", "it runs `$SCRIPT`"),
        ("RSYNC=rsync; $RSYNC --delete /a/ /b/", "it runs `$RSYNC`"),
        ("rsync -a /a/ /b/; watch 'rsync -a /a/ /b/'", "`watch`"),
        ("cp -a /a/ /b/; echo --delete", "no rsync is seen"),
        ("rsync -a 'a", "cannot be read to its end"),
        ("cat > /etc/motd <<END\nrsync --delete /a/ /b/\nEND\nrsync -av /a/ /b/", "cannot be read to its end"),
    ] {
        let found = of_script(script);
        assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{script}: {found:?}");
    }
}

#[test]
fn variables_come_from_the_environment_and_kubernetes_puts_some_in() {
    let with = |script: &str| {
        let env = json!([{"name": "A", "value": "-v"}, {"name": "FLAGS", "value": "$(A) --delete"}]);
        of(&json!({"command": ["sh", "-c", script], "env": env}))
    };
    let found = |flag: &str| Ok(Some(flag.to_owned()));
    assert_eq!(with("rsync -a $FLAGS /a/ /b/"), found("--delete"));
    assert_eq!(with("rsync -a $(FLAGS) /a/ /b/"), found("--delete"));
    assert!(with("if [ \"$A\" ]; then FLAGS=; fi; rsync $FLAGS /a/ /b/").is_err());
    assert_eq!(of(&json!({"command": ["rsync"], "args": ["-a", "--delete-after", "/a/"]})), found("--delete-after"));
    assert_eq!(of(&json!({"command": ["rsync", "-a", "--exclude", "$RECYCLE.BIN", "/a/", "/b/"]})), Ok(None));
    let env = json!([{"name": "S", "valueFrom": {"secretKeyRef": {"key": "a", "name": "b"}}}]);
    assert!(of(&json!({"command": ["rsync", "$(S)", "/a/"], "env": env})).is_err());
    assert!(of(&json!({"args": ["-a", "/a/", "/b/"]})).is_err(), "the image says what it is");
    for script in ["rsync $F /a/ /b/", "[ \"$F\" ] || F=-a; rsync $F /a/ /b/", ": ${F:=-a}; rsync $F /a/ /b/"] {
        let others = json!({"command": ["sh", "-c", script], "envFrom": [{"configMapRef": {"name": "a"}}]});
        assert!(of(&others).is_err(), "{script}");
    }
}

#[test]
fn no_script_takes_long_or_overflows() {
    let more = |text: String, index: usize| format!("a{}=$a{index}$a{index}\n{text}", index + 1);
    let empty = format!("a0=\n{}", (0..60).rev().fold("rsync $a60".to_owned(), more));
    let nested = ["$(", "\"$(", "${a:-", "`"].map(|open| open.repeat(20_000));
    let closed = format!("{}{}", "$(".repeat(20_000), ")".repeat(20_000));
    for script in ["\\$ a", "a$ b", "$", "é\\", &*empty, &*closed].into_iter().chain(nested.iter().map(|it| &**it)) {
        let _ = of_script(script);
    }
    proptest::proptest!(|(text in "([$(){}'\"`\\\\<&|;#\n aé]|<<E\n|:-){0,60}")| {
        let _ = of_script(&text);
    });
}
