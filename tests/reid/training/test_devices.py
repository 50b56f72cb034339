"""A device's draws."""

import torch

from reid.training.devices import launched


def test_a_seed_draws_what_torch_draws_with_it():
    torch.manual_seed(5)
    expected = torch.rand(3)
    launched("cpu", "auto").seed(5)
    assert torch.equal(torch.rand(3), expected)
