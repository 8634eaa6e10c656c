//! Test cases as XML.

use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

use super::cases::{Case, Verdict};

const SUITE: &str = "memtrace";

type Xml = Writer<Vec<u8>>;

/// One suite that took `duration_ns`.
pub(super) fn suite(cases: &[Case], duration_ns: u64) -> Vec<u8> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Writing to memory can't fail.
    let _ = write(&mut xml, cases, duration_ns);
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    bytes
}

fn write(xml: &mut Xml, cases: &[Case], duration_ns: u64) -> io::Result<()> {
    let count = |wanted: fn(&Verdict) -> bool| {
        cases.iter().filter(|case| wanted(&case.verdict)).count().to_string()
    };
    let (tests, time) = (cases.len().to_string(), format!("{:.3}", duration_ns as f64 / 1e9));
    let attributes = [
        ("name", SUITE),
        ("tests", &tests),
        ("failures", &count(|verdict| matches!(verdict, Verdict::Failed { .. }))),
        ("errors", &count(|verdict| matches!(verdict, Verdict::Error { .. }))),
        ("skipped", &count(|verdict| matches!(verdict, Verdict::Skipped { .. }))),
        ("time", &time),
    ];
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suites = xml.create_element("testsuites").with_attributes(attributes);
    suites.write_inner_content(|xml| {
        let suite = xml.create_element("testsuite").with_attributes(attributes);
        suite.write_inner_content(|xml| cases.iter().try_for_each(|case| write_case(xml, case)))?;
        Ok(())
    })?;
    Ok(())
}

fn write_case(xml: &mut Xml, case: &Case) -> io::Result<()> {
    let name = allowed(&case.name);
    let attributes = [("classname", SUITE), ("name", &name), ("time", "0")];
    let element = xml.create_element("testcase").with_attributes(attributes);
    if matches!(case.verdict, Verdict::Passed) && case.output.is_empty() {
        element.write_empty()?;
        return Ok(());
    }
    element.write_inner_content(|xml| {
        match &case.verdict {
            Verdict::Passed => {}
            Verdict::Failed { message, details } => {
                write_verdict(xml, "failure", message, details)?;
            }
            Verdict::Error { message } => write_verdict(xml, "error", message, "")?,
            Verdict::Skipped { message } => write_verdict(xml, "skipped", message, "")?,
        }
        if !case.output.is_empty() {
            let output = allowed(&case.output);
            xml.create_element("system-out").write_text_content(BytesText::new(&output))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn write_verdict(xml: &mut Xml, tag: &str, message: &str, details: &str) -> io::Result<()> {
    let (message, details) = (allowed(message), allowed(details));
    let element = xml.create_element(tag).with_attribute(("message", message.as_str()));
    if details.is_empty() {
        element.write_empty()?;
    } else {
        element.write_text_content(BytesText::new(&details))?;
    }
    Ok(())
}

/// What may stand in XML. Control characters were made visible before; two others have no place in it either, not even
/// escaped.
fn allowed(text: &str) -> String {
    text.replace(
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{fffe}' | '\u{ffff}'),
        "\u{fffd}",
    )
}
