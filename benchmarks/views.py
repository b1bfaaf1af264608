"""Four views (two strong, weak, SmoothBlend): ours against torchvision's PIL transforms and lightly's.

CPU time of one thread, median over interleaved repeats. The images lie decoded in memory for all.
"""

import statistics
from collections.abc import Callable

import numpy as np
import torch
import torchvision.transforms as T
import torchvision.transforms.functional as TF
from harness import benchmark, installed, table, take_turns
from PIL import Image, ImageDraw, ImageFilter
from torchvision.transforms import v2

from spd.views import views
from spd.views.options import WEAK, LocalOptions, ViewOptions, ViewsOptions
from spd.views.sheet import generated_images

MEAN, STD = ViewsOptions().mean, ViewsOptions().std
BATCH = 32
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
BARE = {"jitter": {"p": 0.0}, "grayscale": 0.0, "blur": {"p": 0.0}}
Sample = Callable[[], None]


class PilBlur:
    """Gaussian blur as MoCo's loader has it: PIL's, whose radius is sigma."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(np.random.uniform(self.low, self.high)))


def pil_augmentation(options: ViewOptions) -> T.Compose:
    """The same augmentation from torchvision's transforms on PIL images (exact HSV hue, in 8 bits)."""
    jitter = options.jitter
    return T.Compose(
        [
            T.RandomResizedCrop(options.size, options.scale, options.ratio),
            T.RandomApply(
                [T.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)], jitter.p
            ),
            T.RandomGrayscale(options.grayscale),
            T.RandomApply([PilBlur(*options.blur.sigma)], options.blur.p),
            T.RandomHorizontalFlip(options.flip),
        ]
    )


def pil_smoothblend(image: Image.Image, options: LocalOptions, jitter: T.ColorJitter) -> Image.Image:
    """SmoothBlend the way one would write it with PIL: a blurred mask and Image.composite."""
    size = image.width
    area = np.random.uniform(*options.area) * size**2
    aspect = np.exp(np.random.uniform(*np.log(options.aspect)))
    width, height = (
        int(np.clip(round(side), 1, size - 1)) for side in ((area * aspect) ** 0.5, (area / aspect) ** 0.5)
    )
    x, y = np.random.randint(0, size - width + 1), np.random.randint(0, size - height + 1)
    patch = jitter(image.crop((x, y, x + width, y + height)))
    x, y = np.random.randint(0, size - width + 1), np.random.randint(0, size - height + 1)
    foreground = image.copy()
    foreground.paste(patch, (x, y))
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).rectangle([x, y, x + width - 1, y + height - 1], fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(np.random.uniform(*options.sigma) * area**0.5))
    return Image.composite(foreground, image, mask)


def torchvision_pil(options: ViewsOptions, images: torch.Tensor) -> Sample:
    """Four views an image with torchvision on PIL images."""
    pictures = [TF.to_pil_image(image) for image in images]
    strong, weak = pil_augmentation(options.augmentation("q")), pil_augmentation(options.weak)
    local = options.local.jitter
    jitter = T.ColorJitter(local.brightness, local.contrast, local.saturation, local.hue)
    finish = T.Compose([T.ToTensor(), T.Normalize(MEAN, STD)])

    def sample() -> None:
        batch = []
        for picture in pictures:
            q, k = strong(picture), strong(picture)
            made = (q, k, weak(q), pil_smoothblend(weak(q), options.local, jitter))
            batch.append(torch.stack([finish(view) for view in made]))
        torch.stack(batch)

    return sample


def torchvision_v2(options: ViewsOptions, images: torch.Tensor) -> Sample:
    """One strong view an image with torchvision's v2 transforms on uint8 tensors, image by image."""
    strong, jitter = options.augmentation("q"), options.augmentation("q").jitter
    kernel = 2 * (strong.size // 20) + 1  # SimCLR's tenth of the side
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(strong.size, strong.scale, strong.ratio),
            v2.RandomApply(
                [v2.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)], jitter.p
            ),
            v2.RandomGrayscale(strong.grayscale),
            v2.RandomApply([v2.GaussianBlur(kernel, strong.blur.sigma)], strong.blur.p),
            v2.RandomHorizontalFlip(strong.flip),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    return lambda: torch.stack([transform(image) for image in images])


def lightly_views(options: ViewsOptions, images: torch.Tensor) -> Sample:
    """Two strong views an image with lightly's MoCo v2 transform."""
    from lightly.transforms import MoCoV2Transform

    pictures = [TF.to_pil_image(image) for image in images]
    transform = MoCoV2Transform(input_size=options.augmentation("q").size)
    return lambda: torch.stack([torch.stack(transform(picture)) for picture in pictures])


def ours(options: ViewsOptions, images: torch.Tensor, names: tuple[str, ...]) -> Sample:
    """Draw and apply, with a new step each time."""
    steps = iter(range(10**9))

    def sample() -> None:
        draws = views.draw(options, seed=0, step=next(steps), batch=len(images), names=names)
        views.apply(images, None, draws, options)

    return sample


def ours_batched(options: ViewsOptions, images: torch.Tensor, names: tuple[str, ...]) -> Sample:
    """The tensor operations that a GPU runs, on the CPU."""
    sample = ours(options, images, names)

    def unfused() -> None:
        kept, views._fused_kernels_serve = views._fused_kernels_serve, lambda _: False
        try:
            sample()
        finally:
            views._fused_kernels_serve = kept

    return unfused


def medians(samples: dict, repeats: int) -> dict:
    """CPU milliseconds an image of each."""
    seconds = take_turns(samples, repeats=repeats)
    return {name: statistics.median(values) / BATCH * 1e3 for name, values in seconds.items()}


def speed(size: int, canvas: int, repeats: int) -> str:
    """A table of CPU times an image for views of `size` pixels from images of `canvas` pixels."""
    options = ViewsOptions(strong=ViewOptions(size=size), weak=WEAK.model_copy(update={"size": size}))
    images = generated_images(BATCH, canvas)
    four, two, peer = options.names(spd=True), options.names(), "torchvision, PIL transforms"
    batched = "ours, batched tensor operations (the GPU's path) on the CPU"
    one = "torchvision, v2 transforms on uint8 tensors, strong view only"
    samples = {
        (peer, 4): torchvision_pil(options, images),
        ("ours, fused kernels", 4): ours(options, images, four),
        ("ours, fused kernels, eta = 0", 2): ours(options, images, two),
        (batched, 4): ours_batched(options, images, four),
        (one, 1): torchvision_v2(options, images),
    }
    if installed("lightly"):
        samples["lightly, MoCoV2Transform, strong views only", 2] = lightly_views(options, images)
    measured = medians(samples, repeats)
    reference = measured[peer, 4] / 4
    header = f"{size} px from {canvas} px images | views | ms an image | images/s | ms a view | speed a view"
    return table(
        header,
        (
            (name, n, f"{ms:.3f}", f"{1e3 / ms:.0f}", f"{ms / n:.3f}", f"{reference / (ms / n):.2f} x")
            for (name, n), ms in measured.items()
        ),
    )


def stages(size: int, canvas: int, repeats: int) -> str:
    """A table of what the fused kernels spend on one strong view, every operation always on."""
    images = generated_images(BATCH, canvas)
    bare = {**BARE, "size": size}
    jitter = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "p": 1.0}
    variants = {
        "crop, flip and normalise": bare,
        "brightness": {**bare, "jitter": {**jitter, "brightness": 0.4}},
        "contrast": {**bare, "jitter": {**jitter, "contrast": 0.4}},
        "saturation": {**bare, "jitter": {**jitter, "saturation": 0.4}},
        "exact HSV hue": {**bare, "jitter": {**jitter, "hue": 0.1}},
        "all four, random order": {**bare, "jitter": {"p": 1.0}},
        "blur, sigma in (0.1, 2)": {**bare, "blur": {"p": 1.0}},
    }
    samples = {
        name: ours(ViewsOptions.model_validate({"strong": variant}), images, ("q",))
        for name, variant in variants.items()
    }
    options = ViewsOptions.model_validate({"strong": bare, "weak": bare})
    draws = views.draw(options, seed=0, step=0, batch=BATCH, names=("q", "minus"))
    plain = images[:, :, :size, :size].float().div(255).contiguous()
    samples["SmoothBlend (whole)"] = lambda: views.apply_local(plain, draws["minus"], options.local)
    four = ViewsOptions().names(spd=True)
    samples["draws of 4 views (whole)"] = lambda: views.draw(options, seed=0, step=0, batch=BATCH, names=four)
    measured = medians(samples, repeats)
    first, *operations = variants
    rows = [(first, f"{measured[first]:.3f}")]
    rows += [(f"+ {name}", f"{max(measured[name] - measured[first], 0):.3f}") for name in operations]
    rows += [(name, f"{measured[name]:.3f}") for name in samples if name not in variants]
    return table(f"one view, {size} px | ms an image", rows)


def fidelity(size: int, canvas: int) -> str:
    """A table of differences from PIL's operations with the same parameters, in grey levels of 255."""
    images = generated_images(BATCH, canvas)
    bare = {**BARE, "size": size}
    variants = {
        "crop and flip, bilinear": bare,
        "crop and flip, bicubic": {**bare, "interpolation": "bicubic"},
        "+ exact HSV hue": {
            **bare,
            "jitter": {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0.1, "p": 1.0},
        },
        "+ all four colour operations": {**bare, "jitter": {"p": 1.0}},
        "+ blur (PIL's is three box blurs)": {**bare, "blur": {"p": 1.0}},
        "the whole strong view": {"size": size},
    }
    rows = []
    for name, variant in variants.items():
        options = ViewsOptions.model_validate({"strong": variant, **PLAIN})
        draws = views.draw(options, seed=0, step=0, batch=BATCH, names=("q",))
        made = views.apply(images, None, draws, options)["q"] * 255
        twins = [pil_twin(images[i], i, draws["q"], options.augmentation("q")) for i in range(BATCH)]
        off = (made - torch.stack(twins)).numpy()
        size_of = np.abs(off)
        cells = f"{size_of.mean():.3f}", f"{np.percentile(size_of, 99):.2f}", f"{size_of.max():.1f}"
        rows.append((name, *cells, f"{off.mean():+.3f}"))
    return table("against torchvision on PIL images | mean | 99 % | max | mean, signed", rows)


def pil_twin(image: torch.Tensor, index: int, draws: dict, options: ViewOptions) -> torch.Tensor:
    """The drawn strong view of one image by torchvision's functions on a PIL image, in grey levels."""
    sizes = np.array([image.shape[1:]])
    one = {key: value[index : index + 1] for key, value in draws.items()}
    box = views.crop.crop_boxes(one, sizes, tuple(image.shape[1:]), options.ratio)[0].tolist()
    mode = T.InterpolationMode(options.interpolation)
    picture = TF.resized_crop(TF.to_pil_image(image), *box, [options.size, options.size], mode)
    operations = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    for operation in one["order"][0]:
        factor = one["factors"][0, operation]
        if factor != (0.0 if operation == 3 else 1.0):
            picture = operations[operation](picture, factor)
    if one["grayscale"][0]:
        picture = TF.to_grayscale(picture, 3)
    if one["sigma"][0] > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(float(one["sigma"][0])))
    picture = TF.hflip(picture) if one["flip"][0] else picture
    return TF.pil_to_tensor(picture).float()


def measure(options) -> str:
    torch.manual_seed(0)
    np.random.seed(0)
    sizes = ((48, 56),) if options.quick else ((224, 256), (48, 56))
    size, side = sizes[0]
    parts = [
        f"CPU time of one thread, batch {BATCH}, median of {options.repeats} interleaved repeats; the images "
        "lie decoded in memory. `speed a view` is relative to torchvision's PIL transforms; peers that make "
        "fewer kinds of views say so.",
        *(speed(*each, options.repeats) for each in sizes),
        "What the fused kernels spend, every operation always on (at its default probability it costs less):",
        *(stages(*each, options.repeats) for each in sizes),
        "Differences from PIL for the same parameters, in grey levels. PIL rounds or truncates to 8 bits "
        "after each operation (and clips between the two passes of a bicubic resize); we never do.",
        fidelity(size, side),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    benchmark(measure, "views", "## Views", {"repeats": (5, 1)})
