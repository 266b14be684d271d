"""Start inventory_api with a warehouse that has one thing wrong with it, or nothing."""

import os

import inventory_api.__main__
import inventory_api.main
from inventory_api.stock import Stock
from service_kit.fault_points import FaultPoints
from service_kit.postgres.pool import Pool
from tests.support.mutants.stock import MUTATIONS, MutantStock


def mutant(pool: Pool, faults: FaultPoints, *, deadline_s: float, writers: int) -> Stock:
    """Return the warehouse that MUTATION names; with none, the real one would stand here."""
    mutation = os.environ["MUTATION"]
    assert mutation in MUTATIONS
    return MutantStock(pool, faults, mutation)


if __name__ == "__main__":
    vars(inventory_api.main)["Stock"] = mutant
    inventory_api.__main__.main()
