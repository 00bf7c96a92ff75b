"""How training is fast and hard to kill; `fprin_utils.training` alone opens this room.

`requests` checks what is asked for, `groups` shares the networks out among the cores,
`backpropagation` and `optimizers` take the steps, `records` and `state` keep what came of them, and
`checkpoints` saves it. `modules` lets one network of any kind take part.

Against torch.autograd in the same groups and threads (benchmarks/README.md) the backward pass that
is written out takes half of the time for many small networks (tanh 40-20), three quarters for those
of most notebooks (tanh 200-200-200-100, ReLU 256 x 5), and as much for wide ones (tanh 800-800-400-
400), whose matrix products are most of the work. It stays for all: a switch would be more code.
"""

import torch

# The release whose own kernels are called here by name. With another one, networks are
# differentiated by torch.autograd and updated by torch.optim, which is slower and always right.
TRIED_TORCH = "2.13."
CALLS_KERNELS = torch.__version__.startswith(TRIED_TORCH)
