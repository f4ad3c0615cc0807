//! May a callee be handed over to somebody? The same verdict on the number as for a call of our own, whoever asks for the
//! transfer. Never fetches.

use super::judge::{Case, Numbers, callable};
use super::{CalleeStanding, Facts, Refusal, Rules};
use crate::transfer::TransferTarget;
use crate::{Moment, PhoneNumber};

/// Whether a callee may be handed over to `target`. `standing` is of the number that is rung there. Hours, consent and
/// counts are about people that a machine calls, and are not asked: who is called here is called for somebody on the line.
///
/// # Errors
/// The first rule that says no: destination, deny list, own number, region; an address at a host that is not listed.
pub fn judge_transfer(
    rules: &Rules,
    caller: &PhoneNumber,
    target: &TransferTarget,
    standing: CalleeStanding,
) -> Result<(), Refusal> {
    let listed = match target {
        TransferTarget::Number(_) | TransferTarget::Desk(_) => false,
        TransferTarget::Address(address) => {
            let entries = &mut rules.destinations.addresses.iter();
            entries.any(|entry| address.is_listed(entry)) || rules.desks.values().any(|desk| desk == target)
        }
    };
    if !listed && !matches!(target, TransferTarget::Number(_)) {
        return Err(Refusal::DestinationNotAllowed);
    }
    let Some(number) = target.number() else { return Ok(()) };
    let callee = number.at_home(rules.home.or_else(|| caller.country()));
    let numbers = Numbers { callee: &callee, caller };
    let case = Case { rules, numbers: Some(numbers), zone: None, at: Moment(0) };
    match callable(&case, numbers, &Facts { callee: standing, ..Facts::default() }) {
        // The exchange that is listed knows its own short numbers.
        Err(Refusal::ShortNumber) if listed => Ok(()),
        verdict => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::DeskName;

    #[test]
    fn addresses_are_called_where_they_are_listed_and_their_numbers_are_judged() {
        let mut rules = Rules::default();
        rules.destinations.addresses = vec![String::from("pbx.example"), String::from("desk@other.example")];
        let sales = DeskName::new("sales").expect("a name");
        rules.desks.insert(sales, TransferTarget::parse("sip:sales@third.example").expect("a target"));
        let caller = PhoneNumber::parse("+4930555010").expect("a number");
        let asked = |to: &str, standing| {
            let target = TransferTarget::parse(to).expect("a target");
            judge_transfer(&rules, &caller, &target, standing).err()
        };
        let free = |to: &str| asked(to, CalleeStanding::Free);
        for allowed in [
            "sip:anybody@pbx.example:5070",
            "sip:100@pbx.example",
            "sip:desk@other.example",
            "030123456",
            "sip:sales@third.example",
        ] {
            assert_eq!(free(allowed), None, "{allowed}");
        }
        for (to, refusal) in [
            ("sip:chief@other.example", Refusal::DestinationNotAllowed),
            ("sip:desk@evil.example", Refusal::DestinationNotAllowed),
            ("sip:chief@third.example", Refusal::DestinationNotAllowed),
            ("desk:sales", Refusal::DestinationNotAllowed),
            ("sip:+19005551234@pbx.example", Refusal::PremiumNumber),
            ("sip:911@pbx.example", Refusal::EmergencyNumber),
            ("sip:+14155550123@pbx.example", Refusal::DestinationNotAllowed),
            ("+19005551234", Refusal::PremiumNumber),
            ("112", Refusal::EmergencyNumber),
            ("100", Refusal::ShortNumber),
            ("+4930555010", Refusal::OwnNumber),
        ] {
            assert_eq!(free(to), Some(refusal), "{to}");
        }
        for (standing, refusal) in [
            (CalleeStanding::Denied, Refusal::CalleeBlocked),
            (CalleeStanding::DeniedEverywhere, Refusal::CalleeBlocked),
            (CalleeStanding::Ours, Refusal::OwnNumber),
        ] {
            assert_eq!(asked("+4930123456", standing), Some(refusal));
            assert_eq!(asked("sip:+4930123456@pbx.example", standing), Some(refusal));
        }
    }
}
