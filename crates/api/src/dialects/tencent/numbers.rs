//! How this vendor writes telephone numbers: `00`, the country, and for Chinese landlines the area code with its zero.

use callwright_domain::PhoneNumber;

/// Chinese numbers that are no landlines, by their beginning and length: mobile telephones, and the 400 and 800 services.
const WITHOUT_AREA: [(&str, usize); 3] = [("1", 11), ("400", 10), ("800", 10)];

/// The number that a text means: `0086…`, `+86…` or bare digits; the zero of a Chinese area code is left out.
///
/// # Errors
/// Which rule the text breaks.
pub(super) fn parse(text: &str) -> Result<PhoneNumber, String> {
    let number = PhoneNumber::parse(text).map_err(|why| why.to_string())?;
    let digits = number.dial();
    // Also without anything before the country's code: a mobile number's eleven digits, or an area's with its 0 or without.
    let bare = digits.strip_prefix("86").map(|rest| rest.strip_prefix('0').unwrap_or(rest));
    let bare = bare.filter(|rest| (10..=11).contains(&rest.len()));
    let plain = match (digits.strip_prefix("+860"), bare) {
        (Some(rest), _) => format!("+86{rest}"),
        (None, Some(rest)) => format!("+86{rest}"),
        (None, None) => return Ok(number),
    };
    PhoneNumber::parse(&plain).map_err(|why| why.to_string())
}

/// The number of a call as the vendor shows it; empty: the call has none.
pub(super) fn of(number: Option<&PhoneNumber>) -> String {
    number.map(shown).unwrap_or_default()
}

/// The number as the vendor shows it.
pub(super) fn shown(number: &PhoneNumber) -> String {
    let digits = number.dial();
    let Some(international) = digits.strip_prefix('+') else { return digits.to_owned() };
    let without_area = |rest: &str| WITHOUT_AREA.iter().any(|(head, len)| rest.starts_with(head) && rest.len() == *len);
    match international.strip_prefix("86") {
        Some(rest) if !without_area(rest) => format!("00860{rest}"),
        _ => format!("00{international}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_for_many_spellings_and_the_vendors_in_answers() {
        for (given, dialled, printed) in [
            ("008613012345678", "+8613012345678", "008613012345678"),
            ("861012345678", "+861012345678", "008601012345678"),
            ("8601012345678", "+861012345678", "008601012345678"),
            ("864009282737", "+864009282737", "00864009282737"),
            ("+8613012345678", "+8613012345678", "008613012345678"),
            ("8613012345678", "+8613012345678", "008613012345678"),
            ("008601012345678", "+861012345678", "008601012345678"),
            ("0086075512345678", "+8675512345678", "0086075512345678"),
            ("+8675512345678", "+8675512345678", "0086075512345678"),
            ("00864009282737", "+864009282737", "00864009282737"),
            ("0014155550100", "+14155550100", "0014155550100"),
            ("13012345678", "13012345678", "13012345678"),
            ("1001", "1001", "1001"),
        ] {
            let number = parse(given).expect(given);
            assert_eq!((number.dial(), shown(&number).as_str()), (dialled, printed), "{given}");
        }
        assert!(parse("0086\r\n1").is_err());
    }
}
