"""BatchNorm folded into the convolution before it, for inference."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


@torch.no_grad()
def fold_batchnorm(model: nn.Module, example: Tensor) -> int:
    """Folds, in place, every BatchNorm that takes a convolution's output as it is; returns how many.

    Which follows which is observed while `example` (B, C, H, W) passes through, so any architecture will do.
    The result agrees with the original to float32 rounding (about 1e-6 relative). The model must be in eval
    mode. Raises RuntimeError if the folded model does not agree on `example` (an architecture that also uses
    the convolution's output elsewhere).
    """
    pairs = _observe(model, example)
    names = {module: name for name, module in model.named_modules()}
    before = _outputs(model, example)
    for conv, norm in pairs:
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.weight, conv.bias = weight, bias
        parent, _, child = names[norm].rpartition(".")
        # timm's BatchNormAct2d goes on with dropout and activation: these stay
        rest = [m for m in (getattr(norm, "drop", None), getattr(norm, "act", None)) if m is not None]
        setattr(model.get_submodule(parent), child, nn.Sequential(*rest) if rest else nn.Identity())
    for x, y in zip(before, _outputs(model, example), strict=True):
        if not torch.isfinite(x).all():
            continue  # nothing to compare: the extraction will name the image
        if not torch.allclose(x, y, rtol=1e-3, atol=1e-3 * float(x.abs().max())):
            raise RuntimeError("folding BatchNorm changes this architecture's features; extract them without")
    return len(pairs)


def _outputs(model: nn.Module, example: Tensor) -> list[Tensor]:
    out = model(example)
    return list(out.values()) if isinstance(out, dict) else [out]


def _observe(model: nn.Module, example: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    made, pairs, hooks, calls = {}, [], [], {}

    def after_conv(module, inputs, output):
        made[id(output)] = (module, output)  # holding the output keeps its id from being used again
        calls[module] = calls.get(module, 0) + 1

    def before_norm(module, inputs):
        calls[module] = calls.get(module, 0) + 1
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    for module in model.modules():
        if type(module) is nn.Conv2d or type(module).__name__ == "Conv2dSame":  # timm's TensorFlow padding
            hooks.append(module.register_forward_hook(after_conv))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats and module.affine:
            hooks.append(module.register_forward_pre_hook(before_norm))
    try:
        model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [(conv, norm) for conv, norm in pairs if calls[conv] == calls[norm] == 1]
