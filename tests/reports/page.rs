//! The page: whole and readable by machines, whatever a pod printed, complete on any screen, without a script or a network.

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

#[test]
fn a_run_that_was_killed_leaves_a_red_page() {
    let page = reported(&[started()]).text("index.html");
    let page = parsed(&page);
    let head = text(page.descendants().find(|node| node.has_tag_name("header")).unwrap());
    assert!(head.contains("NOT FINISHED") && head.contains("5 ERROR (5 not finished)"), "{head}");
    let body = page.descendants().find(|node| node.has_tag_name("body")).unwrap();
    assert_eq!(body.attribute("class"), Some("FAIL"));
}

#[test]
fn the_page_is_made_for_readers_that_do_not_see_it() {
    for events in [rich(), only(Outcome::Pass), only(Outcome::Skip), hostile(), vec![started()]] {
        let page = reported(&events).text("index.html");
        let page = parsed(&page);
        let all = |tag: &'static str| page.descendants().filter(move |node| node.has_tag_name(tag));
        for landmark in ["header", "main", "footer", "h1"] {
            assert_eq!(all(landmark).count(), 1, "{landmark}");
        }
        let levels = page.descendants().filter_map(|node| match node.tag_name().name() {
            "h1" => Some(1),
            "h2" => Some(2),
            "h3" => Some(3),
            _ => None,
        });
        let levels: Vec<u8> = levels.collect();
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "no level of headings is left out: {levels:?}");
        assert!(all("table").all(|table| table.children().any(|child| child.has_tag_name("caption"))));
        assert!(
            all("th").all(|head| ["row", "col", "rowgroup"].contains(&head.attribute("scope").unwrap_or_default()))
        );
        let ids: Vec<_> = page.descendants().filter_map(|node| node.attribute("id")).collect();
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        let referred = page.descendants().filter_map(|node| {
            node.attribute("aria-labelledby").or_else(|| node.attribute("href").and_then(|href| href.strip_prefix('#')))
        });
        assert!(referred.into_iter().all(|id| ids.contains(&id)));
    }
}

#[test]
fn the_colours_of_texts_differ_enough_from_what_is_behind_them() {
    let page = reported(&rich()).text("index.html");
    for theme in page.split(":root {").skip(1) {
        let theme = theme.split('}').next().unwrap();
        let colour =
            |name: &str| theme.split(&format!("--{name}: #")).nth(1).map(|rest| rest.split(';').next().unwrap());
        let colour = |name: &str| luminance(colour(name).unwrap_or_else(|| panic!("no {name} in {theme}")));
        let outcomes = ["PASS", "FAIL", "ERROR", "SKIP"].map(|outcome| (outcome.to_owned(), format!("{outcome}-back")));
        let plain = ["text", "soft", "link"]
            .into_iter()
            .flat_map(|text| ["page", "card"].map(|back| (text.to_owned(), back.to_owned())));
        for (text, back) in outcomes.into_iter().chain(plain) {
            let (one, other) = (colour(&text), colour(&back));
            let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
            assert!(contrast >= 4.5, "{text} on {back}: {contrast:.1}, and WCAG's AA asks for 4.5");
        }
    }
}

/// WCAG's relative luminance of a colour in hexadecimal.
fn luminance(colour: &str) -> f64 {
    let digits = if colour.len() == 3 { colour.chars().flat_map(|c| [c, c]).collect() } else { colour.to_owned() };
    let part = |index: usize| {
        let value = f64::from(u8::from_str_radix(&digits[index..index + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
}

/// What runs or loads something, wherever it stands in a page.
const ACTIVE: [&str; 12] =
    ["script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "base", "form", "image"];

/// What is not as it should be on any screen, without a network: whatever it asks for, hides, or makes wider than a phone.
fn problems(page: &Document, failures: usize) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rule = |holds: bool, what: &str| problems.extend((!holds).then(|| what.to_owned()));
    let all = || page.descendants().filter(Node::is_element);
    let of = |tag: &'static str| all().filter(move |node| node.has_tag_name(tag));
    let is = |node: Node, class: &str| node.attribute("class").unwrap_or_default().split(' ').any(|its| its == class);
    rule(of("body").map(text).collect::<String>().len() > 100, "it says something");
    let meta = |name: &str, words: &str| {
        let named = |meta: &Node| ["name", "http-equiv"].iter().any(|key| meta.attribute(*key) == Some(name));
        of("meta").any(|meta| named(&meta) && meta.attribute("content").is_some_and(|its| its.contains(words)))
    };
    rule(meta("Content-Security-Policy", "default-src 'none'"), "nothing may be loaded");
    rule(all().all(|node| !ACTIVE.contains(&node.tag_name().name())), "nothing runs or loads");
    let attributes = || all().flat_map(|node| node.attributes());
    let is_quiet = |name: &str| !name.starts_with("on") && !["src", "srcset", "action", "background"].contains(&name);
    rule(attributes().all(|attribute| is_quiet(attribute.name())), "no attribute runs or loads");
    rule(of("a").all(|link| link.attribute("href").is_some_and(|href| href.starts_with('#'))), "links stay within");
    let style: String = of("style").map(text).collect();
    rule(!["url(", "@import", "image-set"].iter().any(|word| style.contains(word)), "its style loads nothing");
    let reasons: Vec<Node> = all().filter(|node| is(*node, "reason")).collect();
    let details = reasons.iter().filter_map(Node::parent_element).filter(|node| node.has_tag_name("details"));
    let of_failures = |node: &Node| node.parent_element().is_some_and(|card| is(card, "failure"));
    let details: Vec<Node> = details.filter(of_failures).collect();
    rule(details.len() == failures, "each failure says why");
    rule(details.iter().all(|details| details.attribute("open").is_some()), "no failure is folded");
    let shown = style.split("@media print").next().unwrap_or_default();
    let hiding = ["display: none", "visibility", "opacity", "font-size: 0;", "height: 0;", "clip"];
    rule(!hiding.iter().any(|word| shown.contains(word)), "its style hides nothing on a screen");
    rule(attributes().all(|attribute| attribute.name() != "hidden"), "nothing is hidden");
    rule(meta("viewport", "width=device-width"), "it is as wide as the screen");
    let inline = |style: &str| style.starts_with("flex-grow: ") && !style.contains(';');
    rule(attributes().filter(|its| its.name() == "style").all(|its| inline(its.value())), "no element has a width");
    let in_scroll = |table: Node| table.ancestors().any(|node| is(node, "scroll"));
    rule(of("table").all(|table| in_scroll(table) || is(table, "results")), "a wide table scrolls");
    let wraps = ["overflow-wrap: anywhere", ".results { table-layout: fixed; }", ".scroll { overflow-x: auto;"];
    rule(wraps.iter().all(|rule| shown.contains(rule)), "long words are broken");
    rule(shown.contains("dd { margin: 0; white-space: pre-wrap; }"), "long lines are wrapped");
    problems
}

#[test]
fn all_of_it_can_be_read_on_any_screen_and_it_asks_for_nothing() {
    for (events, failures) in
        [(rich(), 3), (only(Outcome::Pass), 0), (only(Outcome::Skip), 0), (hostile(), 3), (vec![started()], 0)]
    {
        let page = reported(&events).text("index.html");
        assert_eq!(problems(&parsed(&page), failures), Vec::<String>::new());
    }
    // Each rule can fail.
    let page = reported(&rich()).text("index.html");
    for (there, instead, problem) in [
        ("<main>", "<main><div style='width: 500px'>x</div>", "no element has a width"),
        ("<main>", "<main><img alt=''/>", "nothing runs or loads"),
        ("<main>", "<main onclick='x'>", "no attribute runs or loads"),
        ("<main>", "<main><a href='https://example.org'>x</a>", "links stay within"),
        ("<main>", "<main><table></table>", "a wide table scrolls"),
        ("<main>", "<main hidden=''>", "nothing is hidden"),
        ("details open=\"\"", "details", "no failure is folded"),
        ("<dl class=\"reason\">", "<dl>", "each failure says why"),
        ("* { box", "dl { display: none } * { box", "its style hides nothing on a screen"),
        ("* { box", "body { background: url(x) } * { box", "its style loads nothing"),
        ("default-src 'none'", "default-src 'self'", "nothing may be loaded"),
        ("width=device-width", "width=1000", "it is as wide as the screen"),
        ("overflow-wrap: anywhere", "", "long words are broken"),
        ("white-space: pre-wrap", "", "long lines are wrapped"),
    ] {
        let bent = page.replace(there, instead);
        assert!(problems(&parsed(&bent), 3).iter().any(|its| its == problem), "{problem}");
    }
}
