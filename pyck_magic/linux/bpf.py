"""Classic BPF, the language of seccomp filters: small expressions that become machine code.

Runs in: the launcher, ahead of time.

A filter has one register, may only jump forward, and must end in a verdict. So a program is written as an expression:
every function here returns the bytes of a complete program that ends in verdicts, and takes such programs as the ways
to go on. There are no labels to get wrong, and no jump that could go backwards. The instructions are those of
`linux/bpf_common.h`: 16-bit code, two 8-bit jump distances, 32-bit constant.
"""

import struct
from collections.abc import Mapping

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_IF_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_SIZE = 8
_FARTHEST = 255
MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS


def verdict(value: int) -> bytes:
    """End the program with `value`."""
    return _instruction(_RETURN, value)


def load(offset: int, then: bytes) -> bytes:
    """Put the 32-bit word at `offset` of the input into the register, and go on with `then`."""
    return _instruction(_LOAD_WORD, offset) + then


def mask(bits: int, then: bytes) -> bytes:
    """Keep only `bits` of the register, and go on with `then`."""
    return _instruction(_AND, bits) + then


def when_equal(value: int, then: bytes, otherwise: bytes) -> bytes:
    """Go on with `then` if the register is `value`, else with `otherwise`."""
    return _branch(_JUMP_IF_EQUAL, value, then, otherwise)


def when_at_least(value: int, then: bytes, otherwise: bytes) -> bytes:
    """Go on with `then` if the register, unsigned, is `value` or more, else with `otherwise`."""
    return _branch(_JUMP_IF_AT_LEAST, value, then, otherwise)


def when_any_bit(bits: int, then: bytes, otherwise: bytes) -> bytes:
    """Go on with `then` if the register has any of `bits`, else with `otherwise`."""
    return _branch(_JUMP_IF_ANY_BIT, bits, then, otherwise)


def one_of(values: tuple[int, ...], then: bytes, otherwise: bytes) -> bytes:
    """Go on with `then` if the register is one of a few `values`, else with `otherwise`."""
    program = otherwise
    for value in reversed(values):
        program = when_equal(value, then, program)
    return program


def decide(ways: Mapping[int, bytes], otherwise: bytes) -> bytes:
    """Go on with `ways[register]`, or with `otherwise` for a number that is not in it.

    Neighbouring numbers that go the same way become one range, and a balanced tree of comparisons finds the range: of
    three hundred system calls in forty ranges any one is found after six questions.
    """
    ranges: list[tuple[int, bytes]] = [(0, ways.get(0, otherwise))]
    for number in sorted({number for at in ways for number in (at, at + 1)}):
        way = ways.get(number, otherwise)
        if way != ranges[-1][1]:
            ranges.append((number, way))
    return _tree(ranges)


def length(program: bytes) -> int:
    """How many instructions a program has."""
    return len(program) // _SIZE


def _tree(ranges: list[tuple[int, bytes]]) -> bytes:
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    return when_at_least(ranges[middle][0], _tree(ranges[middle:]), _tree(ranges[:middle]))


def _branch(code: int, value: int, then: bytes, otherwise: bytes) -> bytes:
    """A conditional jump reaches 255 instructions; to go farther it steps onto an unconditional one, which reaches all."""
    distance = length(then)
    if distance <= _FARTHEST:
        return _instruction(code, value, 0, distance) + then + otherwise
    return _instruction(code, value, 1, 0) + _instruction(_JUMP, distance) + then + otherwise


def _instruction(code: int, constant: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, constant)
