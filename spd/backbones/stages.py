"""The feature maps inside a backbone: which stages there are, and a network cut after the last one that is
needed."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.fx import GraphModule
from torchvision.models import SwinTransformer
from torchvision.models.feature_extraction import create_feature_extractor

from spd.backbones.architectures import is_resnet
from spd.backbones.options import RESNET_STAGES


def stage_names(model: nn.Module) -> tuple[str, ...]:
    """Names of the stages, first to last: layer1 ... layer4 of torchvision's ResNets, else those of timm's
    feature_info.

    torchvision's other classifiers: the children of `features` (VGG, EfficientNet, ConvNeXt, Swin, ...), of
    `trunk_output` (RegNet), of `encoder.layers` (vision transformers), else of the model itself.
    For EfficientNet-Lite0 these are blocks.0, .1, .2, .4, .6; for a vision transformer every block.
    Raises ValueError for a timm model that gives no intermediate maps.
    """
    if is_resnet(model):
        return RESNET_STAGES
    if _is_torchvisions(model):
        places = (place for place in ("features", "trunk_output", "encoder.layers") if _has(model, place))
        place = next(places, "")
        children = model.get_submodule(place).named_children()
        return tuple(f"{place}.{name}".lstrip(".") for name, _ in children)
    if not hasattr(model, "forward_intermediates"):
        raise ValueError(
            f"timm's {type(model).__name__} has no forward_intermediates, so no stages to take features from"
        )
    info = model.feature_info
    return tuple(stage["module"] for stage in getattr(info, "info", info))


class StageNetwork(nn.Module):
    """x (B, 3, H, W) -> {stage: (B, C, h, w)}; nothing behind the last stage asked for is kept or computed.

    A vision transformer's tokens come as a map, without class token and final norm; its position embeddings
    are resampled to `image_size` (H, W), where given. The model is taken apart: do not use it afterwards.
    Raises ValueError for a stage that the model does not have, with those it has.
    """

    def __init__(self, model: nn.Module, stages: Sequence[str], *, image_size: tuple[int, int] | None = None):
        super().__init__()
        known = stage_names(model)
        unknown = [stage for stage in stages if stage not in known]
        if unknown or not stages:
            raise ValueError(f"no stage {', '.join(unknown) or 'given'}; the backbone has {', '.join(known)}")
        self.stages = tuple(sorted(set(stages), key=known.index))
        self._indices = [known.index(stage) for stage in self.stages]
        if is_resnet(model):
            self.stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
            self.layers = nn.ModuleDict(
                {name: getattr(model, name) for name in known[: self._indices[-1] + 1]}
            )
            self.model = None
        elif _is_torchvisions(model):
            # The traced graph ends behind the last stage.
            self.model = create_feature_extractor(model, {stage: stage for stage in self.stages})
            self._last_channels = isinstance(model, SwinTransformer)
        else:
            if image_size is not None and hasattr(model, "set_input_size"):
                model.set_input_size(img_size=image_size)  # position embeddings are resampled
            model.prune_intermediate_layers(self._indices, prune_norm=True, prune_head=True)
            self.model = model

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if isinstance(self.model, GraphModule):
            return {stage: self._as_map(values, x) for stage, values in self.model(x).items()}
        if self.model is not None:
            maps = self.model.forward_intermediates(
                x, indices=self._indices, stop_early=True, output_fmt="NCHW", intermediates_only=True
            )
            return dict(zip(self.stages, maps, strict=True))
        x, maps = self.stem(x), {}
        for name, layer in self.layers.items():
            x = layer(x)
            if name in self.stages:
                maps[name] = x
        return maps

    def _as_map(self, values: Tensor, x: Tensor) -> Tensor:
        """Tokens behind a class token, or channels-last maps, as (B, C, h, w)."""
        if values.dim() == 4:
            return values.permute(0, 3, 1, 2) if self._last_channels else values
        if values.dim() != 3:
            raise ValueError(
                f"a stage gives values of shape {tuple(values.shape)}, no map; choose an earlier one"
            )
        patches, (height, width) = values.shape[1] - 1, x.shape[2:]
        rows = round((patches * height / width) ** 0.5)
        return values[:, 1:].transpose(1, 2).reshape(len(values), -1, rows, patches // rows)


def _is_torchvisions(model: nn.Module) -> bool:
    return type(model).__module__.startswith("torchvision.")


def _has(model: nn.Module, place: str) -> bool:
    try:
        model.get_submodule(place)
    except AttributeError:
        return False
    return True
