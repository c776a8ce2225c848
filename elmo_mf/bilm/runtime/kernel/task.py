"""Arguments of the machine code: structures whose fields both sides address by name."""

from __future__ import annotations

import ctypes


class Task(ctypes.Structure):
    """One direction of some of a batch's sequences, for all steps.

    Sequences first, first + stride, ... of the batch are the task's. Weights lie as `KernelConfig.panels` gives them;
    those that a configuration has not are null.

    Attributes:
        inputs: The input's part of the gates, bias included, or x R_x; (tokens, token_width).
        outputs: The states of all steps, written; (tokens, p).
        h: The states before the first step, overwritten with the last; (sequences, p).
        c: The memory cells before the first step, overwritten with the last; (sequences, c_width).
        batch_sizes: Number of sequences still running at each step; int64 (steps,).
        steps: Number of steps.
        first: The task's first sequence.
        stride: Distance to its next sequence.
        scratch: Scratch buffer for intermediate results; (sequences of this task, scratch_width).
        bias: (4n,).
        input_left: Left factor of W_x.
        recurrent_right: Right factor of W_h.
        recurrent: Left factor of W_h, or W_h.
        projection: Right factor of W_p, or W_p.
        projection_left: Left factor of W_p.
    """

    inputs: int
    outputs: int
    h: int
    c: int
    batch_sizes: int
    steps: int
    first: int
    stride: int
    scratch: int
    bias: int
    input_left: int | None
    recurrent_right: int | None
    recurrent: int
    projection: int | None
    projection_left: int | None

    _fields_ = [
        ("inputs", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("h", ctypes.c_void_p),
        ("c", ctypes.c_void_p),
        ("batch_sizes", ctypes.c_void_p),
        ("steps", ctypes.c_int64),
        ("first", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("scratch", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("input_left", ctypes.c_void_p),
        ("recurrent_right", ctypes.c_void_p),
        ("recurrent", ctypes.c_void_p),
        ("projection", ctypes.c_void_p),
        ("projection_left", ctypes.c_void_p),
    ]


class CellTask(ctypes.Structure):
    """Some rows of one step of one direction in training: memory cells, or their gradients.

    The forward pass has no gradients: their fields are null. Sums of gates, gated cells and the gradients of both are
    float32 or bfloat16, everything else is float32; rows follow each other without gaps.

    Attributes:
        rows: Number of rows.
        sums: Sums of the gates i, f, o and g without their bias; (rows, 4n).
        bias: (4n,).
        before: Previous memory cells; (rows, n).
        after: New memory cells, written in the forward pass; (rows, n).
        gated: Gated cells, written; their gradients in the backward pass; (rows, n).
        of_cells: Gradients of the memory cells from the following steps, overwritten with those of the previous ones;
            (rows, n).
        of_sums: Gradients of the sums, written; (rows, 4n).
        of_bias: Gradients of the bias, which those of these rows are added to; (4n,).
    """

    rows: int
    sums: int
    bias: int
    before: int
    after: int
    gated: int
    of_cells: int | None
    of_sums: int | None
    of_bias: int | None

    _fields_ = [
        ("rows", ctypes.c_int64),
        ("sums", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("before", ctypes.c_void_p),
        ("after", ctypes.c_void_p),
        ("gated", ctypes.c_void_p),
        ("of_cells", ctypes.c_void_p),
        ("of_sums", ctypes.c_void_p),
        ("of_bias", ctypes.c_void_p),
    ]


class IntegerTask(ctypes.Structure):
    """A product of 8-bit integers, or some outputs of one.

    Attributes:
        inputs: int8 (rows, quads, 4).
        weight: int8, as `emit_integer_product.groups_of` lays it out; (groups, quads, 16, 4).
        sums: int32, written; `groups` times 16 numbers of each row.
        rows: Number of rows.
        groups: Number of groups of 16 outputs.
        quads: A quarter of the number of inputs.
        width: Distance between rows of the sums, in numbers.
    """

    inputs: int
    weight: int
    sums: int
    rows: int
    groups: int
    quads: int
    width: int

    _fields_ = [
        ("inputs", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("groups", ctypes.c_int64),
        ("quads", ctypes.c_int64),
        ("width", ctypes.c_int64),
    ]


class Job(ctypes.Structure):
    """Tasks that threads take one after the other.

    Attributes:
        next: Number of the next task that no thread has taken.
        count: Number of tasks.
        tasks: Address of an array of tasks.
    """

    next: int
    count: int
    tasks: int

    _fields_ = [("next", ctypes.c_int64), ("count", ctypes.c_int64), ("tasks", ctypes.c_void_p)]
