"""The storage contract and what it needs: an oracle per backend, peers in other processes, planted bugs."""

import pytest

pytest.register_assert_rewrite("tests.storage.contract", "tests.storage.processes")
