//! Which numbers may show for a call, and through which trunks each is dialled. Never judges them: the store does, in the
//! transaction that counts their calls, and takes the first that the rules let through.

use crate::calls::{Calls, StartError};
use crate::limits::CALLERS_OF_A_CALL;
use callwright_domain::CallerLine;
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
