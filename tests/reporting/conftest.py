from __future__ import annotations

from tests.store.conftest import rig as rig
from tests.store.conftest import store as store
