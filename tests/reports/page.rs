//! The page: whole and readable by machines, whatever a pod printed, without a script or a network.

use std::collections::BTreeSet;

use file_simulator_e2e::event::Outcome;
use roxmltree::{Document, Node, ParsingOptions};

use super::stream::{hostile, only, reported, rich, started};

fn parsed(text: &str) -> Document<'_> {
    Document::parse_with_options(text, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() }).unwrap()
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

#[test]
fn a_hostile_run_stays_within_its_page() {
    let page = reported(&hostile()).text("index.html");
    let page = parsed(&page);
    assert!(!page.descendants().any(|node| ["script", "b"].iter().any(|tag| node.has_tag_name(*tag))));
    let failure = page.descendants().find(|node| node.attribute("class") == Some("card failure FAIL")).unwrap();
    let said = "red ]]> <b> & \"quoted\" 'too' </pre></style><script>alert(1)</script> {{ 7 * 7 }} | `x` ```\n::error::next line";
    assert!(text(failure).contains(said), "{}", text(failure));
}

/// What runs or loads something, wherever it stands in a page.
const ACTIVE: [&str; 12] =
    ["script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "base", "form", "image"];

/// How it looks is in `fixtures/reports/index.html`.
#[test]
fn whatever_happened_each_failure_is_open_nothing_is_loaded_and_readers_that_do_not_see_it_find_their_way() {
    for (events, failures) in
        [(rich(), 3), (only(Outcome::Pass), 0), (only(Outcome::Skip), 0), (hostile(), 3), (vec![started()], 0)]
    {
        let page = reported(&events).text("index.html");
        assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'"), "{page}");
        let page = parsed(&page);
        let elements = || page.descendants().filter(Node::is_element);
        let all = |tag: &'static str| elements().filter(move |node| node.has_tag_name(tag));
        assert!(elements().all(|node| !ACTIVE.contains(&node.tag_name().name())));
        let is_quiet = |name: &str| {
            !name.starts_with("on") && !["src", "srcset", "action", "background", "hidden"].contains(&name)
        };
        assert!(elements().flat_map(|node| node.attributes()).all(|attribute| is_quiet(attribute.name())));
        assert!(all("a").all(|link| link.attribute("href").is_some_and(|href| href.starts_with('#'))));
        let has_class =
            |node: &Node, class| node.attribute("class").is_some_and(|its| its.split(' ').any(|its| its == class));
        let in_sight = |reason: &Node| {
            let details =
                reason.parent_element().filter(|its| its.has_tag_name("details") && its.has_attribute("open"));
            details.and_then(|its| its.parent_element()).is_some_and(|card| has_class(&card, "failure"))
        };
        let reasons = elements().filter(|node| has_class(node, "reason"));
        assert_eq!(reasons.filter(in_sight).count(), failures, "each failure says why, and is not folded");
        for landmark in ["header", "main", "footer", "h1"] {
            assert_eq!(all(landmark).count(), 1, "{landmark}");
        }
        let levels = elements().filter_map(|node| ["h1", "h2", "h3"].iter().position(|tag| node.has_tag_name(*tag)));
        let levels: Vec<usize> = levels.collect();
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "no level of headings is left out: {levels:?}");
        assert!(all("table").all(|table| table.children().any(|child| child.has_tag_name("caption"))));
        let scopes = ["row", "col", "rowgroup"];
        assert!(all("th").all(|head| scopes.contains(&head.attribute("scope").unwrap_or_default())));
        let ids: Vec<_> = elements().filter_map(|node| node.attribute("id")).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        let mut referred = elements().filter_map(|node| {
            node.attribute("aria-labelledby").or_else(|| node.attribute("href").and_then(|href| href.strip_prefix('#')))
        });
        assert!(referred.all(|id| ids.contains(&id)));
    }
}
