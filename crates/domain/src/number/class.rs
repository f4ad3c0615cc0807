//! What kind of destination a number is: emergency, short, premium, satellite, or an ordinary one of a country. From the
//! digits and the home country alone; whether a kind may be called is policy.

use super::PhoneNumber;
use super::country::{Country, by_code};

/// What a number leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Help in danger. Never called by a machine.
    Emergency,
    /// A service code or an extension: too short to be a subscriber's number.
    Short,
    /// Paid by the minute beyond the connection, or shared cost.
    Premium,
    /// A satellite or a network without a country.
    Satellite,
    /// A code that is assigned to nobody.
    Unassigned,
    /// Digits that only a private exchange or the home country can make sense of, and no home country is known.
    Local,
    /// A subscriber of this country.
    Subscriber(Country),
}

/// Called for help in some country, and so by nobody's machine anywhere.
const EMERGENCY: &[&str] =
    &["000", "110", "111", "112", "113", "115", "117", "118", "119", "120", "122", "911", "988", "999"];
/// Called for help in the country as well.
const EMERGENCY_AT_HOME: &[(&str, &[&str])] = &[
    ("AR", &["100", "101", "103", "107"]),
    ("AT", &["133", "140", "144"]),
    ("AU", &["106"]),
    ("BE", &["100", "101"]),
    ("BR", &["190", "191", "192", "193", "199"]),
    ("BY", &["101", "102", "103"]),
    ("CH", &["144", "145", "1414"]),
    ("CL", &["131", "132", "133"]),
    ("CN", &["12110", "12395"]),
    ("CO", &["123"]),
    ("CZ", &["150", "155", "156", "158"]),
    ("ES", &["061", "062", "080", "085", "091", "092"]),
    ("FR", &["15", "17", "18", "114", "115", "191", "196", "197"]),
    ("GR", &["100", "108", "166", "199"]),
    ("HU", &["104", "105", "107"]),
    ("IL", &["100", "101", "102"]),
    ("IN", &["100", "101", "102", "108", "1091"]),
    ("KZ", &["101", "102", "103", "104"]),
    ("NG", &["199", "767"]),
    ("NL", &["144"]),
    ("PH", &["117", "163"]),
    ("PK", &["15", "16", "1122"]),
    ("PL", &["997", "998"]),
    ("RU", &["01", "02", "03", "04", "101", "102", "103", "104"]),
    ("SG", &["995"]),
    ("SI", &["113"]),
    ("TH", &["191", "199", "1155", "1669"]),
    ("TR", &["155", "156", "158", "177"]),
    ("UA", &["101", "102", "103", "104"]),
    ("VN", &["113", "114", "115"]),
    ("ZA", &["10111", "10177"]),
];

/// Networks without a country (ITU-T E.164, codes of global services): satellites, and international networks.
const SATELLITE: &[&str] = &["870", "878", "881", "882", "883", "888", "991"];
/// Global services that charge the caller: shared cost, premium rate.
const GLOBAL_PREMIUM: &[&str] = &["808", "979"];

/// Beginnings of national numbers that charge the caller more than the connection, from the countries' numbering plans.
const PREMIUM: &[(&str, &str)] = &[
    ("AR", "600 605 609"),
    ("AT", "810 820 821 828 900 901 930 931 939"),
    ("AU", "19"),
    ("BE", "70 78 90"),
    ("BG", "90"),
    ("BR", "300 500 900"),
    ("CH", "18 84 90"),
    ("CN", "160 168 268"),
    ("CO", "901"),
    ("CZ", "84 90 976"),
    ("DE", "118 137 138 180 190 900"),
    ("DK", "90"),
    ("EE", "900"),
    ("ES", "118 803 806 807 901 902 905 907"),
    ("FI", "600 700"),
    ("FR", "118 81 82 83 89"),
    ("GB", "118 70 84 87 9"),
    ("GR", "80 90 14"),
    ("HK", "900"),
    ("HR", "60 61 64 65 69"),
    ("HU", "90 91"),
    ("ID", "809"),
    ("IE", "15 18"),
    ("IL", "19"),
    ("IN", "186 190"),
    ("IT", "144 163 164 166 178 199 89"),
    ("JP", "570 990"),
    ("KR", "60"),
    ("LT", "808 9"),
    ("LV", "90"),
    ("MX", "900"),
    ("MY", "600"),
    ("NL", "18 67 84 87 90"),
    ("NO", "81 82"),
    ("NZ", "900"),
    ("PL", "20 30 40 70"),
    ("PT", "60 62 64 65 66 68 76"),
    ("RO", "90"),
    ("RU", "803 809"),
    ("SE", "900 939 944 99"),
    ("SG", "1900"),
    ("SI", "89 90"),
    ("SK", "90 97"),
    ("TH", "1900"),
    ("TR", "888 898 900"),
    ("TW", "20"),
    ("UA", "900"),
    ("ZA", "862 863 864 865 866 867"),
];

/// Fewest digits of a whole international number that may be a subscriber's; with a calling code of three digits one
/// less, because islands have short numbers.
const SHORTEST: usize = 8;

/// What `number` leads to when it is dialled from `home`.
pub fn of(number: &PhoneNumber, home: Option<Country>) -> Class {
    let Some(digits) = number.international() else {
        return local(number.dial(), home);
    };
    let country = Country::of_digits(digits);
    let national = national(digits);
    // Each spelling: 911, +911, +1911, 001911, and with a trunk zero.
    if is_emergency(digits, home) || is_emergency(national.trim_start_matches('0'), country) {
        return Class::Emergency;
    }
    let starts = |codes: &[&str]| codes.iter().any(|code| digits.starts_with(code));
    if starts(SATELLITE) {
        return Class::Satellite;
    }
    if starts(GLOBAL_PREMIUM) {
        return Class::Premium;
    }
    let Some(country) = country else { return Class::Unassigned };
    if is_short(digits, national, country) {
        return Class::Short;
    }
    if is_premium(national, country) {
        return Class::Premium;
    }
    Class::Subscriber(country)
}

fn local(digits: &str, home: Option<Country>) -> Class {
    // 0086110 is too short to be read as a number abroad, and rings where 110 does.
    let bare = digits.trim_start_matches('0');
    let abroad = national(bare).trim_start_matches('0');
    let outward = digits.len() > bare.len() || home.is_some();
    if [digits, bare].iter().any(|digits| is_emergency(digits, home))
        || (outward && is_emergency(abroad, Country::of_digits(bare)))
    {
        return Class::Emergency;
    }
    match home {
        Some(_) => Class::Short,
        None => Class::Local,
    }
}

fn is_emergency(digits: &str, country: Option<Country>) -> bool {
    let at_home = |country: Country| {
        EMERGENCY_AT_HOME.iter().any(|(code, numbers)| *code == country.code() && numbers.contains(&digits))
    };
    EMERGENCY.contains(&digits) || country.is_some_and(at_home)
}

/// What follows the calling code.
fn national(digits: &str) -> &str {
    if let Some(rest) = digits.strip_prefix('1') {
        return rest;
    }
    by_code(digits).and_then(|row| digits.strip_prefix(row.code)).unwrap_or(digits)
}

fn is_short(digits: &str, national: &str, country: Country) -> bool {
    let code = digits.len() - national.len();
    let island = usize::from(code >= 3);
    if digits.len() < SHORTEST - island {
        return true;
    }
    // China's landlines have at least nine digits with their area, mobiles eleven; what is shorter is a service code.
    country.code() == "CN" && national.len() < 9
}

fn is_premium(national: &str, country: Country) -> bool {
    if country.is_north_american() {
        // 900 is premium as an area, 976 as an exchange in many areas.
        return national.starts_with("900") || national.get(3..6) == Some("976");
    }
    PREMIUM
        .iter()
        .filter(|(code, _)| *code == country.code())
        .flat_map(|(_, beginnings)| beginnings.split(' '))
        .any(|beginning| national.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str, home: &str) -> Class {
        let home = Country::new(home).expect("a country");
        of(&PhoneNumber::parse(text).expect(text).at_home(Some(home)), Some(home))
    }

    #[test]
    fn help_is_recognised_in_every_spelling_and_at_every_home() {
        for home in Country::all() {
            for spelling in ["911", "112", "110", "120", "988", "999", "+112", "+1911", "001911", "+86110", "+44999"] {
                assert_eq!(class(spelling, home.code()), Class::Emergency, "{spelling} from {home}");
            }
        }
        assert_eq!(class("17", "FR"), Class::Emergency);
        assert_eq!(class("+3317", "CN"), Class::Emergency);
    }

    #[test]
    fn kinds() {
        let country = |code| Class::Subscriber(Country::new(code).expect("a country"));
        for (text, home, kind) in [
            ("13800138000", "CN", country("CN")),
            ("4008123456", "CN", country("CN")),
            ("010 1234 5678", "CN", country("CN")),
            ("95588", "CN", Class::Short),
            ("+8695588", "US", Class::Short),
            ("12315", "CN", Class::Short),
            ("+14155550123", "CN", country("US")),
            ("+15550100", "US", country("US")),
            ("1001", "US", Class::Short),
            ("+19005551234", "US", Class::Premium),
            ("+12129761234", "US", Class::Premium),
            ("+449012345678", "GB", Class::Premium),
            ("09012345678", "GB", Class::Premium),
            ("0899123456", "FR", Class::Premium),
            ("+442079460000", "GB", country("GB")),
            ("+881612345678", "US", Class::Satellite),
            ("+80812345678", "US", Class::Premium),
            ("+999123456789", "US", Class::Unassigned),
            ("+2902345", "SH", country("SH")),
        ] {
            assert_eq!(class(text, home), kind, "{text} from {home}");
        }
        assert_eq!(of(&PhoneNumber::parse("1001").expect("digits"), None), Class::Local);
        assert_eq!(of(&PhoneNumber::parse("911").expect("digits"), None), Class::Emergency);
    }
}
