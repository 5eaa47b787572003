//! The contract between the program and a cluster: the same tests on the simulated and on the real cluster. Where the two
//! differ, the simulated cluster is wrong.

mod clusters;
mod commands;
mod connections;
mod logs;
mod objects;

use futures::future::LocalBoxFuture;
use libtest_mimic::Trial;

use clusters::{Clusters, Connected};

type Test = (&'static str, fn(Connected) -> LocalBoxFuture<'static, ()>);

macro_rules! tests {
    ($($module:ident::$name:ident),+ $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($name)), |api| Box::pin($module::$name(api)))),+]
    };
}

const TESTS: [Test; 16] = tests![
    objects::selectors_match_labels_and_names,
    objects::all_pages_of_a_list_have_one_version,
    objects::the_release_is_settled_and_its_services_route_to_its_pods,
    objects::a_deleted_pod_is_replaced_and_watch_events_are_in_order,
    objects::a_watch_from_an_old_version_expires,
    objects::warnings_are_selected_by_uid,
    objects::missing_objects_are_not_found,
    objects::forbidden_errors_name_verb_and_resource,
    commands::each_operation_has_its_own_output_and_exit_code,
    commands::large_output_is_complete,
    commands::the_export_is_read_only_for_the_sidecar,
    commands::commands_fail_in_a_missing_container_or_pod,
    commands::names_resolve_and_ports_accept_connections_in_containers,
    logs::lines_have_timestamps_and_can_be_limited,
    logs::a_followed_log_shows_sync_cycles_as_they_end,
    connections::an_open_port_is_forwarded_and_a_closed_one_is_refused,
];

pub fn tests() -> Vec<Trial> {
    let on = |named: &'static str, clusters: Clusters| {
        TESTS.iter().map(move |(name, test)| {
            let run = move || {
                clusters.run(*test);
                Ok(())
            };
            Trial::test(format!("contract::{named}::{name}"), run)
        })
    };
    on("simulated", Clusters::Simulated).chain(on("real", Clusters::Real)).collect()
}
