"""What notebook tests share: one kernel for all that leave it as it was."""

from collections.abc import Iterator

import pytest

from tests.conftest import Pulled
from tests.notebook.kernels import Kernel, running_kernel


@pytest.fixture(scope="session")
def kernel(pulled: Pulled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with the images `tiny` and `blast`, in a folder of its own, as nbclient would start it."""
    with running_kernel(tmp_path_factory.mktemp("notebook"), pulled.home) as made:
        made.run(f"tiny, blast = {pulled.tiny!r}, {pulled.blast!r}")
        yield made
