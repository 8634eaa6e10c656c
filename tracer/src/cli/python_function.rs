//! `--mark-py MODULE:FUNCTION`: a function of a Python program.

use serde::Serialize;

use super::UsageError;

/// A function, by the names that Python has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PythonFunction {
    /// Dotted name of the module, as in an `import`; `__main__` is the program itself.
    pub module: String,
    /// Dotted path from the module: `handle`, `Cart.checkout`.
    pub function: String,
}

impl PythonFunction {
    /// Reads the option's value.
    ///
    /// # Errors
    ///
    /// Where it has another form. Whether there is such a function is only known when the program runs.
    pub(super) fn parse(text: &str) -> Result<Self, UsageError> {
        let wrong = || UsageError::MarkPython { text: text.to_owned() };
        let (module, function) = text.split_once(':').ok_or_else(wrong)?;
        if !is_dotted_name(module) || !is_dotted_name(function) {
            return Err(wrong());
        }
        Ok(Self { module: module.to_owned(), function: function.to_owned() })
    }
}

/// Identifiers may have letters of all scripts in them.
fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.starts_with(|first: char| first.is_ascii_digit())
            && !part.is_empty()
            && part.chars().all(|letter| letter == '_' || letter.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_and_a_path_in_it() {
        for (text, module, function) in [
            ("app:handle", "app", "handle"),
            ("shop.cart:Cart.checkout", "shop.cart", "Cart.checkout"),
            ("__main__:größe", "__main__", "größe"),
        ] {
            let read = PythonFunction::parse(text).expect(text);
            assert_eq!((read.module.as_str(), read.function.as_str()), (module, function));
        }
    }

    #[test]
    fn what_else_may_be_typed_is_refused() {
        for text in
            ["", "app", "app:", ":f", "app.py:f()", "a:b:c", "a..b:f", "a:1f", "a\nb:f", "a/b:f"]
        {
            let error = PythonFunction::parse(text).expect_err(text).to_string();
            assert!(error.contains("--mark-py") && error.contains("MODULE:FUNCTION"), "{error}");
        }
    }
}
