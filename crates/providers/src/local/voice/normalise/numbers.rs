//! Numbers in English words. Knows no text around them.

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const SCALES: [(u64, &str); 4] =
    [(1_000_000_000_000, "trillion"), (1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand")];

/// "one thousand two hundred fifty".
pub(super) fn cardinal(number: u64) -> String {
    let mut words = Vec::new();
    let mut rest = number;
    for (scale, name) in SCALES {
        if rest >= scale {
            words.push(format!("{} {name}", cardinal(rest / scale)));
            rest %= scale;
        }
    }
    if rest >= 100 {
        words.push(format!("{} hundred", ONES[(rest / 100) as usize]));
        rest %= 100;
    }
    if rest > 0 || words.is_empty() {
        words.push(below_hundred(rest));
    }
    words.join(" ")
}

/// "twenty first".
pub(super) fn ordinal(number: u64) -> String {
    let words = cardinal(number);
    let (head, last) = words.rsplit_once(' ').map_or(("", words.as_str()), |(head, last)| (head, last));
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        tens if tens.ends_with('y') => format!("{}ieth", &tens[..tens.len() - 1]),
        other => format!("{other}th"),
    };
    format!("{head} {last}").trim().to_owned()
}

/// "twenty twenty six", "nineteen oh five", "two thousand five".
pub(super) fn year(number: u64) -> String {
    let (century, rest) = (number / 100, number % 100);
    match (century, rest) {
        (20, 0..=9) | (10, _) => cardinal(number),
        (_, 0) => format!("{} hundred", cardinal(century)),
        (_, 1..=9) => format!("{} oh {}", cardinal(century), below_hundred(rest)),
        (_, _) => format!("{} {}", cardinal(century), below_hundred(rest)),
    }
}

/// "four one five"; what is no digit is left out.
pub(super) fn digits(text: &str) -> String {
    let words = text.chars().filter_map(|digit| digit.to_digit(10)).map(|digit| ONES[digit as usize]);
    words.collect::<Vec<_>>().join(" ")
}

fn below_hundred(number: u64) -> String {
    match number {
        0..=19 => ONES[number as usize].to_owned(),
        _ if number.is_multiple_of(10) => TENS[(number / 10) as usize % 10].to_owned(),
        _ => format!("{} {}", TENS[(number / 10) as usize % 10], ONES[(number % 10) as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        for (number, words) in [
            (0, "zero"),
            (13, "thirteen"),
            (40, "forty"),
            (99, "ninety nine"),
            (100, "one hundred"),
            (1_250, "one thousand two hundred fifty"),
            (1_000_001, "one million one"),
        ] {
            assert_eq!(cardinal(number), words);
        }
        assert!(cardinal(u64::MAX).contains("trillion"));
        for (number, words) in [
            (1, "first"),
            (2, "second"),
            (12, "twelfth"),
            (20, "twentieth"),
            (21, "twenty first"),
            (104, "one hundred fourth"),
        ] {
            assert_eq!(ordinal(number), words);
        }
        for (number, words) in [
            (2026, "twenty twenty six"),
            (2005, "two thousand five"),
            (2000, "two thousand"),
            (1905, "nineteen oh five"),
            (1900, "nineteen hundred"),
        ] {
            assert_eq!(year(number), words);
        }
        assert_eq!(digits("4-15"), "four one five");
    }
}
