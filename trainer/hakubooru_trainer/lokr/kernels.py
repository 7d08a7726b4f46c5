"""Triton kernels for LoKr, norms and GEGLU in half precision on a GPU.

Each reads its inputs once, computes in float32 and writes its outputs once. Sums over rows are added in a fixed order,
so that the same inputs give the same bits. The functions that launch the kernels are in `mix`, `norms` and `geglu`.
"""

# Triton compiles these functions: their arguments are pointers, blocks and constants, for which Python has no types.
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def mix(
    x, w, y, rows, width, A: tl.constexpr, C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, ADD: tl.constexpr
):  # fmt: skip
    """Compute y[r, a, k] = Σ_c w[a, c] · x[r, c, k], or add it to y."""
    r = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    k = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (r < rows) & (k < width)
    of_x, of_y = r * (C * width) + k, r * (A * width) + k
    xs = ()
    for c in tl.static_range(C):
        xs = xs + (tl.load(x + of_x + c * width, mask=inside, other=0.0).to(tl.float32),)  # noqa: RUF005 - Triton's tuples
    for a in tl.static_range(A):
        total = tl.zeros((ROWS, COLUMNS), tl.float32)
        if ADD:
            total += tl.load(y + of_y + a * width, mask=inside, other=0.0).to(tl.float32)
        for c in tl.static_range(C):
            total += tl.load(w + a * C + c).to(tl.float32) * xs[c]
        tl.store(y + of_y + a * width, total.to(y.dtype.element_ty), mask=inside)


@triton.jit
def mix_backward(
    x, w, dy, dx, y, parts, rows, width,
    A: tl.constexpr, C: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, ADD: tl.constexpr, AGAIN: tl.constexpr
):  # fmt: skip
    """Compute the gradients of `mix`: dx, or add it to dx; a part of dw for each program; and w · x if AGAIN is set."""
    r = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    k = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (r < rows) & (k < width)
    of_x, of_y = r * (C * width) + k, r * (A * width) + k
    part = parts + (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * (A * C)
    xs = ()
    for c in tl.static_range(C):
        xs = xs + (tl.load(x + of_x + c * width, mask=inside, other=0.0).to(tl.float32),)  # noqa: RUF005
    dys = ()
    for a in tl.static_range(A):
        dys = dys + (tl.load(dy + of_y + a * width, mask=inside, other=0.0).to(tl.float32),)  # noqa: RUF005
    for c in tl.static_range(C):
        total = tl.zeros((ROWS, COLUMNS), tl.float32)
        if ADD:
            total += tl.load(dx + of_x + c * width, mask=inside, other=0.0).to(tl.float32)
        for a in tl.static_range(A):
            total += tl.load(w + a * C + c).to(tl.float32) * dys[a]
            tl.store(part + a * C + c, tl.sum(dys[a] * xs[c]))
        tl.store(dx + of_x + c * width, total.to(dx.dtype.element_ty), mask=inside)
    if AGAIN:
        for a in tl.static_range(A):
            total = tl.zeros((ROWS, COLUMNS), tl.float32)
            for c in tl.static_range(C):
                total += tl.load(w + a * C + c).to(tl.float32) * xs[c]
            tl.store(y + of_y + a * width, total.to(y.dtype.element_ty), mask=inside)


@triton.jit
def layer_norm(x, w, b, y, means, rates, width, eps, BLOCK: tl.constexpr):
    """Compute (x - mean) · rate · w + b for a row of (rows, width); one program a row."""
    row = tl.program_id(0)
    k = tl.arange(0, BLOCK)
    inside = k < width
    at = row.to(tl.int64) * width + k
    values = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(values) / width
    centred = tl.where(inside, values - mean, 0.0)
    rate = 1 / tl.sqrt(tl.sum(centred * centred) / width + eps)
    result = centred * rate * tl.load(w + k, mask=inside) + tl.load(b + k, mask=inside)
    tl.store(y + at, result.to(y.dtype.element_ty), mask=inside)
    tl.store(means + row, mean)
    tl.store(rates + row, rate)


@triton.jit
def layer_norm_backward(
    x, w, dy, means, rates, dx, dw, db, rows, width, EACH: tl.constexpr, BLOCK: tl.constexpr
):
    """Compute the gradients of `layer_norm` for EACH rows: dx, and the rows' part of dw and db."""
    program = tl.program_id(0)
    k = tl.arange(0, BLOCK)
    inside = k < width
    weight = tl.load(w + k, mask=inside, other=0.0)
    of_w, of_b = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    first = program * EACH
    start = first.to(tl.int64) * width
    for i in range(tl.minimum(EACH, rows - first)):
        at, row = start + i * width + k, first + i
        slopes = tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)
        values = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        rate = tl.load(rates + row)
        normal = tl.where(inside, (values - tl.load(means + row)) * rate, 0.0)
        scaled = slopes * weight
        along = tl.sum(scaled * normal) / width
        result = (scaled - normal * along - tl.sum(scaled) / width) * rate
        tl.store(dx + at, result.to(dx.dtype.element_ty), mask=inside)
        of_w += slopes * normal
        of_b += slopes
    tl.store(dw + program * width + k, of_w, mask=inside)
    tl.store(db + program * width + k, of_b, mask=inside)


@triton.jit
def group_moments(x, means, rates, size, eps, BLOCK: tl.constexpr):
    """Compute mean and 1/√(variance + eps) of each group of `size` numbers; one program a group."""
    group = tl.program_id(0)
    start = group.to(tl.int64) * size
    total = tl.zeros((BLOCK,), tl.float32)
    for at in range(0, size, BLOCK):
        k = at + tl.arange(0, BLOCK)
        total += tl.load(x + start + k, mask=k < size, other=0.0).to(tl.float32)
    mean = tl.sum(total) / size
    total = tl.zeros((BLOCK,), tl.float32)
    for at in range(0, size, BLOCK):
        k = at + tl.arange(0, BLOCK)
        centred = tl.where(
            k < size, tl.load(x + start + k, mask=k < size, other=0.0).to(tl.float32) - mean, 0.0
        )
        total += centred * centred
    tl.store(means + group, mean)
    tl.store(rates + group, 1 / tl.sqrt(tl.sum(total) / size + eps))


@triton.jit
def group_norm(x, w, b, means, rates, y, channels, each, places, BLOCK: tl.constexpr):
    """Compute (x - mean) · rate · w + b over a block of places of one channel; `each` channels are a group."""
    plane = tl.program_id(0)
    channel, group = plane % channels, plane // each
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at = plane.to(tl.int64) * places + k
    values = tl.load(x + at, mask=k < places, other=0.0).to(tl.float32)
    scale = tl.load(rates + group) * tl.load(w + channel)
    result = (values - tl.load(means + group)) * scale + tl.load(b + channel)
    tl.store(y + at, result.to(y.dtype.element_ty), mask=k < places)


@triton.jit
def group_norm_sums(x, dy, means, rates, dw, db, each, places, BLOCK: tl.constexpr):
    """Compute Σ dy · normal and Σ dy over the places of one channel of one image."""
    plane = tl.program_id(0)
    group = plane // each
    mean, rate = tl.load(means + group), tl.load(rates + group)
    start = plane.to(tl.int64) * places
    of_w, of_b = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for at in range(0, places, BLOCK):
        k = at + tl.arange(0, BLOCK)
        slopes = tl.load(dy + start + k, mask=k < places, other=0.0).to(tl.float32)
        of_w += slopes * (tl.load(x + start + k, mask=k < places, other=0.0).to(tl.float32) - mean)
        of_b += slopes
    tl.store(dw + plane, tl.sum(of_w) * rate)
    tl.store(db + plane, tl.sum(of_b))


@triton.jit
def group_norm_backward(
    x, w, dy, means, rates, along, level, dx, channels, each, places, BLOCK: tl.constexpr
):
    """Compute the gradient of x over a block of places of one channel; `along` and `level` are means over the group."""
    plane = tl.program_id(0)
    channel, group = plane % channels, plane // each
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at = plane.to(tl.int64) * places + k
    rate = tl.load(rates + group)
    normal = (tl.load(x + at, mask=k < places, other=0.0).to(tl.float32) - tl.load(means + group)) * rate
    scaled = tl.load(dy + at, mask=k < places, other=0.0).to(tl.float32) * tl.load(w + channel)
    result = (scaled - normal * tl.load(along + group) - tl.load(level + group)) * rate
    tl.store(dx + at, result.to(dx.dtype.element_ty), mask=k < places)


@triton.jit
def geglu(x, y, width, BLOCK: tl.constexpr):
    """Compute y = h · gelu(g), where a row of x is h and g side by side, `width` numbers each."""
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < width
    h = tl.load(x + row * 2 * width + k, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(x + row * 2 * width + width + k, mask=inside, other=0.0).to(tl.float32)
    result = h * g * 0.5 * (1 + tl.erf(g * 0.7071067811865476))
    tl.store(y + row * width + k, result.to(y.dtype.element_ty), mask=inside)


@triton.jit
def geglu_backward(x, dy, dx, width, BLOCK: tl.constexpr):
    """Compute the gradients of h and g, side by side."""
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < width
    h = tl.load(x + row * 2 * width + k, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(x + row * 2 * width + width + k, mask=inside, other=0.0).to(tl.float32)
    slopes = tl.load(dy + row * width + k, mask=inside, other=0.0).to(tl.float32)
    below = 0.5 * (1 + tl.erf(g * 0.7071067811865476))  # the normal distribution's share below g
    density = tl.exp(-0.5 * g * g) * 0.3989422804014327
    tl.store(dx + row * 2 * width + k, (slopes * g * below).to(dx.dtype.element_ty), mask=inside)
    of_g = slopes * h * (below + g * density)
    tl.store(dx + row * 2 * width + width + k, of_g.to(dx.dtype.element_ty), mask=inside)
