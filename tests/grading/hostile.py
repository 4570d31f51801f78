r"""Responses that hang, exhaust or break graders: 20 kinds, ten of each."""

GOLD = r"\sqrt{2}+\sum_{k=1}^{3}\int_0^k x\,dx"
"""Needs algebra and contains a sum and an integral, so that nothing hostile is refused before it reaches a worker."""


def _box(content: str) -> str:
    return r"\boxed{" + content + "}"


KINDS = {
    "power towers": lambda n: rf"\boxed{{{n + 2}^{{9^{{9^{{9}}}}}}}}",
    "factorials of factorials": lambda n: rf"\boxed{{(({n + 9}!)!)!+\sqrt{{2}}}}",
    "a million digits": lambda n: _box("7" * 1_000_000 + str(n)),
    "ten thousand nested braces": lambda n: _box("{" * 10_000 + str(n) + "}" * 10_000),
    "ten thousand nested fractions": lambda n: _box(r"\frac{1}{1+" * 10_000 + str(n) + "}" * 10_000),
    "a hundred nested fractions": lambda n: _box(r"\frac{1}{\sqrt{2}+" * (100 + n) + "1" + "}" * (100 + n)),
    "large matrices": lambda n: _box(r"\begin{pmatrix}" + r"1&2&x\\" * (300 + n) + r"1&2&x\end{pmatrix}"),
    "huge matrices": lambda n: _box(r"\begin{pmatrix}" + r"1&2&x\\" * 50_000 + rf"{n}&2&x\end{{pmatrix}}"),
    "sums without end": lambda n: rf"\boxed{{\sum_{{k=1}}^{{10^{{{9 + n}}}}} \frac{{\sin k}}{{k^{{k}}}}}}",
    "integrals without end": lambda n: rf"\boxed{{\int_0^{{{n + 1}}} x^{{x^{{\sin x}}}}\tan(e^x+x^2)\,dx}}",
    "NUL bytes": lambda n: "\x00" + _box("4" + "\x00" * (n + 1) + "2") + "\x00",
    "a megabyte without a box": lambda n: "so the answer is {" * 60_000 + str(n),
    "a megabyte in a box never closed": lambda n: r"\boxed{" + "{x" * 500_000 + str(n),
    "ten thousand boxes": lambda n: r"\boxed{1}, " * 10_000 + rf"\boxed{{{n}}}",
    "ten thousand boxes in boxes": lambda n: r"\boxed{" * 10_000 + str(n) + "}" * 10_000,
    "code": lambda n: rf"\boxed{{__import__('os').system('exit {n}')}} or \boxed{{open('/tmp/x','w').write('{n}')}}",
    "lone surrogates": lambda n: _box(chr(0xD800 + n) + "\udc00\ud800"),
    "large polynomials": lambda n: rf"\boxed{{(x+y+z+\sqrt{{{n + 2}}})^{{5000}}-(x+y)^{{4999}}}}",
    "binomials": lambda n: rf"\boxed{{\binom{{10^{{{n + 9}}}}}{{5\cdot10^{{8}}}}+\sqrt{{2}}}}",
    "commands in a row": lambda n: _box(r"\frac\sqrt\sum^_" * (150 + n)),
}


def hostile_responses() -> list[str]:
    return [make(n) for make in KINDS.values() for n in range(10)]


def ordinary_pairs(count: int) -> list[tuple[str, object]]:
    """Responses and golds as they come: mostly numbers, some that need algebra; three of four are correct."""
    pairs: list[tuple[str, object]] = []
    for n in range(count):
        right = n % 4 != 3
        gold, answer = [
            (n, str(n if right else n + 1)),
            (float(n), f"{n}.0" if right else f"{n}.5"),
            (rf"\frac{{{n}}}{{7}}", rf"{n}/7" if right else rf"{n}/8"),
            (rf"{n}\sqrt{{5}}", rf"\sqrt{{{5 * n * n}}}" if right else rf"{n}\sqrt{{6}}"),
            (f"({n},{n + 1})", f"({n}, {n + 1})" if right else f"[{n}, {n + 1}]"),
            (rf"1-\frac{{{n}}}{{\pi}}", rf"\frac{{\pi-{n}}}{{\pi}}" if right else rf"\frac{{\pi+{n + 1}}}{{\pi}}"),
            (str(n), rf"{n}\text{{ cm}}" if right else rf"-{n + 1}\text{{ cm}}"),
        ][n % 7]
        pairs.append((rf"We compute, step by step, and so the answer is $\boxed{{{answer}}}$.", gold))
    return pairs
