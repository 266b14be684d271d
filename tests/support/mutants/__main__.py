"""Start inventory_api with a warehouse that has one thing wrong with it, or nothing."""

import os
from functools import partial

import inventory_api.__main__
from chaos.injection import inventory_service
from inventory_api.settings import InventorySettings
from inventory_api.stock import Stock
from service_kit.postgres.pool import Pool
from tests.support.mutants.stock import MUTATIONS, MutantStock


class MutantParts(inventory_service.PartsWithFaults):
    """The parts of inventory_api, but for the stock that MUTATION names."""

    def stock(self, settings: InventorySettings, connections: Pool) -> Stock:
        """Return the mutant; with MUTATION "none" one that is right."""
        mutation = os.environ["MUTATION"]
        assert mutation in MUTATIONS
        return MutantStock(connections, self.commits, mutation)


if __name__ == "__main__":
    vars(inventory_service)["create_app"] = partial(inventory_service.create_app, parts=MutantParts)
    inventory_api.__main__.main()
