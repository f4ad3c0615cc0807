//! Countries of the telephone network: calling codes (ITU-T E.164 list of assigned codes), trunk and international
//! prefixes, time zones. Tables and look-ups only; never judges whether a country may be called.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// A country or territory, by its ISO 3166-1 code of two letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Country(&'static str);

/// A text that is no country of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the two capital letters of a country (ISO 3166-1), such as CN")]
pub struct BadCountry;

/// One country with a calling code of its own, or one area of the North American plan that is not the United States.
pub(super) struct Row {
    /// Calling code, or area code within `+1`.
    pub(super) code: &'static str,
    /// Whose.
    pub(super) country: Country,
    /// What stands before a national number within the country; empty: nothing.
    pub(super) trunk: &'static str,
    /// Time zones, with commas.
    pub(super) zones: &'static str,
}

/// The United States of America: `+1` where no other country of that plan is meant.
pub const US: Country = Country("US");
/// Canada.
pub const CANADA: Country = Country("CA");
/// China.
pub const CHINA: Country = Country("CN");

/// Zones of the United States, and of Canada, where the area code does not tell.
const US_ZONES: &str =
    "America/New_York,America/Chicago,America/Denver,America/Los_Angeles,America/Anchorage,Pacific/Honolulu";
const CANADA_ZONES: &str = "America/St_Johns,America/Halifax,America/Toronto,America/Winnipeg,America/Regina,America/Edmonton,America/Vancouver";

/// Area codes of Canada (CNAC), with commas between.
const CANADIAN: &str = "204,226,236,249,250,257,263,289,306,343,354,365,367,368,382,387,403,416,418,428,431,437,438,450,460,\
468,474,506,514,519,537,548,568,579,581,584,587,604,613,639,647,672,683,705,709,742,753,778,780,782,807,819,825,851,867,\
873,879,902,905,942";

const fn row(code: &'static str, country: &'static str, trunk: &'static str, zones: &'static str) -> Row {
    Row { code, country: Country(country), trunk, zones }
}

impl Country {
    /// The country of a code.
    ///
    /// # Errors
    /// [`BadCountry`] when no country of the table has it.
    pub fn new(code: &str) -> Result<Self, BadCountry> {
        Self::all().find(|country| country.0 == code).ok_or(BadCountry)
    }

    /// The two letters.
    pub const fn code(self) -> &'static str {
        self.0
    }

    /// Every country of the table; one with several codes comes more than once.
    pub fn all() -> impl Iterator<Item = Self> {
        [US, CANADA].into_iter().chain(ROWS.iter().chain(ISLANDS).map(|row| row.country))
    }

    /// The country that a number in international form, without its `+`, belongs to. None: a network without a
    /// country, such as a satellite's, or an unassigned code.
    pub fn of_digits(digits: &str) -> Option<Self> {
        if let Some(national) = digits.strip_prefix('1') {
            let area = national.get(..3)?;
            if CANADIAN.split(',').any(|code| code == area) {
                return Some(CANADA);
            }
            return Some(ISLANDS.iter().find(|row| row.code == area).map_or(US, |row| row.country));
        }
        // Kazakhstan shares +7 with Russia: its areas begin with 6 and 7.
        if digits.starts_with("76") || digits.starts_with("77") {
            return Some(Self("KZ"));
        }
        by_code(digits).map(|row| row.country)
    }

    /// The calling code, without `+`.
    pub fn calling_code(self) -> &'static str {
        if self.0 == "KZ" {
            return "7";
        }
        ROWS.iter().find(|row| row.country == self).map_or("1", |row| row.code)
    }

    /// Whether it belongs to the North American plan (`+1`).
    pub fn is_north_american(self) -> bool {
        self.calling_code() == "1"
    }

    /// What stands before a national number when it is dialled within the country; empty: nothing.
    pub fn trunk_prefix(self) -> &'static str {
        match self.0 {
            "KZ" => "8",
            _ => ROWS.iter().find(|row| row.country == self).map_or("1", |row| row.trunk),
        }
    }

    /// What is dialled before a calling code from within the country, the usual `00` aside.
    pub fn international_prefix(self) -> &'static str {
        match self.0 {
            "AU" => "0011",
            "JP" => "010",
            "KR" | "HK" | "SG" | "TH" | "ID" | "KH" => "001",
            "TW" => "002",
            "RU" | "KZ" | "BY" | "TM" => "810",
            _ if self.is_north_american() => "011",
            _ => "00",
        }
    }

    /// Every time zone of the country.
    pub(super) fn zones(self) -> &'static str {
        match self {
            US => US_ZONES,
            CANADA => CANADA_ZONES,
            Self("KZ") => "Asia/Almaty",
            _ => ROWS.iter().chain(ISLANDS).find(|row| row.country == self).map_or("UTC", |row| row.zones),
        }
    }
}

/// The row whose calling code a number begins with: no code is the beginning of another.
pub(super) fn by_code(digits: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| digits.starts_with(row.code))
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Areas of `+1` outside the United States and Canada.
#[rustfmt::skip]
static ISLANDS: &[Row] = &[
    row("242", "BS", "1", "America/Nassau"),
    row("246", "BB", "1", "America/Barbados"),
    row("264", "AI", "1", "America/Anguilla"),
    row("268", "AG", "1", "America/Antigua"),
    row("284", "VG", "1", "America/Tortola"),
    row("340", "VI", "1", "America/St_Thomas"),
    row("345", "KY", "1", "America/Cayman"),
    row("441", "BM", "1", "Atlantic/Bermuda"),
    row("473", "GD", "1", "America/Grenada"),
    row("649", "TC", "1", "America/Grand_Turk"),
    row("658", "JM", "1", "America/Jamaica"),
    row("664", "MS", "1", "America/Montserrat"),
    row("670", "MP", "1", "Pacific/Saipan"),
    row("671", "GU", "1", "Pacific/Guam"),
    row("684", "AS", "1", "Pacific/Pago_Pago"),
    row("721", "SX", "1", "America/Lower_Princes"),
    row("758", "LC", "1", "America/St_Lucia"),
    row("767", "DM", "1", "America/Dominica"),
    row("784", "VC", "1", "America/St_Vincent"),
    row("787", "PR", "1", "America/Puerto_Rico"),
    row("809", "DO", "1", "America/Santo_Domingo"),
    row("829", "DO", "1", "America/Santo_Domingo"),
    row("849", "DO", "1", "America/Santo_Domingo"),
    row("868", "TT", "1", "America/Port_of_Spain"),
    row("869", "KN", "1", "America/St_Kitts"),
    row("876", "JM", "1", "America/Jamaica"),
    row("939", "PR", "1", "America/Puerto_Rico"),
];

/// Countries by calling code, `+1` and Kazakhstan's part of `+7` aside.
#[rustfmt::skip]
static ROWS: &[Row] = &[
    row("20", "EG", "0", "Africa/Cairo"),
    row("211", "SS", "0", "Africa/Juba"),
    row("212", "MA", "0", "Africa/Casablanca"),
    row("213", "DZ", "0", "Africa/Algiers"),
    row("216", "TN", "", "Africa/Tunis"),
    row("218", "LY", "0", "Africa/Tripoli"),
    row("220", "GM", "", "Africa/Banjul"),
    row("221", "SN", "", "Africa/Dakar"),
    row("222", "MR", "", "Africa/Nouakchott"),
    row("223", "ML", "", "Africa/Bamako"),
    row("224", "GN", "", "Africa/Conakry"),
    row("225", "CI", "", "Africa/Abidjan"),
    row("226", "BF", "", "Africa/Ouagadougou"),
    row("227", "NE", "", "Africa/Niamey"),
    row("228", "TG", "", "Africa/Lome"),
    row("229", "BJ", "", "Africa/Porto-Novo"),
    row("230", "MU", "", "Indian/Mauritius"),
    row("231", "LR", "0", "Africa/Monrovia"),
    row("232", "SL", "0", "Africa/Freetown"),
    row("233", "GH", "0", "Africa/Accra"),
    row("234", "NG", "0", "Africa/Lagos"),
    row("235", "TD", "", "Africa/Ndjamena"),
    row("236", "CF", "", "Africa/Bangui"),
    row("237", "CM", "", "Africa/Douala"),
    row("238", "CV", "", "Atlantic/Cape_Verde"),
    row("239", "ST", "", "Africa/Sao_Tome"),
    row("240", "GQ", "", "Africa/Malabo"),
    row("241", "GA", "", "Africa/Libreville"),
    row("242", "CG", "", "Africa/Brazzaville"),
    row("243", "CD", "0", "Africa/Kinshasa,Africa/Lubumbashi"),
    row("244", "AO", "", "Africa/Luanda"),
    row("245", "GW", "", "Africa/Bissau"),
    row("246", "IO", "", "Indian/Chagos"),
    row("247", "AC", "", "Atlantic/St_Helena"),
    row("248", "SC", "", "Indian/Mahe"),
    row("249", "SD", "0", "Africa/Khartoum"),
    row("250", "RW", "0", "Africa/Kigali"),
    row("251", "ET", "0", "Africa/Addis_Ababa"),
    row("252", "SO", "0", "Africa/Mogadishu"),
    row("253", "DJ", "", "Africa/Djibouti"),
    row("254", "KE", "0", "Africa/Nairobi"),
    row("255", "TZ", "0", "Africa/Dar_es_Salaam"),
    row("256", "UG", "0", "Africa/Kampala"),
    row("257", "BI", "", "Africa/Bujumbura"),
    row("258", "MZ", "", "Africa/Maputo"),
    row("260", "ZM", "0", "Africa/Lusaka"),
    row("261", "MG", "0", "Indian/Antananarivo"),
    row("262", "RE", "0", "Indian/Reunion,Indian/Mayotte"),
    row("263", "ZW", "0", "Africa/Harare"),
    row("264", "NA", "0", "Africa/Windhoek"),
    row("265", "MW", "0", "Africa/Blantyre"),
    row("266", "LS", "", "Africa/Maseru"),
    row("267", "BW", "", "Africa/Gaborone"),
    row("268", "SZ", "", "Africa/Mbabane"),
    row("269", "KM", "", "Indian/Comoro"),
    row("27", "ZA", "0", "Africa/Johannesburg"),
    row("290", "SH", "", "Atlantic/St_Helena"),
    row("291", "ER", "0", "Africa/Asmara"),
    row("297", "AW", "", "America/Aruba"),
    row("298", "FO", "", "Atlantic/Faroe"),
    row("299", "GL", "", "America/Nuuk,America/Scoresbysund,America/Thule,America/Danmarkshavn"),
    row("30", "GR", "", "Europe/Athens"),
    row("31", "NL", "0", "Europe/Amsterdam"),
    row("32", "BE", "0", "Europe/Brussels"),
    row("33", "FR", "0", "Europe/Paris"),
    row("34", "ES", "", "Europe/Madrid,Atlantic/Canary"),
    row("350", "GI", "", "Europe/Gibraltar"),
    row("351", "PT", "", "Europe/Lisbon,Atlantic/Azores"),
    row("352", "LU", "", "Europe/Luxembourg"),
    row("353", "IE", "0", "Europe/Dublin"),
    row("354", "IS", "", "Atlantic/Reykjavik"),
    row("355", "AL", "0", "Europe/Tirane"),
    row("356", "MT", "", "Europe/Malta"),
    row("357", "CY", "", "Asia/Nicosia"),
    row("358", "FI", "0", "Europe/Helsinki"),
    row("359", "BG", "0", "Europe/Sofia"),
    row("36", "HU", "06", "Europe/Budapest"),
    row("370", "LT", "0", "Europe/Vilnius"),
    row("371", "LV", "", "Europe/Riga"),
    row("372", "EE", "", "Europe/Tallinn"),
    row("373", "MD", "0", "Europe/Chisinau"),
    row("374", "AM", "0", "Asia/Yerevan"),
    row("375", "BY", "8", "Europe/Minsk"),
    row("376", "AD", "", "Europe/Andorra"),
    row("377", "MC", "", "Europe/Monaco"),
    row("378", "SM", "", "Europe/San_Marino"),
    row("380", "UA", "0", "Europe/Kyiv"),
    row("381", "RS", "0", "Europe/Belgrade"),
    row("382", "ME", "0", "Europe/Podgorica"),
    row("383", "XK", "0", "Europe/Belgrade"),
    row("385", "HR", "0", "Europe/Zagreb"),
    row("386", "SI", "0", "Europe/Ljubljana"),
    row("387", "BA", "0", "Europe/Sarajevo"),
    row("389", "MK", "0", "Europe/Skopje"),
    row("39", "IT", "", "Europe/Rome"),
    row("40", "RO", "0", "Europe/Bucharest"),
    row("41", "CH", "0", "Europe/Zurich"),
    row("420", "CZ", "", "Europe/Prague"),
    row("421", "SK", "0", "Europe/Bratislava"),
    row("423", "LI", "", "Europe/Vaduz"),
    row("43", "AT", "0", "Europe/Vienna"),
    row("44", "GB", "0", "Europe/London"),
    row("45", "DK", "", "Europe/Copenhagen"),
    row("46", "SE", "0", "Europe/Stockholm"),
    row("47", "NO", "", "Europe/Oslo"),
    row("48", "PL", "", "Europe/Warsaw"),
    row("49", "DE", "0", "Europe/Berlin"),
    row("500", "FK", "", "Atlantic/Stanley"),
    row("501", "BZ", "", "America/Belize"),
    row("502", "GT", "", "America/Guatemala"),
    row("503", "SV", "", "America/El_Salvador"),
    row("504", "HN", "", "America/Tegucigalpa"),
    row("505", "NI", "", "America/Managua"),
    row("506", "CR", "", "America/Costa_Rica"),
    row("507", "PA", "", "America/Panama"),
    row("508", "PM", "0", "America/Miquelon"),
    row("509", "HT", "", "America/Port-au-Prince"),
    row("51", "PE", "0", "America/Lima"),
    row("52", "MX", "", "America/Mexico_City,America/Cancun,America/Hermosillo,America/Tijuana,America/Chihuahua"),
    row("53", "CU", "0", "America/Havana"),
    row("54", "AR", "0", "America/Argentina/Buenos_Aires"),
    row("55", "BR", "0", "America/Sao_Paulo,America/Manaus,America/Rio_Branco,America/Noronha"),
    row("56", "CL", "", "America/Santiago,Pacific/Easter,America/Punta_Arenas"),
    row("57", "CO", "0", "America/Bogota"),
    row("58", "VE", "0", "America/Caracas"),
    row("590", "GP", "0", "America/Guadeloupe"),
    row("591", "BO", "0", "America/La_Paz"),
    row("592", "GY", "", "America/Guyana"),
    row("593", "EC", "0", "America/Guayaquil,Pacific/Galapagos"),
    row("594", "GF", "0", "America/Cayenne"),
    row("595", "PY", "0", "America/Asuncion"),
    row("596", "MQ", "0", "America/Martinique"),
    row("597", "SR", "", "America/Paramaribo"),
    row("598", "UY", "0", "America/Montevideo"),
    row("599", "CW", "", "America/Curacao"),
    row("60", "MY", "0", "Asia/Kuala_Lumpur"),
    row("61", "AU", "0", "Australia/Sydney,Australia/Brisbane,Australia/Adelaide,Australia/Darwin,Australia/Perth"),
    row("62", "ID", "0", "Asia/Jakarta,Asia/Makassar,Asia/Jayapura"),
    row("63", "PH", "0", "Asia/Manila"),
    row("64", "NZ", "0", "Pacific/Auckland,Pacific/Chatham"),
    row("65", "SG", "", "Asia/Singapore"),
    row("66", "TH", "0", "Asia/Bangkok"),
    row("670", "TL", "", "Asia/Dili"),
    row("672", "NF", "", "Pacific/Norfolk"),
    row("673", "BN", "", "Asia/Brunei"),
    row("674", "NR", "", "Pacific/Nauru"),
    row("675", "PG", "", "Pacific/Port_Moresby,Pacific/Bougainville"),
    row("676", "TO", "", "Pacific/Tongatapu"),
    row("677", "SB", "", "Pacific/Guadalcanal"),
    row("678", "VU", "", "Pacific/Efate"),
    row("679", "FJ", "", "Pacific/Fiji"),
    row("680", "PW", "", "Pacific/Palau"),
    row("681", "WF", "", "Pacific/Wallis"),
    row("682", "CK", "", "Pacific/Rarotonga"),
    row("683", "NU", "", "Pacific/Niue"),
    row("685", "WS", "", "Pacific/Apia"),
    row("686", "KI", "", "Pacific/Tarawa,Pacific/Kanton,Pacific/Kiritimati"),
    row("687", "NC", "", "Pacific/Noumea"),
    row("688", "TV", "", "Pacific/Funafuti"),
    row("689", "PF", "", "Pacific/Tahiti,Pacific/Marquesas,Pacific/Gambier"),
    row("690", "TK", "", "Pacific/Fakaofo"),
    row("691", "FM", "", "Pacific/Chuuk,Pacific/Pohnpei,Pacific/Kosrae"),
    row("692", "MH", "", "Pacific/Majuro"),
    row("7", "RU", "8", "Europe/Kaliningrad,Europe/Moscow,Europe/Samara,Asia/Yekaterinburg,Asia/Omsk,Asia/Krasnoyarsk,Asia/Irkutsk,Asia/Yakutsk,Asia/Vladivostok,Asia/Magadan,Asia/Kamchatka"),
    row("81", "JP", "0", "Asia/Tokyo"),
    row("82", "KR", "0", "Asia/Seoul"),
    row("84", "VN", "0", "Asia/Ho_Chi_Minh"),
    row("850", "KP", "0", "Asia/Pyongyang"),
    row("852", "HK", "", "Asia/Hong_Kong"),
    row("853", "MO", "", "Asia/Macau"),
    row("855", "KH", "0", "Asia/Phnom_Penh"),
    row("856", "LA", "0", "Asia/Vientiane"),
    row("86", "CN", "0", "Asia/Shanghai"),
    row("880", "BD", "0", "Asia/Dhaka"),
    row("886", "TW", "0", "Asia/Taipei"),
    row("90", "TR", "0", "Europe/Istanbul"),
    row("91", "IN", "0", "Asia/Kolkata"),
    row("92", "PK", "0", "Asia/Karachi"),
    row("93", "AF", "0", "Asia/Kabul"),
    row("94", "LK", "0", "Asia/Colombo"),
    row("95", "MM", "0", "Asia/Yangon"),
    row("960", "MV", "", "Indian/Maldives"),
    row("961", "LB", "0", "Asia/Beirut"),
    row("962", "JO", "0", "Asia/Amman"),
    row("963", "SY", "0", "Asia/Damascus"),
    row("964", "IQ", "0", "Asia/Baghdad"),
    row("965", "KW", "", "Asia/Kuwait"),
    row("966", "SA", "0", "Asia/Riyadh"),
    row("967", "YE", "0", "Asia/Aden"),
    row("968", "OM", "", "Asia/Muscat"),
    row("970", "PS", "0", "Asia/Gaza,Asia/Hebron"),
    row("971", "AE", "0", "Asia/Dubai"),
    row("972", "IL", "0", "Asia/Jerusalem"),
    row("973", "BH", "", "Asia/Bahrain"),
    row("974", "QA", "", "Asia/Qatar"),
    row("975", "BT", "", "Asia/Thimphu"),
    row("976", "MN", "0", "Asia/Ulaanbaatar,Asia/Hovd"),
    row("977", "NP", "0", "Asia/Kathmandu"),
    row("98", "IR", "0", "Asia/Tehran"),
    row("992", "TJ", "", "Asia/Dushanbe"),
    row("993", "TM", "8", "Asia/Ashgabat"),
    row("994", "AZ", "0", "Asia/Baku"),
    row("995", "GE", "0", "Asia/Tbilisi"),
    row("996", "KG", "0", "Asia/Bishkek"),
    row("998", "UZ", "", "Asia/Tashkent"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_calling_code_begins_another() {
        for row in ROWS {
            assert_eq!(ROWS.iter().filter(|other| other.code.starts_with(row.code)).count(), 1, "{}", row.code);
        }
    }

    #[test]
    fn numbers_find_their_country() {
        for (digits, country) in [
            ("14155550123", "US"),
            ("14165550123", "CA"),
            ("18765551234", "JM"),
            ("8613800138000", "CN"),
            ("77011234567", "KZ"),
            ("74951234567", "RU"),
            ("442079460000", "GB"),
        ] {
            assert_eq!(Country::of_digits(digits).map(Country::code), Some(country), "{digits}");
        }
        for nobody in ["881612345678", "883510001234", "80812345678", "9991"] {
            assert_eq!(Country::of_digits(nobody), None, "{nobody}");
        }
    }
}
