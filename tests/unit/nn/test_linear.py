"""Linear layers by numpy: results and gradients equal torch, gradients go into given buffers, one thread."""

import os
import subprocess
import sys

import pytest
import torch

from hpo.nn.linear import linear, output


def inputs(out_first):
    torch.manual_seed(0)
    h = torch.randn(3, 7, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, *((4, 5) if out_first else (5, 4)), dtype=torch.float64, requires_grad=True)
    return h, weight, torch.randn(3, 4, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("function", [linear, output])
def test_values_and_gradients_are_those_of_torch(function):
    h, weight, bias = given = inputs(function is output)
    expected = h @ (weight.transpose(1, 2) if function is output else weight) + bias.unsqueeze(1)
    expected = expected.transpose(1, 2) if function is output else expected
    found = function(*given)
    assert torch.allclose(found, expected)
    for a, b in zip(
        torch.autograd.grad(found.sin().sum(), given), torch.autograd.grad(expected.sin().sum(), given), strict=True
    ):
        assert torch.allclose(a, b)


@pytest.mark.parametrize("function", [linear, output])
def test_a_gradient_is_written_into_the_grad_of_its_parameter(function):
    given = inputs(function is output)
    buffer = torch.zeros(3, 100, dtype=torch.float64)
    expected = torch.autograd.grad(function(*given).sum(), given[1:])
    for parameter, start in zip(given[1:], (0, 50), strict=True):
        size = parameter[0].numel()
        parameter.grad = buffer[:, start : start + size].view(parameter.shape)
    found = torch.autograd.grad(function(*given).sum(), given[1:])
    for grad, parameter, value in zip(found, given[1:], expected, strict=True):
        assert grad is parameter.grad
        assert torch.equal(grad, value)
    assert buffer.count_nonzero() == sum(value.count_nonzero() for value in expected)


def test_one_thread_overrides_the_environment():
    """This runs in a process of its own, because the tests themselves run on one thread."""
    code = (
        "import torch, threadpoolctl; from hpo.nn.linear import one_thread\n"
        "count = lambda: {p['num_threads'] for p in threadpoolctl.threadpool_info()} | {torch.get_num_threads()}\n"
        "before = count()\n"
        "with one_thread(): assert count() == {1}, count()\n"
        "assert count() == before == {2}, (before, count())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
