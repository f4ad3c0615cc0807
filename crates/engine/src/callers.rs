//! Which numbers may show for a call, and through which trunks each is dialled. Never judges them: the store does, in the
//! transaction that counts their calls, and takes the first that the rules let through.

use crate::calls::{Calls, StartError};
use crate::limits::CALLERS_OF_A_CALL;
use callwright_domain::CallerLine;
use callwright_domain::number::Country;
use callwright_domain::{AccountId, PhoneNumber, Refusal, TrunkId};
use callwright_store::{Number, NumberStatus, StoreError};

impl Calls {
    /// The numbers in the order in which they are tried: those that were named as they were named, or all of the
    /// account's (`owned`), the least busy first.
    pub(crate) async fn callers(
        &self,
        account: &AccountId,
        wanted: &[PhoneNumber],
        owned: Vec<Number>,
    ) -> Result<Vec<CallerLine>, StartError> {
        if wanted.is_empty() && owned.is_empty() {
            return Err(Refusal::NoCallerNumber.into());
        }
        let mut found: Vec<Number> = if wanted.is_empty() { owned } else { in_order(wanted, owned) };
        if found.is_empty() {
            return Err(Refusal::CallerNotOwned.into());
        }
        if found.iter().any(|number| number.status == NumberStatus::Active) {
            found.retain(|number| number.status == NumberStatus::Active);
        }
        if wanted.is_empty() && found.len() > 1 {
            let busy = self.node.reader.active_by_caller(account).await?;
            found.sort_by_key(|number| busy.get(number.number.dial()).copied().unwrap_or(0));
        }
        let mut lines = Vec::new();
        for number in found.into_iter().take(CALLERS_OF_A_CALL) {
            let (trunk, spare_trunks) = self.trunks_of(&number).await?;
            lines.push(CallerLine { number: number.number, trunk, spare_trunks });
        }
        Ok(lines)
    }

    /// The trunk of a number and those that may stand in for it: the first that is switched on goes first.
    async fn trunks_of(&self, number: &Number) -> Result<(TrunkId, Vec<TrunkId>), StoreError> {
        let mut usable = Vec::new();
        if !number.spare_trunks.is_empty() {
            for id in std::iter::once(&number.trunk).chain(&number.spare_trunks) {
                let trunk = self.node.reader.trunk(&number.account, id).await?;
                usable.extend(trunk.filter(|trunk| trunk.enabled.is_on()).map(|trunk| trunk.id));
            }
        }
        if usable.is_empty() {
            // Admission judges whether its only trunk can be used.
            return Ok((number.trunk.clone(), Vec::new()));
        }
        let first = usable.remove(0);
        Ok((first, usable))
    }
}

/// Those that are named, each once, in the order in which they are named.
fn in_order(wanted: &[PhoneNumber], mut owned: Vec<Number>) -> Vec<Number> {
    let mut found = Vec::new();
    for name in wanted {
        if let Some(place) = owned.iter().position(|number| number.number == *name) {
            found.push(owned.swap_remove(place));
        }
    }
    found
}

/// The account's number that a national form stands for in that number's own country, when it can be no other.
pub(crate) fn meant<'a>(given: &PhoneNumber, owned: &'a [Number]) -> Option<&'a PhoneNumber> {
    if given.international().is_some() {
        return None;
    }
    let mut found = owned.iter().map(|own| &own.number).filter(|own| given.at_home(own.country()) == **own);
    match (found.next(), found.next()) {
        (Some(own), None) => Some(own),
        _ => None,
    }
}

/// The callee as a full number: read at home, or in the country of the first of the caller numbers in which it is one. What is
/// one nowhere stays as it was given.
pub(crate) fn callee_of(given: &PhoneNumber, home: Option<Country>, lines: &[CallerLine]) -> PhoneNumber {
    if home.is_some() {
        return given.at_home(home);
    }
    let mut read = lines.iter().map(|line| given.at_home(line.number.country()));
    read.find(|number| number.international().is_some()).unwrap_or_else(|| given.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::PhoneNumber;

    fn own(number: &str) -> Number {
        let account = AccountId::new("a").expect("an id");
        Number::new(account, PhoneNumber::parse(number).expect("a number"), TrunkId::new("t").expect("an id"))
    }

    #[test]
    fn a_callee_is_read_in_the_first_country_in_which_it_is_a_number() {
        let line = |number: &str| {
            let Number { number, trunk, spare_trunks, .. } = own(number);
            CallerLine { number, trunk, spare_trunks }
        };
        let lines = [line("+14155550100"), line("+4930123456")];
        let read = |given: &str, home: Option<&str>, lines: &[CallerLine]| {
            let home = home.map(|code| Country::new(code).expect("a country"));
            let given = PhoneNumber::parse(given).expect("a number");
            callee_of(&given, home, lines).dial().to_owned()
        };
        assert_eq!(read("030123456", None, &lines), "+4930123456");
        assert_eq!(read("4155550123", None, &lines), "+14155550123");
        assert_eq!(read("030123456", None, &lines[..1]), "030123456");
        assert_eq!(read("030123456", Some("US"), &lines), "030123456", "home is home");
        assert_eq!(read("+8618300000333", None, &lines), "+8618300000333");
    }

    #[test]
    fn a_national_form_means_the_one_number_that_it_can_be() {
        let numbers = [own("+8618300000333"), own("+4930123456"), own("+14155550100"), own("+493012345678")];
        let found = |given: &str| {
            let given = PhoneNumber::parse(given).expect("a number");
            meant(&given, &numbers).map(|number| number.dial().to_owned())
        };
        assert_eq!(found("18300000333").as_deref(), Some("+8618300000333"));
        assert_eq!(found("030123456").as_deref(), Some("+4930123456"));
        assert_eq!(found("4155550100").as_deref(), Some("+14155550100"));
        assert_eq!(found("18300000334"), None);
        assert_eq!(found("+8618300000333"), None, "it is one of ours by itself");
        let both = [own("+4930123456"), own("+4330123456")];
        assert_eq!(meant(&PhoneNumber::parse("030123456").expect("a number"), &both), None, "it could be two");
    }
}
