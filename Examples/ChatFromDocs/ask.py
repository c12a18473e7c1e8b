"""Asks a model the questions of a file with `liger generate --chat`, and counts the answers that are right.

    python Examples/ChatFromDocs/ask.py MODEL Examples/ChatFromDocs/held_out.jsonl --out answers.jsonl

An answer is right if it is the expected text, letter by letter. How many words both have in common is said too (F1).
"""

import argparse
import collections
import concurrent.futures
import json
import subprocess
import time


def ask(given, line):
    """A line's question, what was expected, and what the model says."""
    question, expected = (turn["content"] for turn in json.loads(line)["messages"])
    result = subprocess.run(
        ["liger", "generate", given.model, "--chat", "--prompt", question, "--tokens", "64", "--json",
         "--device", given.device], check=True, capture_output=True, text=True)  # fmt: skip
    return {"question": question, "expected": expected, "answer": json.loads(result.stdout)["text"]}


def common_words(row):
    """F1 of the words of both texts, from 0 to 1."""
    words, expected = (collections.Counter(row[key].lower().split()) for key in ("answer", "expected"))
    both = 2 * sum((words & expected).values())
    return both / max(1, sum(words.values()) + sum(expected.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("questions")
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--most", type=int, help="how many questions are asked")
    parser.add_argument("--seconds", type=float, default=3600, help="no question is asked later")
    parser.add_argument("--at-a-time", type=int, default=2)
    given = parser.parse_args()
    with open(given.questions) as file:
        lines = file.readlines()[:given.most]
    end = time.monotonic() + given.seconds
    with concurrent.futures.ThreadPoolExecutor(given.at_a_time) as pool:
        found = pool.map(lambda line: ask(given, line) if time.monotonic() < end else None, lines)
        rows = [row for row in found if row]
    with open(given.out, "w") as file:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False), file=file)
    right = sum(row["answer"].strip() == row["expected"] for row in rows)
    share = sum(map(common_words, rows)) / max(1, len(rows))
    print(f"{given.questions}: {right} of {len(rows)} answers are right, {100 * share:.1f}% of the words")


main()
