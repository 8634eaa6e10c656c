//! The final part of the `--debug` report.

use super::{
    Palette, Report,
    closing::{basis, write_closing, write_warning},
    mappings,
    page::Page,
    python_classes, python_pools,
    tables::write_iterations,
    temporary,
    verdicts::write_verdicts,
};

/// The final part: the lists for the whole run, the table of iterations, the stacks by verdict, RSS, the ledger.
pub fn detailed(report: &Report<'_>, palette: Palette) -> Vec<u8> {
    let mut page = Page::new(palette);
    write_warning(report, "[DEBUG] ", &mut page);
    page.styled(
        palette.heading,
        format_args!("[DEBUG] From the baseline to the end ({}):", basis(report)),
    );
    report.text.block.write(&mut page);
    page.styled(palette.heading, "[DEBUG] Iterations:");
    write_iterations(&report.iterations, &mut page);
    write_verdicts(report, &mut page);
    temporary::write_section(report, &mut page);
    mappings::write_section(report, &mut page);
    python_classes::write_section(report, &mut page);
    python_pools::write_section(report, &mut page);
    write_closing(report, "[DEBUG] ", &mut page);
    page.into_bytes()
}
