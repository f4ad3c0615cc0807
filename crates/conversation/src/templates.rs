//! Strict templates over a call's variables. Hides the template engine and keeps a template from doing harm.
//! Never renders a value twice: what a variable contains is text, not template.

use minijinja::{Environment, UndefinedBehavior};
use std::collections::BTreeMap;

/// Longest template and longest rendering, in bytes. A prompt is some pages; a model's whole window is less than this.
const TEMPLATE_CAP: usize = 256 * 1024;

/// The only statements. Loops and assignments would let a short template make an endless text.
const STATEMENTS: [&str; 4] = ["if", "elif", "else", "endif"];

/// A template that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It uses a variable that has no value.
    #[error("{place} uses the variable \"{variable}\", which has no value")]
    Unknown {
        /// Where: `system_prompt` or `greeting`.
        place: &'static str,
        /// The variable's name.
        variable: String,
    },
    /// It is not a template, or uses more than variables, `if` and a few filters.
    #[error("{place} is not a valid template: {reason}")]
    Malformed {
        /// Where: `system_prompt` or `greeting`.
        place: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Renders the template found at `place`.
pub(crate) fn render(
    place: &'static str,
    template: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, TemplateError> {
    let malformed = |reason: String| TemplateError::Malformed { place, reason };
    if template.len() > TEMPLATE_CAP {
        return Err(malformed(format!("it is longer than {TEMPLATE_CAP} bytes")));
    }
    if !template.contains("{{") && !template.contains("{%") && !template.contains("{#") {
        return Ok(template.to_owned());
    }
    check_tags(template).map_err(malformed)?;
    let environment = environment();
    let parsed = environment.template_from_str(template).map_err(|error| malformed(error.to_string()))?;
    let rendered = parsed.render(variables).map_err(|error| {
        if error.kind() != minijinja::ErrorKind::UndefinedError {
            return malformed(error.to_string());
        }
        let mut missing: Vec<_> =
            parsed.undeclared_variables(false).into_iter().filter(|name| !variables.contains_key(name)).collect();
        missing.sort();
        match missing.into_iter().next() {
            Some(variable) => TemplateError::Unknown { place, variable },
            None => malformed(error.to_string()),
        }
    })?;
    if rendered.len() > TEMPLATE_CAP {
        return Err(malformed(format!("it renders to more than {TEMPLATE_CAP} bytes")));
    }
    Ok(rendered)
}

/// Only what cannot multiply text: no loops, no functions, no filter that repeats its input.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("default", minijinja::filters::default);
    environment.add_filter("upper", minijinja::filters::upper);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("title", minijinja::filters::title);
    environment.add_filter("capitalize", minijinja::filters::capitalize);
    environment.add_filter("trim", minijinja::filters::trim);
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("undefined", minijinja::tests::is_undefined);
    environment
}

/// Refuses statements other than [`STATEMENTS`], and multiplication (`"x" * 1000000000` is a text).
fn check_tags(template: &str) -> Result<(), String> {
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        rest = &rest[at + 1..];
        let close = match rest.chars().next() {
            Some('%') => "%}",
            Some('{') => "}}",
            Some('#') => "#}",
            _ => continue,
        };
        rest = &rest[1..];
        if close == "#}" {
            rest = &rest[rest.find(close).unwrap_or(rest.len())..];
            continue;
        }
        let code = code_of(rest, close);
        if close == "%}" {
            let statement = code.trim_start_matches(['-', '+']).split_whitespace().next().unwrap_or_default();
            let statement = statement.trim_end_matches(['-', '+']);
            if !STATEMENTS.contains(&statement) {
                return Err(format!("the statement \"{statement}\" is not supported; use variables and if"));
            }
        }
        if code.contains('*') {
            return Err("multiplication is not supported".to_owned());
        }
    }
    Ok(())
}

/// The tag's text up to `close`, with what stands in quotes left out: a quoted `}}` ends no tag.
fn code_of(tag: &str, close: &str) -> String {
    let mut code = String::new();
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in tag.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if tag[at..].starts_with(close) => break,
            None if c == '"' || c == '\'' => quote = Some(c),
            None => code.push(c),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: Result<&str, &str>) {
        let variables = BTreeMap::from([
            ("name".to_owned(), "Ann {{ secret }}".to_owned()),
            ("today".to_owned(), "Monday".to_owned()),
        ]);
        let got = render("greeting", template, &variables).map_err(|error| error.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{template}");
    }

    #[test]
    fn variables_are_put_in_once() {
        check("no template at all", Ok("no template at all"));
        check("a lone { or } is text", Ok("a lone { or } is text"));
        check("Hello {{ name }}!", Ok("Hello Ann {{ secret }}!"));
        check("{% if today == 'Monday' %}A{% else %}B{% endif %}", Ok("A"));
        check("{{ city|default('here') }}", Ok("here"));
        check("{{ today|upper }}{# a note #}", Ok("MONDAY"));
    }

    #[test]
    fn an_unknown_variable_is_named() {
        check("Hello {{ nmae }}!", Err("greeting uses the variable \"nmae\", which has no value"));
        check(
            "{{ name }} {% if plan == 'x' %}1{% endif %}",
            Err("greeting uses the variable \"plan\", which has no value"),
        );
    }

    #[test]
    fn a_template_cannot_run_away() {
        for template in [
            "{% for a in range(9) %}x{% endfor %}",
            "{% set a = name ~ name %}",
            "{%-set a = 1%}",
            "{{ 'x' * 999999999 }}",
            "{{ '}}' * 999999999 }}",
            "{{ \"\\\"}}\" * 999999999 }}",
            "{{ range(10) }}",
            "{{ name|replace('a', 'aaaa') }}",
            "{{ name",
            "{% if name %}",
            "{%",
            "{{",
        ] {
            let error = render("system_prompt", template, &BTreeMap::from([("name".to_owned(), "a".to_owned())]));
            assert!(matches!(error, Err(TemplateError::Malformed { .. })), "{template}: {error:?}");
        }
        assert!(render("greeting", &"x".repeat(TEMPLATE_CAP + 1), &BTreeMap::new()).is_err());
    }
}
