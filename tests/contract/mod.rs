//! The contract between the harness and a cluster: the same tests on the simulated cluster, always, and on the real one.
//! Where the two differ, the simulated one is wrong.

mod clusters;
mod commands;
mod connections;
mod logs;
mod objects;

use futures::future::LocalBoxFuture;
use libtest_mimic::Trial;

use clusters::{Clusters, Connected};

type Test = (&'static str, fn(Connected) -> LocalBoxFuture<'static, ()>);

/// Names tests after their functions.
macro_rules! tests {
    ($($module:ident::$name:ident),+ $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($name)), |api| Box::pin($module::$name(api)))),+]
    };
}

const TESTS: [Test; 16] = tests![
    objects::selectors_choose_by_labels_and_names,
    objects::a_list_comes_in_pages_of_one_version,
    objects::the_release_is_settled_and_its_services_lead_to_its_pods,
    objects::a_deleted_pod_is_replaced_and_the_watch_tells_it_in_order,
    objects::a_watch_from_a_forgotten_version_has_expired,
    objects::warnings_are_asked_for_by_uid,
    objects::what_is_not_there_is_not_found,
    objects::what_is_forbidden_names_verb_and_resource,
    commands::each_operation_has_its_own_output_and_exit_code,
    commands::large_output_is_whole,
    commands::the_export_is_read_only_to_the_sidecar,
    commands::a_missing_container_or_pod_is_no_success,
    commands::names_resolve_and_ports_connect_inside,
    logs::lines_are_stamped_and_the_last_ones_can_be_asked_for,
    logs::a_followed_log_tells_cycles_as_they_end,
    connections::a_port_is_forwarded_and_one_that_nobody_has_is_refused,
];

/// All of them on both.
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
