"""Every generated call priced by the shipped book, genai-prices and LiteLLM; each disagreement explained.

Amounts agree where they are within 1e-12 of each other, relatively: the others compute with float, or do not
round. Two that both have no price agree. What no known reason explains makes the command fail.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.peers.calls import generate
from bench.peers.reasons import Reason, reason_for
from pricing.compile import compile_book
from pricing.errors import UsageError
from pricing.money import format_atto
from pricing.rate import Call, rate
from rate_book.form import load_book, shipped_books
from rate_book.instants import parse_instant

ROOT = Path(__file__).resolve().parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
RESULT = ROOT / "bench" / "results" / "compare-prices.json"
TOLERANCE = Decimal("1e-12")
PEERS = ("genai-prices", "litellm")


def ask_peers(what: str, given: Any) -> Any:
    """Run quote.py in the peers' environment. Raises SystemExit with a sentence where there is none."""
    if not PEERS_PYTHON.exists():
        raise SystemExit("genai-prices and LiteLLM live in .venv-peers: make it with `make peers`")
    script = Path(__file__).with_name("quote.py")
    done = subprocess.run(
        [str(PEERS_PYTHON), "-I", str(script), what],
        input=json.dumps(given), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"the peers' environment failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def our_quotes(calls: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """What the shipped book says: an amount, or why there is none."""
    book = compile_book(load_book(shipped_books()), 1, "compare")
    quotes = []
    for call in calls:
        asked = Call(
            None, call["provider"], call["model"], parse_instant(call["at"].replace("+00:00", "Z")),
            call["usage"], "inclusive", call["context"],
        )  # fmt: skip
        try:
            rating = rate(book, asked)
        except UsageError as error:
            quotes.append({"error": str(error)})
            continue
        if rating.cost.status == "priced" and rating.cost.amount_atto is not None:
            quotes.append({"amount": format_atto(rating.cost.amount_atto)})
        else:
            unpriced = next((line.explain for line in rating.lines if line.status != "priced"), "unpriced")
            quotes.append({"error": f"{rating.cost.status}: {unpriced}"})
    return quotes


def kind_of(ours: dict[str, str], theirs: dict[str, str]) -> str | None:
    """None where they agree; else `differs`, `only ours` or `only theirs`."""
    mine, other = ours.get("amount"), theirs.get("amount")
    if mine is None or other is None:
        return None if mine is other else "only ours" if other is None else "only theirs"
    left, right = Decimal(mine), Decimal(other)
    return None if abs(left - right) <= TOLERANCE * max(abs(left), abs(right)) else "differs"


def compare() -> dict[str, Any]:
    """The calls, and each disagreement with who is right and why; `unexplained` have no known reason."""
    calls = generate()
    answer = ask_peers("prices", calls)
    ours = our_quotes(calls)
    rows, agreed, asked = [], Counter[str](), Counter[str]()
    for call, mine, theirs in zip(calls, ours, answer["quotes"], strict=True):
        for peer in PEERS:
            quote = theirs[peer]
            if quote is None:
                continue
            asked[peer] += 1
            kind = kind_of(mine, quote)
            if kind is None:
                agreed[peer] += 1
                continue
            rows.append({"peer": peer, "kind": kind, **_row(call, mine, quote, reason_for(peer, call, kind))})
    return {
        "versions": answer["versions"],
        "calls": len(calls),
        "asked": dict(asked),
        "agreed": dict(agreed),
        "tolerance": str(TOLERANCE),
        "disagreements": rows,
        "unexplained": sum(row["reason"] is None for row in rows),
    }


def _row(
    call: dict[str, Any], ours: dict[str, str], theirs: dict[str, str], why: Reason | None
) -> dict[str, Any]:
    return {
        **call,
        "ours": ours.get("amount"),
        "theirs": theirs.get("amount"),
        "ours_says": ours.get("error"),
        "theirs_says": theirs.get("error"),
        "reason": why.name if why else None,
        "right": why.right if why else None,
        "why": why.why if why else None,
    }


def main() -> int:
    """Write the result, print the table; 1 where a disagreement has no known reason."""
    found = compare()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    print(f"written to {RESULT}")
    return 1 if found["unexplained"] else 0


def table(found: dict[str, Any]) -> str:
    """The disagreements for a person: by reason, with one example each; the unexplained ones in full."""
    lines = []
    for peer in PEERS:
        rows = [row for row in found["disagreements"] if row["peer"] == peer]
        asked, agreed = found["asked"].get(peer, 0), found["agreed"].get(peer, 0)
        lines.append(f"{peer} {found['versions'][peer]}: {asked} calls, {agreed} alike, {len(rows)} not")
        for name, count in Counter(row["reason"] or "UNEXPLAINED" for row in rows).most_common():
            shown = [row for row in rows if (row["reason"] or "UNEXPLAINED") == name]
            lines.append(
                f"  {name}: {count}; right: {shown[0]['right'] or 'unknown'}; {shown[0]['why'] or ''}"
            )
            lines += [f"    {_shown(row)}" for row in (shown if name == "UNEXPLAINED" else shown[:1])]
    lines.append(f"{found['unexplained']} disagreements without a known reason")
    return "\n".join(lines)


def _shown(row: dict[str, Any]) -> str:
    usage = " ".join(f"{key}={value}" for key, value in {**row["usage"], **row["context"]}.items())
    ours, theirs = row["ours"] or row["ours_says"], row["theirs"] or row["theirs_says"]
    return f"{row['provider']}/{row['model']} {row['at'][:16]}Z {usage}: ours {ours}, theirs {theirs}"


if __name__ == "__main__":
    sys.exit(main())
