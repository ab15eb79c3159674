from pathlib import Path

import psutil
import pytest

from rgdm.data.memory import check_memory, free_memory


def control_group(folder: Path, limit: str, used: int, cached: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")
    return folder


def test_a_control_group_smaller_than_the_machine_decides(tmp_path):
    assert free_memory(control_group(tmp_path, "5000000", 3000000, 500000)) == 2500000


def test_a_control_group_that_is_used_up_leaves_nothing(tmp_path):
    assert free_memory(control_group(tmp_path, "1000", 3000, 0)) == 0


@pytest.mark.parametrize("limit", ["max", str(2**60)])
def test_without_a_tight_limit_the_machine_decides(limit, tmp_path):
    free = free_memory(control_group(tmp_path, limit, 0, 0))
    assert free == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_without_control_groups_the_machine_decides(tmp_path):
    assert free_memory(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_too_large_a_request_gets_the_estimate_and_what_is_free():
    check_memory(1000, "a small field")
    with pytest.raises(
        ValueError, match=r"a lattice of \(9, 9\) needs about 1048576.0 GiB of memory and .* GiB are free"
    ):
        check_memory(2**50, "a lattice of (9, 9)")
