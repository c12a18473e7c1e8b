"""Trains a small tokenizer of each kind with the `tokenizers` library and records what it makes of mixed texts.

    tokenizer_kinds_fixture.py FOLDER [BYTES [SEED]]

writes text.txt (50 kB, or so many BYTES) and for each tokenizer NAME.json, NAME.ids (the text's ids, int32
little-endian), NAME.decoded (these ids decoded again) and NAME.cases.json (short adversarial texts with their ids, with
and without special tokens, and decoded again, whole and in part). words.json has what pre-tokenizers alone make of
texts, normalized.json what normalizers alone do. Everything follows from the seed; nothing is downloaded.
"""

import base64
import json
import random
import struct
import sys
from pathlib import Path

import numpy
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

from tokenizers_fixture import CODE, CONTRACTIONS, DIGITS, HEAD, ODD, SPACES, TAIL, add_demanding_tokens
from tokenizers_fixture import mixed_text, random_characters

MARK = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS = {
    "tekken": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENDING}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENDING}"
             r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
              r"|\s*[\r\n]|\s+(?!\S)|\s",
    "olmo2": HEAD + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "marks": HEAD.replace(r"\p{L}+", r"[\p{L}\p{M}]+") + r"|\p{N}" + TAIL.replace(r"\p{L}", r"\p{L}\p{M}"),
    "deepseek": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "han": "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
}
REPLACE = normalizers.Replace(" ", MARK)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(pattern, behavior=behavior, invert=invert)


def byte_level(*steps):
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentencepiece_decoder(strips: bool):
    steps = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strips else []))


def changed(tokenizer: Tokenizer, **parts) -> Tokenizer:
    """The tokenizer with other parts, as JSON knows them; `model` changes the model's options."""
    contents = json.loads(tokenizer.to_str())
    contents["model"] |= parts.pop("model", {})
    return Tokenizer.from_str(json.dumps(contents | parts))


def part(value) -> dict | None:
    """A part of a tokenizer as JSON knows it."""
    return None if value is None else json.loads(value.__getstate__())


def trained_bytes(text: str, pre_tokenizer, size=1500) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(text.split("\n\n"), trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def trained_pieces(text: str, size=2500, alphabet=300) -> Tokenizer:
    """A vocabulary in the manner of SentencePiece's byte pairs; half of the characters are not in it."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(text.split("\n\n"), trainers.BpeTrainer(
        vocab_size=size, limit_alphabet=alphabet, special_tokens=["<unk>", "<s>", "</s>", *BYTES],
        show_progress=False))
    contents = json.loads(tokenizer.to_str())
    contents["added_tokens"] = contents["added_tokens"][:3]
    vocabulary, merges = contents["model"]["vocab"], contents["model"]["merges"]
    # Runs of spaces are tokens in such vocabularies, and newlines are; one token has a space in its middle.
    for left, right in [(MARK, MARK), (MARK * 2, MARK * 2), ("\n", "\n"), ("e", MARK), (MARK, "\n")]:
        for one in (left, right, left + right):
            vocabulary.setdefault(one, len(vocabulary))
        merges.append([left, right])
    return Tokenizer.from_str(json.dumps(contents))


def trained_unigrams(text: str, normalizer, pre_tokenizer, size=1200) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(text.split("\n\n"), trainers.UnigramTrainer(
        vocab_size=size, special_tokens=["<pad>", "<s>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    # The library reads scores of all digits back a last bit off, which decides between segmentations of one sum.
    trained = json.loads(tokenizer.to_str())
    trained["model"]["vocab"] = [[token, round(score, 6)] for token, score in trained["model"]["vocab"]]
    return Tokenizer.from_str(json.dumps(trained))


def template(tokenizer: Tokenizer, single: str) -> dict:
    names = [name for name in single.split() if not name.startswith("$")]
    return part(processors.TemplateProcessing(
        single=single, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names]))


def characters_map() -> str:
    """A map as SentencePiece would make it beforehand: characters, clusters of them, and beginnings of others."""
    replacements = {"ﬁ": "fi", "Å": "Å", "…": "...", "\u00a0": " ", "\u3000": " ", "\t": " ", "½": "1/2", "Ａ": "A",
                    "e\u0301": "é", "か\u3099": "が", "①": "1", "\u200b": "", "œ": "oe", "豈": "\u8c48", "ab": "<ab>"}
    texts, places = b"", {}
    for key, value in replacements.items():
        places[key.encode()] = len(texts)
        texts += value.encode() + b"\0"
    units, used = [0] * 4096, {0}

    def place(node: int, prefix: bytes) -> None:
        below = sorted({key[len(prefix)] for key in places if key.startswith(prefix) and len(key) > len(prefix)})
        labels = ([0] if prefix in places else []) + below
        offset = next(one for one in range(1, 2048) if not any(one ^ label in used for label in labels))
        used.update(offset ^ label for label in labels)
        units[node] |= (prefix in places) << 8 | (offset ^ node) << 10
        if prefix in places:
            units[offset] = places[prefix] | 1 << 31
        for label in below:
            units[offset ^ label] = label
            place(offset ^ label, prefix + bytes([label]))

    place(0, b"")
    blob = struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + texts
    return base64.b64encode(blob).decode()


def byte_pairs(text: str) -> dict[str, Tokenizer]:
    digits = pre_tokenizers.Digits(individual_digits=True)
    built = {name: trained_bytes(text, byte_level(split(Regex(PATTERNS[name]))))
             for name in ["tekken", "o200k", "cl100k", "olmo2", "marks"]}
    built["deepseek"] = trained_bytes(text, byte_level(
        split(Regex(r"\p{N}{1,3}")), split(Regex(PATTERNS["han"])), split(Regex(PATTERNS["deepseek"]))))
    built["smollm"] = trained_bytes(text, pre_tokenizers.Sequence([
        digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]))
    built["removed"] = trained_bytes(text, byte_level(split(Regex(PATTERNS["olmo2"]), "removed", True)))
    for name in ["tekken", "smollm"]:
        add_demanding_tokens(built[name])
    return built


def pieces_with_bytes(text: str) -> dict[str, Tokenizer]:
    built, pieces = {}, trained_pieces(text)
    opened = template(pieces, "<s> $A")
    sequence = part(normalizers.Sequence([normalizers.Prepend(MARK), REPLACE]))
    built["llama2"] = changed(pieces, normalizer=sequence, pre_tokenizer=None, post_processor=opened,
                              decoder=part(sentencepiece_decoder(True)))
    built["mistral"] = changed(
        pieces, pre_tokenizer=part(pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
        post_processor=template(pieces, "<s> $A </s>"), decoder=part(sentencepiece_decoder(True)))
    built["gemma"] = changed(
        pieces, normalizer=part(REPLACE), pre_tokenizer=part(split(" ", "merged_with_previous")),
        post_processor=opened, decoder=part(sentencepiece_decoder(False)))
    built["unknown"] = changed(
        pieces, pre_tokenizer=part(pre_tokenizers.Metaspace(prepend_scheme="always")),
        decoder=part(decoders.Metaspace()), model={"byte_fallback": False, "fuse_unk": False})
    built["unknown_fused"] = changed(
        pieces, normalizer=sequence, pre_tokenizer=None, model={"byte_fallback": False}, decoder=None)
    built["whole_words"] = changed(
        pieces, pre_tokenizer=part(pre_tokenizers.Metaspace(prepend_scheme="never")),
        decoder=part(decoders.Metaspace(prepend_scheme="never")),
        model={"ignore_merges": True, "merges": json.loads(pieces.to_str())["model"]["merges"][::3]})
    for name in ["llama2", "mistral", "unknown"]:
        add_demanding_tokens(built[name])
    return built


def unigrams(text: str) -> dict[str, Tokenizer]:
    built, metaspace = {}, pre_tokenizers.Metaspace()
    built["t5"] = trained_unigrams(
        text, normalizers.Precompiled(base64.b64decode(characters_map())),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace]))
    built["t5"].post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", built["t5"].token_to_id("</s>"))])
    built["albert"] = trained_unigrams(text, normalizers.Sequence([
        normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip(),
        normalizers.Replace(Regex(" {2,}"), " ")]), metaspace)
    built["albert"].post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    built["xlnet"] = trained_unigrams(text, normalizers.NFKC(), pre_tokenizers.Metaspace(split=False))
    contents = json.loads(built["xlnet"].to_str())
    kept = contents["model"]["vocab"][:400]
    contents["model"]["vocab"] = kept + [[one, -20.5] for one in BYTES]
    contents["model"]["byte_fallback"] = True
    contents["decoder"] = part(sentencepiece_decoder(True))
    built["unigram_bytes"] = Tokenizer.from_str(json.dumps(contents))
    add_demanding_tokens(built["xlnet"])
    return built


def whole_words(text: str) -> dict[str, Tokenizer]:
    bert = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    bert.normalizer = normalizers.BertNormalizer()
    bert.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bert.decoder = decoders.WordPiece()
    bert.train_from_iterator(text.split("\n\n"), trainers.WordPieceTrainer(
        vocab_size=1500, limit_alphabet=200, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    bert.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()])
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits()])
    words.train_from_iterator(text.split("\n\n"), trainers.WordLevelTrainer(
        vocab_size=1000, special_tokens=["<unk>"], show_progress=False))
    return {"bert": bert, "levels": words}


def build(text: str) -> dict[str, Tokenizer]:
    return byte_pairs(text) | pieces_with_bytes(text) | unigrams(text) | whole_words(text)


def write(tokenizer: Tokenizer, name: str, text: str, cases: list[str], folder: Path) -> None:
    (folder / f"{name}.json").write_text(tokenizer.to_str(), encoding="utf-8")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    numpy.array(ids, dtype="<i4").tofile(folder / f"{name}.ids")
    (folder / f"{name}.decoded").write_bytes(tokenizer.decode(ids, skip_special_tokens=False).encode())
    records = []
    for case in cases:
        plain = tokenizer.encode(case, add_special_tokens=False).ids
        records.append({
            "text": case, "ids": plain, "withSpecialTokens": tokenizer.encode(case).ids,
            "whole": tokenizer.decode(plain, skip_special_tokens=False),
            "half": tokenizer.decode(plain[::2], skip_special_tokens=False),
        })
    (folder / f"{name}.cases.json").write_text(json.dumps(records), encoding="utf-8")


def holder(pre_tokenizer=None, normalizer=None) -> str:
    """A tokenizer of no words, for one part of it."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return tokenizer.to_str()


def word_records(cases: list[str]) -> list[dict]:
    steps = [pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(), pre_tokenizers.BertPreTokenizer()]
    steps += [pre_tokenizers.Digits(individual_digits=flag) for flag in (False, True)]
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    steps += [pre_tokenizers.Punctuation(behavior) for behavior in behaviors]
    steps += [split(pattern, behavior, invert) for behavior in behaviors for invert in (False, True)
              for pattern in (" ", "'s", Regex(r"\p{L}+"), Regex(PATTERNS["olmo2"]))]
    steps += [pre_tokenizers.Metaspace(prepend_scheme=scheme, split=flag)
              for scheme in ("always", "first", "never") for flag in (False, True)]
    steps += [split(Regex(pattern)) for pattern in [
        *PATTERNS.values(), r"\w+", r"\W", r"\d+|\D", r"[^\S\n]+", r"\p{^L}{2,3}", r"\P{Lu}+(?=\p{Lu})", r"x$|\s$", r"[a-f\d]{2}",
        r"a?b", r"(?:ab|a)(?:b|c)?", r"\p{Punctuation}|\p{Sc}", r"[\x20-\x2F\u00e9]", r"\x{4e2d}.", r"[]\-a]+|[^]a]",
        r"\s{2,}(?!\n|x)", r"(?i:[k-t]e?)", r"'(?i:LL|s)", r"[\w.]+@?", r"a{,2}b", r"\p{Lo}\p{M}*"]]
    steps += [pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.Punctuation(), split(" ", "removed")])]
    return [{"tokenizer": holder(pre_tokenizer=step),
             "cases": [[case, [word for word, _ in step.pre_tokenize_str(case)]] for case in cases]}
            for step in steps]


def normalized_records(cases: list[str]) -> list[dict]:
    steps = [getattr(normalizers, name)() for name in ["NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"]]
    steps += [normalizers.Strip(left, right) for left in (False, True) for right in (False, True)]
    steps += [normalizers.Prepend(MARK), REPLACE, normalizers.Replace(Regex(r"\s+"), "--"), normalizers.Replace("aa", "")]
    steps += [normalizers.BertNormalizer(), normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False)]
    steps += [normalizers.Precompiled(base64.b64decode(characters_map()))]
    return [{"tokenizer": holder(normalizer=step), "cases": [[case, step.normalize_str(case)] for case in cases]}
            for step in steps]


def main() -> None:
    folder = Path(sys.argv[1])
    generator = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 17)
    text = mixed_text(generator, int(sys.argv[2]) if len(sys.argv) > 2 else 50_000)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_bytes(text.encode())
    alphabet = SPACES + CONTRACTIONS + ODD + CODE + DIGITS + [
        "a", "B", "é", "1", "中", ".", "<mask>", "<word>", "<é>", "loló", "ban", "  #", "e\u0301", MARK, MARK * 2,
        "<unk>", "<s>", "</s>", "<0x0A>", "ß", "ǅ", "ſ", "ab", "ﬁ", "①", "か\u3099", "ΑΣ", "İ", "[UNK]", "##a", "日本"]
    cases = ["", " ", "\n", "a", "  ", " a", "a ", MARK, "aaaaaaaa" * 40, "漢字" * 60, " " * 70, "é" * 50, "\U0001f8b2" * 9]
    cases += ["".join(generator.choices(alphabet, k=generator.randint(1, 9))) for _ in range(400)]
    cases += [random_characters(generator, generator.randint(1, 12)) for _ in range(60)]
    cases += [mixed_text(generator, 200) for _ in range(30)]
    # Unigrams of more text would have more characters than their vocabulary holds.
    for name, tokenizer in build(text[:50_000]).items():
        write(tokenizer, name, text, cases, folder)
    few = [case for case in cases if case][:150] + cases[-40:]
    (folder / "words.json").write_text(json.dumps(word_records(few)), encoding="utf-8")
    known = "".join(chr(value) for value in range(0x20, 0x20000) if not 0xAC10 <= value < 0xF900
                    and not 0x3410 <= value < 0x4DB0 and not 0x4E10 <= value < 0x9FF0 and not 0x17010 <= value < 0x18AFF)
    lines = [known[start:start + 1000] for start in range(0, len(known), 1000)]
    records = json.dumps(normalized_records(few + lines), ensure_ascii=False)
    (folder / "normalized.json").write_text(records, encoding="utf-8")


if __name__ == "__main__":
    main()
