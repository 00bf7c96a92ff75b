"""How training is fast and hard to kill; `fprin_utils.training` alone opens this room.

`requests` checks what is asked for, `groups` shares the networks out among the cores,
`backpropagation` and `optimizers` take the steps, `records` and `state` keep what came of them, and
`checkpoints` saves it. `modules` lets one network of any kind take part.
"""

import torch

# The release whose own kernels are called here by name. With another one, networks are
# differentiated by torch.autograd and updated by torch.optim, which is slower and always right.
TRIED_TORCH = "2.13."
CALLS_KERNELS = torch.__version__.startswith(TRIED_TORCH)
