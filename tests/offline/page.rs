//! The page: whole and readable by machines, whatever a pod printed, and shown by a real browser without a problem.

use std::path::Path;
use std::process::Command;

use file_simulator_e2e::event::{Event, Outcome, Timeline};
use roxmltree::{Document, Node, ParsingOptions};

use crate::stream::{hostile, only, reported, rich, started};

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
        assert!(all("svg").all(|svg| svg.attribute("aria-label").is_some() || svg.attribute("aria-hidden").is_some()));
        let ids: Vec<_> = page.descendants().filter_map(|node| node.attribute("id")).collect();
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        let referred = page.descendants().filter_map(|node| {
            node.attribute("aria-labelledby").or_else(|| node.attribute("href").and_then(|href| href.strip_prefix('#')))
        });
        assert!(referred.into_iter().all(|id| ids.contains(&id)));
    }
}

#[test]
fn times_that_cannot_be_are_drawn_all_the_same() {
    let mut events = rich();
    for event in &mut events {
        if let Event::CaseFinished { verdict, .. } = event {
            let files = vec![(u64::MAX, Some(0)), (0, None), (0, Some(u64::MAX))];
            verdict.timeline = Some(Box::new(Timeline { limit: 0, files, cycles: vec![u64::MAX, 0] }));
        }
    }
    let page = reported(&events).text("index.html");
    assert!(page.contains("<rect") && !page.contains("inf%") && !page.contains("NaN"), "{page}");
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

/// Holds the page in a frame as wide as a phone's window and says how it is shown there. The page itself runs nothing.
const MEASURE: &str = r#"<!DOCTYPE html><iframe id="frame" style="width: 360px; height: 800px; border: 0" srcdoc="PAGE"></iframe>
<output id="seen"></output><script>
onload = () => {
  const { document: page, performance } = frame.contentWindow;
  const failures = [...page.querySelectorAll(".failure > details > .reason")];
  seen.textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    words: page.body.innerText.length,
    requests: performance.getEntriesByType("resource").map((entry) => entry.name),
    failures: failures.length,
    hidden: failures.filter((failure) => !failure.checkVisibility() || failure.offsetHeight < 10).length,
    wide: [...page.querySelectorAll("body *")].filter((node) => node.getBoundingClientRect().right > 360 && !node.closest(".scroll, title"))
      .map((node) => node.outerHTML.slice(0, 80)),
  });
};
</script>"#;

#[test]
#[ignore = "needs chromium"]
fn a_browser_shows_all_of_it_on_a_phone_without_a_problem() {
    for (events, failures) in
        [(rich(), 3), (only(Outcome::Pass), 0), (only(Outcome::Skip), 0), (hostile(), 3), (vec![started()], 0)]
    {
        let reports = reported(&events);
        let page = reports.text("index.html");
        let seen = measured(&reports.path("measure.html"), &page);
        let words = seen["words"].as_u64().unwrap();
        assert!(words > 100, "it was shown: {seen}");
        let rest = serde_json::json!({"width": 360, "words": words, "requests": [], "failures": failures, "hidden": 0, "wide": []});
        assert_eq!(seen, rest);
    }
    // What is measured can fail.
    let reports = reported(&only(Outcome::Pass));
    let wide = reports.text("index.html").replace("<main>", "<main><div style='width: 500px'>x</div>");
    assert!(measured(&reports.path("measure.html"), &wide)["width"].as_u64().unwrap() > 500);
}

/// What the browser says of a page; it must say nothing else.
fn measured(file: &Path, page: &str) -> serde_json::Value {
    let inner = page.replace('&', "&amp;").replace('"', "&quot;");
    std::fs::write(file, MEASURE.replace("PAGE", &inner)).unwrap();
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--dump-dom",
    ]);
    let output = command.arg(file).output().unwrap_or_else(|error| panic!("chromium: {error}"));
    let [dom, problems] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(!problems.contains("CONSOLE"), "{problems}");
    let seen = dom.rsplit("<output id=\"seen\">").next().and_then(|rest| rest.split("</output>").next()).unwrap();
    serde_json::from_str(&seen.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        .unwrap_or_else(|error| panic!("{error}: {seen}"))
}
