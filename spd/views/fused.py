"""The same formulas as crop, colour, blur and smoothblend, fused per image for CPUs (compiled by numba).

Every operation runs row by row over planes that stay in the cache, in float32. Batched tensor operations,
which suit a GPU, move each intermediate result of the whole batch through memory instead.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba
import numpy as np
import torch
from torch import Tensor

from spd.views.colour import BRIGHTNESS, CONTRAST, GRAY, HUE, SATURATION
from spd.views.smoothblend import MARGIN

# fastmath: images hold no NaN or infinity, and the sum of the contrast's mean may be reordered for vectors.
# cache: numba watches this file alone, so a change to a constant imported above needs a touch of this file.
_compiled = numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")

RED, GREEN, BLUE = (np.float32(weight) for weight in GRAY)
ZERO, ONE = np.float32(0), np.float32(1)
TINY = np.float32(1e-30)


def apply_global(images: Tensor, boxes: np.ndarray, draws: dict, size: int, interpolation: str) -> Tensor:
    """Crop, flip, jitter, grayscale, blur on the CPU.

    images: uint8 (B, 3, H, W) or float32 in [0, 1]; boxes: (B, 4), see `crop.crop_boxes`; draws: see
    `views.draw_global`. Returns float32 (B, 3, size, size) in [0, 1].
    """
    out = torch.empty(len(images), 3, size, size)
    views = out.numpy()
    unit = np.float32(1 / 255 if images.dtype == torch.uint8 else 1)
    cropped = (images.contiguous().numpy(), boxes, draws["flip"], views)
    coloured = (
        draws["factors"].astype(np.float32),
        draws["order"],
        draws["grayscale"],
        draws["sigma"],
        views,
    )
    # Two kernels: what does not depend on the images' type is compiled once.
    _in_threads(_crop_batch, cropped, (unit, interpolation == "bicubic"))
    _in_threads(_colour_batch, coloured, ())
    return out


def apply_crop(images: Tensor, boxes: np.ndarray, flip: np.ndarray, size: int, interpolation: str) -> Tensor:
    """The crop, resize and flip alone: arguments and result as `crop.apply_crop`."""
    neutral = {
        "flip": flip,
        "factors": np.tile([1.0, 1.0, 1.0, 0.0], (len(images), 1)),
        "order": np.tile(np.arange(4), (len(images), 1)),
        "grayscale": np.zeros(len(images), dtype=bool),
        "sigma": np.zeros(len(images)),
    }
    return apply_global(images, boxes, neutral, size, interpolation)


def apply_local_(images: Tensor, draws: dict, foreground: str) -> Tensor:
    """SmoothBlend or CutPaste on the CPU, in place.

    images: float32 (B, 3, S, S) in [0, 1], contiguous; draws: see `smoothblend.draw_local`; foreground: image
    or zero. Returns the images.
    """
    arguments = (
        images.numpy(),
        draws["source"],
        draws["target"],
        draws["patch"],
        draws["mask_sigma"],
        draws["factors"].astype(np.float32),
        draws["order"],
    )
    _in_threads(_local_batch, arguments, (foreground == "zero",))
    return images


def normalise_(images: Tensor, mean: tuple, std: tuple) -> Tensor:
    """(value - mean) / std per channel on the CPU, in place. images: float32 (B, 3, S, S), contiguous."""
    scale = (1 / np.array(std)).astype(np.float32)
    shift = (-np.array(mean) / np.array(std)).astype(np.float32)
    _in_threads(_normalise_batch, (images.numpy(),), (scale, shift))
    return images


def _in_threads(kernel, arrays: tuple, constants: tuple) -> None:
    """Runs the kernel on slices of the batch, one per torch thread; images are independent of each other."""
    batch = len(arrays[0])
    threads = max(1, min(torch.get_num_threads(), batch))
    if threads == 1:
        kernel(*arrays, *constants)
        return
    edges = [batch * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(kernel, *(array[start:stop] for array in arrays), *constants)
            for start, stop in pairwise(edges)
        ]
        for part in parts:
            part.result()


@_compiled
def _crop_batch(images, boxes, flip, out, unit, cubic):
    for b in range(len(out)):
        _crop(images[b], unit, boxes[b], flip[b], cubic, out[b])


@_compiled
def _colour_batch(factors, order, grayscale, sigma, out):
    size = out.shape[-1]
    plane = np.empty((3 * size, size), np.float32)
    for b in range(len(out)):
        _jitter(out[b], factors[b], order[b])
        if grayscale[b]:
            for y in range(size):
                _gray_row(out[b, 0, y], out[b, 1, y], out[b, 2, y])
        if sigma[b] > 0:
            _blur(out[b], sigma[b], plane)


@_compiled
def _filter(distance, cubic):
    if not cubic:
        return max(0.0, 1 - distance)
    if distance < 1:
        return (1.5 * distance - 2.5) * distance * distance + 1
    if distance < 2:
        return -0.5 * (((distance - 5) * distance + 8) * distance - 4)
    return 0.0


@_compiled
def _taps(length, outputs, cubic):
    """First input and weights (outputs, taps) of an antialiased resize from `length` pixels."""
    scale = length / outputs
    stretch = max(scale, 1.0)
    support = (2.0 if cubic else 1.0) * stretch
    count = min(math.ceil(2 * support), length)
    first = np.empty(outputs, np.uint32)  # unsigned: no test for negative indices
    weights = np.zeros((count, outputs), np.float32)
    for i in range(outputs):
        centre = scale * (i + 0.5)
        start = max(int(centre - support + 0.5), 0)
        stop = min(int(centre + support + 0.5), length)
        start = max(0, min(start, length - count))
        total = 0.0
        for j in range(start, stop):
            total += _filter(abs(j + 0.5 - centre) / stretch, cubic)
        for j in range(start, stop):
            weights[j - start, i] = _filter(abs(j + 0.5 - centre) / stretch, cubic) / total
        first[i] = start
    return first, weights


@_compiled
def _crop(image, unit, box, flip, cubic, out):
    top, left, height, width = box[0], box[1], box[2], box[3]
    size = out.shape[-1]
    first_y, weights_y = _taps(height, size, cubic)
    first_x, weights_x = _taps(width, size, cubic)
    if flip:
        first_x = first_x[::-1].copy()
        weights_x = weights_x[:, ::-1].copy()
    row = np.empty(width, np.float32)
    for c in range(3):
        for y in range(size):
            above = top + first_y[y]
            _scale(row, image[c, above, left : left + width], weights_y[0, y] * unit)
            for t in range(1, len(weights_y)):
                _add_scaled(row, image[c, above + t, left : left + width], weights_y[t, y] * unit)
            target = out[c, y]
            _gather(target, row, first_x, weights_x[0])
            for t in range(1, len(weights_x)):
                _add_gathered(target, row[t:], first_x, weights_x[t])
            if cubic:
                for x in range(size):
                    target[x] = min(max(target[x], ZERO), ONE)


@_compiled
def _add_scaled(target, values, weight):
    for x in range(len(target)):
        target[x] += weight * np.float32(values[x])


@_compiled
def _scale(target, values, weight):
    for x in range(len(target)):
        target[x] = weight * np.float32(values[x])


@_compiled
def _gather(target, values, first, weights):
    for x in range(len(target)):
        target[x] = weights[x] * values[first[x]]


@_compiled
def _add_gathered(target, values, first, weights):
    for x in range(len(target)):
        target[x] += weights[x] * values[first[x]]


@_compiled
def _jitter(image, factors, order):
    """The four operations in their order; what precedes the contrast is finished before its mean is taken."""
    rows, columns = image.shape[1], image.shape[2]
    begin = 0
    for position in range(5):
        if position < 4 and not (order[position] == CONTRAST and factors[CONTRAST] != 1):
            continue
        total = 0.0
        for y in range(rows):
            red, green, blue = image[0, y], image[1, y], image[2, y]
            for k in range(begin, position):
                operation = order[k]
                factor = factors[operation]
                if operation == BRIGHTNESS and factor != 1:
                    _scale_row(red, green, blue, factor)
                elif operation == SATURATION and factor != 1:
                    _saturate_row(red, green, blue, factor)
                elif operation == HUE and factor != 0:
                    _hue_row(red, green, blue, factor)
            if position < 4:
                total += _gray_sum(red, green, blue)
        if position < 4:
            mean = np.float32(total / (rows * columns))
            shift = (ONE - factors[CONTRAST]) * mean
            for y in range(rows):
                for c in range(3):
                    _affine_row(image[c, y], factors[CONTRAST], shift)
            begin = position + 1


@_compiled
def _clamp(value):
    return min(max(value, ZERO), ONE)


@_compiled
def _affine_row(row, factor, shift):
    for x in range(len(row)):
        row[x] = _clamp(factor * row[x] + shift)


@_compiled
def _scale_row(red, green, blue, factor):
    for x in range(len(red)):
        red[x] = min(factor * red[x], ONE)
        green[x] = min(factor * green[x], ONE)
        blue[x] = min(factor * blue[x], ONE)


@_compiled
def _gray_sum(red, green, blue):
    total = ZERO
    for x in range(len(red)):
        total += RED * red[x] + GREEN * green[x] + BLUE * blue[x]
    return total


@_compiled
def _saturate_row(red, green, blue, factor):
    for x in range(len(red)):
        rest = (ONE - factor) * (RED * red[x] + GREEN * green[x] + BLUE * blue[x])
        red[x] = _clamp(factor * red[x] + rest)
        green[x] = _clamp(factor * green[x] + rest)
        blue[x] = _clamp(factor * blue[x] + rest)


@_compiled
def _gray_row(red, green, blue):
    for x in range(len(red)):
        value = RED * red[x] + GREEN * green[x] + BLUE * blue[x]
        red[x] = value
        green[x] = value
        blue[x] = value


@_compiled
def _hue_channel(hue, offset, value, chroma):
    """Value minus chroma times how far the channel is from the hue; hue + offset lies in [0, 15)."""
    distance = hue + offset
    distance -= np.float32(6) if distance >= np.float32(6) else ZERO
    distance -= np.float32(6) if distance >= np.float32(6) else ZERO
    return value - chroma * _clamp(min(distance, np.float32(4) - distance))


@_compiled
def _hue_row(red, green, blue, turns):
    """Exact HSV rotation without branches, so that it runs in vector registers."""
    turns = np.float32(6) * turns + (np.float32(6) if turns < 0 else ZERO)  # sixths of a turn, [0, 6)
    for x in range(len(red)):
        r, g, b = red[x], green[x], blue[x]
        value = max(r, max(g, b))
        chroma = value - min(r, min(g, b))
        scale = ONE / (chroma if chroma > TINY else ONE)  # 1 / chroma of a subnormal one is infinite
        hue = np.float32(4) + (r - g) * scale
        hue = np.float32(2) + (b - r) * scale if value == g else hue
        hue = (g - b) * scale if value == r else hue
        hue = hue + turns  # [-1, 11)
        hue = hue + np.float32(6) if hue < 0 else hue
        hue = hue - np.float32(6) if hue >= np.float32(6) else hue
        red[x] = _hue_channel(hue, np.float32(5), value, chroma)
        green[x] = _hue_channel(hue, np.float32(3), value, chroma)
        blue[x] = _hue_channel(hue, np.float32(1), value, chroma)


@_compiled
def _blur(image, sigma, plane):
    """Separable Gaussian, cut at ceil(4 sigma), borders reflected. plane: scratch, at least (size, size)."""
    size = image.shape[-1]
    radius = min(math.ceil(4.0 * sigma), size - 1)
    weights = np.empty(radius + 1, np.float32)
    total = 0.0
    for t in range(radius + 1):
        total += math.exp(-0.5 * (t / sigma) ** 2) * (1 if t == 0 else 2)
    for t in range(radius + 1):
        weights[t] = math.exp(-0.5 * (t / sigma) ** 2) / total
    row = np.empty(size + 2 * radius, np.float32)
    for c in range(3):
        for y in range(size):
            source = image[c, y]
            for x in range(
                size
            ):  # `row[...] = source` compiles for seconds: numba's message of unequal shapes
                row[radius + x] = source[x]
            for t in range(radius):
                row[radius - 1 - t] = source[t + 1]
                row[radius + size + t] = source[size - 2 - t]
            target = plane[y]
            centre = row[radius : radius + size]
            for x in range(size):
                target[x] = weights[0] * centre[x]
            for t in range(1, radius + 1):
                _add_pair(
                    target,
                    row[radius - t : radius - t + size],
                    row[radius + t : radius + t + size],
                    weights[t],
                )
        for y in range(size):
            target = image[c, y]
            centre = plane[y]
            for x in range(size):
                target[x] = weights[0] * centre[x]
            for t in range(1, radius + 1):
                above = abs(y - t)
                below = y + t if y + t < size else 2 * (size - 1) - y - t
                _add_pair(target, plane[above], plane[below], weights[t])


@_compiled
def _add_pair(target, one, other, weight):
    for x in range(len(target)):
        target[x] += weight * (one[x] + other[x])


@_compiled
def _blurred_interval(position, length, sigma):
    if sigma == 0:
        return 1.0 if 0 <= position < length else 0.0
    scale = 1 / (math.sqrt(2.0) * sigma)
    return 0.5 * (math.erf((length - position - 0.5) * scale) + math.erf((position + 0.5) * scale))


@_compiled
def _local_batch(images, source, target, patch, sigma, factors, order, zero):
    size = images.shape[-1]
    for b in range(len(images)):
        height, width = patch[b]
        top, left = target[b]
        content = images[
            b, :, source[b, 0] : source[b, 0] + height, source[b, 1] : source[b, 1] + width
        ].copy()
        _jitter(content, factors[b], order[b])
        reach = math.ceil(MARGIN * sigma[b])
        start = max(0, left - reach)
        stop = min(size, left + width + reach)
        across = np.empty(stop - start, np.float32)
        for x in range(start, stop):
            across[x - start] = _blurred_interval(x - left, width, sigma[b])
        for y in range(max(0, top - reach), min(size, top + height + reach)):
            down = np.float32(_blurred_interval(y - top, height, sigma[b]))
            for c in range(3):
                row = images[b, c, y]
                if zero:
                    for x in range(start, stop):
                        alpha = down * across[x - start]
                        inside = top <= y < top + height and left <= x < left + width
                        other = content[c, y - top, x - left] if inside else ZERO
                        row[x] = (ONE - alpha) * row[x] + alpha * other
                elif top <= y < top + height:
                    for x in range(left, left + width):
                        alpha = down * across[x - start]
                        row[x] = (ONE - alpha) * row[x] + alpha * content[c, y - top, x - left]


@_compiled
def _normalise_batch(images, scale, shift):
    for b in range(len(images)):
        for c in range(3):
            for y in range(images.shape[2]):
                row = images[b, c, y]
                for x in range(len(row)):
                    row[x] = scale[c] * row[x] + shift[c]
