"""The module that the package ships, in the catalogue: pushed at the first start, by whichever replica comes first."""

from __future__ import annotations

import asyncio
import logging

from hfi_core.backoff import Backoff
from hfi_core.errors import ModuleConflict, ModuleNotFound, ModuleUnavailable, StoreError
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.manifest import Manifest
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.modules.catalogue import FilterModule
from hfi_core.modules.inspection import Inspection

log = logging.getLogger(__name__)

#: Between attempts while the store is away.
RETRY_SECONDS = (0.1, 5.0)
NOTE = "shipped with HFI"
#: What a test finds in the module that ships: a first start need not wait for a compiler to find it again.
INSPECTED = Inspection("0.2.1")


async def ship(
    module: FilterModule, catalogue: ModuleCatalogue, rollouts: RolloutService, filters: Follower[FilterState]
) -> None:
    """See to it that the catalogue has this module, and that some module is stable; waits for a store that is away.

    Under its own version; where that is another module already, which happens to who builds HFI from its sources, under
    ``<version>+<digest>``. What is stable already stays so: a newer package changes no proxies by being installed.
    """
    backoff = Backoff(*RETRY_SECONDS)
    while True:
        try:
            state = await filters.reached(0)
            manifest = state.by_digest(module.digest) or await _push(module, catalogue)
            await rollouts.begin(manifest)
            break
        except (StoreError, ModuleConflict, ModuleNotFound, ModuleUnavailable) as error:
            # A conflict is with somebody who pushes the same bytes just now: soon we see under which version. What is
            # not found was deleted before it became the stable one.
            log.warning("the filter module of this package is not in the catalogue yet: %s", error)
            await asyncio.sleep(backoff.next())
    document = (await filters.until(lambda state: state.document is not None)).document
    if document is not None and document.stable.digest != manifest.digest:
        log.warning(
            "proxies run filter module %s, and this package ships %s; to change over: "
            "hfi-cli filter rollout start --version %s --share 10",
            document.stable.version,
            manifest.version,
            manifest.version,
        )


async def _push(module: FilterModule, catalogue: ModuleCatalogue) -> Manifest:
    try:
        return (await catalogue.push(module.version, module.code, NOTE, known_as=INSPECTED)).manifest
    except ModuleConflict:
        # Another replica may have been quicker with this very version, too: pushing it again is fine.
        return (
            await catalogue.push(f"{module.version}+{module.digest[:12]}", module.code, NOTE, known_as=INSPECTED)
        ).manifest
