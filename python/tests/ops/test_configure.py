"""`ops.configure`: there is nothing to set up, and it says so."""

import dataclasses

import pytest

from liger_kernel.ops.configure import FusedLinearCrossEntropyConfig
from liger_kernel.ops.configure import MoEConfig
from liger_kernel.ops.configure import configure

LOSS = FusedLinearCrossEntropyConfig(1024, 64, 4096)
EXPERTS = MoEConfig(1024, 64, 8, 2, num_hosts=1, gpus_per_host=8)


@pytest.mark.parametrize("options", [{}, {"flsce": LOSS}, {"moe": EXPERTS, "device": "cpu"}])
def test_it_says_that_nothing_is_reserved(options):
    with pytest.warns(UserWarning, match="nothing to set up"):
        assert configure(**options) is False


def test_a_group_is_one_of_those_that_are_named():
    named = dataclasses.replace(LOSS, group="tp")
    with pytest.warns(UserWarning):
        assert configure(process_groups={"tp": object()}, flsce=named) is False
    with pytest.raises(ValueError, match="flsce: group is 'tp', and process_groups names dp, pp"):
        configure(process_groups={"pp": object(), "dp": object()}, flsce=named)
    with pytest.raises(ValueError, match="moe: group is 'ep', and process_groups names none"):
        configure(moe=dataclasses.replace(EXPERTS, group="ep"))


@pytest.mark.parametrize("config, name", [(LOSS, "flsce"), (EXPERTS, "moe")])
def test_capacities_are_positive(config, name):
    for field in dataclasses.fields(config):
        if field.name != "group":
            with pytest.raises(ValueError, match=f"{name}: {field.name} must be at least 1; found 0"):
                configure(**{name: dataclasses.replace(config, **{field.name: 0})})


def test_configurations_are_values():
    assert (LOSS.group, LOSS.tiles_per_reduce, EXPERTS.group, EXPERTS.max_inflight) == (None, 1, None, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        LOSS.max_tokens = 1
