"""Trains small byte-pair tokenizers with the `tokenizers` library and records what it makes of a mixed text.

    tokenizers_fixture.py FOLDER [SEED]

writes text.txt (1 MB), forms.txt and forms.nfc.txt (texts before and after normalisation), and for each tokenizer NAME.json, NAME.ids (the text's ids, int32 little-endian) and
NAME.cases.json (short adversarial texts with their ids, with and without special tokens, and decoded again).
Everything follows from the seed; nothing is downloaded.
"""

import json
import random
import sys
import unicodedata
from pathlib import Path

import numpy
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = HEAD + r"|\p{N}{1,3}" + TAIL
QWEN2 = HEAD + r"|\p{N}" + TAIL

SPECIAL = ["<|endoftext|>", "<|begin_of_text|>", "<|end_of_text|>"]
SYLLABLES = {
    "latin": "the quick ing re con tion ba lo mi é ü ß ñ ø ç à œ ſ ĳ ŝ ő Å ﬁ naï fa çade Straße".split(),
    "greek": "α λό γος ψυ χή ἀρ ε τή Ὀ δυσ σεύς ῷ ΐ ς".split(),
    "cyrillic": "при вет мир ё й жи знь Щу ка ъ ѣ Ӂ ї є".split(),
    "hebrew": "שָׁ לוֹם עוֹ לָם תּוֹ רָה א ב".split(),
    "arabic": "مَر حَبا الع الم كِتاب لا پ گ ۀ آ".split(),
    "devanagari": "न म स्ते दु नि या क़ ढ़ क्षि त्र ऩ ँ".split(),
    "bengali": "বা ং লা কো কৌ য় ড়".split(),
    "tamil": "த மி ழ் கொ கோ கௌ".split(),
    "thai": "ส วั ส ดี ช า ว โล ก น้ำ เก็บ".split(),
    "han": list("中文字符日本語漢字測試简体豈更車賈𠀀𪛖〇々"),
    "kana": list("ひらがなカタカナーがぱヴゔ") + ["か\u3099", "ハ\u309a"],
    "hangul": list("한국어안녕하세요") + ["\u1112\u1161\u11ab", "\u1100\u1161", "가\u11a8"],
    "emoji": ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "1️⃣", "🫠", "☺", "🏴‍☠️"],
    "decomposed": ["e\u0301", "a\u0308", "o\u0302\u0323", "q\u0307\u0323", "\u0301", "\u212b", "\u2126", "\u1e9b\u0323",
                   "\u0344", "\u0958", "\u2adc", "\ufb1d", "\u0f73", "\u0041\u030a", "s\u0323\u0307"],
    "other": ["ꙮ", "ᎣᏏᏲ", "ქართული", "ꦗꦮ", "𝒜𝓑", "𐍈", "𞤀", "ʰ", "ǅ", "ª", "ㄅ", "ᠮᠣ", "\u1885", "\u16ee"],
}
DIGITS = ["0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "๐๑๒๓", "⅓½²³①⑩", "ⅣⅫↂ", "〇一二", "𝟘𝟙𝟚", "߀߁"]
SPACES = [" ", "  ", "   ", "\t", "\t\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\n\t", "\r", "\u00a0", "\u3000", "\u2003",
          "\u0085", "\u2028", "\u180e", "\u200b", "\u202f", "\x0b", "\x0c", "\u1680", "    \n    ", "\x1c", "\ufeff"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'LL", "'lL", "'D", "'ſ", "'r",
                "'v", "'l", "''s", "’s", "'K"]
CODE = ["for (int i = 0; i < n; ++i) {\n        sum += a[i];\n    }\n", "def f(x):\n\treturn x**2  # ok\n\n\n",
        "let y = try? map[key] ?? 0x1F_FF\r\n", "<a href=\"x.html\">&amp;</a>", "SELECT * FROM t WHERE a>=1.5e-10;",
        "!!!...---===", "/* ** */", "a_b_c", "\\n\\t\"'", "$100,000.00", "{}[]()"]
ODD = ["\x00", "\x7f", "\u0378", "\U000e0001", "\ufffd", "\uffff", "\U0010ffff", "\ue000", "\u0600", "\u20ac", "\u061c",
       "\ud7fb", "\U0001e900", "\U0001f8b2", "\U00011938", "\u200d", "\u2060"]


def mixed_text(generator: random.Random, size: int) -> str:
    pieces, total = [], 0
    while total < size:
        kind = generator.random()
        if kind < 0.62:
            script = generator.choice(list(SYLLABLES))
            word = "".join(generator.choices(SYLLABLES[script], k=generator.randint(1, 4)))
            if generator.random() < 0.1:
                word = word.upper()
            piece = word + (generator.choice(CONTRACTIONS) if generator.random() < 0.08 else "")
            piece += " " if generator.random() < 0.7 else generator.choice(".,;:!?…—»")
        elif kind < 0.72:
            piece = "".join(generator.choices(generator.choice(DIGITS), k=generator.randint(1, 8)))
        elif kind < 0.86:
            piece = "".join(generator.choices(SPACES, k=generator.randint(1, 4)))
        elif kind < 0.92:
            piece = generator.choice(CODE)
        elif kind < 0.95:
            piece = generator.choice(CONTRACTIONS) + generator.choice(["", " ", "a", "x "])
        elif kind < 0.97:
            piece = generator.choice(SPECIAL + ["<mask>", "<word>", "<é>", "<e\u0301>", "<|endoftext|", "<|"])
        elif kind < 0.99:
            piece = generator.choice(ODD)
        else:
            piece = random_characters(generator, 5)
        pieces.append(piece)
        total += len(piece.encode())
    return "".join(pieces)


def random_characters(generator: random.Random, count: int) -> str:
    codes = (generator.choice([0x250, 0x3000, 0xD7FF, 0x1FFFF, 0x10FFFF]) for _ in range(count))
    values = (generator.randint(0, top) for top in codes)
    return "".join(chr(value) for value in values if not 0xD800 <= value < 0xE000)


def split_then_bytes(pattern: str):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def train(text: str, size: int, pre_tokenizer, normalizer=None, ignore_merges=False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False,
        special_tokens=SPECIAL[:1])
    tokenizer.train_from_iterator(text.split("\n\n"), trainer)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def add_demanding_tokens(tokenizer: Tokenizer) -> None:
    """One token for each flag that an added token can have."""
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, special=True, normalized=False)])
    tokenizer.add_tokens([
        AddedToken("<word>", single_word=True, normalized=False), AddedToken("loló", single_word=True),
        AddedToken("<e\u0301>", normalized=True), AddedToken("<mask><mask>", normalized=False),
        AddedToken("ban", rstrip=True, normalized=True), AddedToken("  #", lstrip=True, normalized=False),
    ])


def build(text: str) -> dict[str, Tokenizer]:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    built = {
        "gpt2": train(text, 3000, byte_level),
        "llama3": train(text, 4000, split_then_bytes(LLAMA3), ignore_merges=True),
        "qwen2": train(text, 2000, split_then_bytes(QWEN2), normalizer=normalizers.NFC()),
    }
    bos = built["llama3"].token_to_id("<|begin_of_text|>")
    built["llama3"].post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
            special_tokens=[("<|begin_of_text|>", bos)]),
    ])
    add_demanding_tokens(built["qwen2"])

    # The same trained models again under other options.
    def variant(name: str, change) -> Tokenizer:
        contents = json.loads(built[name].to_str())
        change(contents)
        return Tokenizer.from_str(json.dumps(contents))

    def prefix_space(contents):
        contents["pre_tokenizer"]["add_prefix_space"] = True
        contents["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}]}

    def unsplit(contents):
        contents["pre_tokenizer"]["use_regex"] = False

    def fewer_merges(contents):
        """Leaves words that only `ignore_merges` finds."""
        merges = contents["model"]["merges"]
        contents["model"]["merges"] = [merge for rank, merge in enumerate(merges) if rank % 7]

    built["llama3"] = variant("llama3", fewer_merges)
    built["gpt2_prefix_space"] = variant("gpt2", prefix_space)
    built["gpt2_unsplit"] = variant("gpt2", unsplit)
    built["llama3_merged"] = variant("llama3", lambda contents: contents["model"].update(ignore_merges=False))
    add_demanding_tokens(built["gpt2_prefix_space"])
    return built


def write(tokenizer: Tokenizer, name: str, text: str, cases: list[str], folder: Path) -> None:
    contents = json.loads(tokenizer.to_str())
    if name.startswith("gpt2"):
        # Older files write a merge as one string.
        contents["model"]["merges"] = [" ".join(pair) for pair in contents["model"]["merges"]]
    (folder / f"{name}.json").write_text(json.dumps(contents, ensure_ascii=name == "qwen2"), encoding="utf-8")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    numpy.array(ids, dtype="<i4").tofile(folder / f"{name}.ids")
    records = []
    for case in cases:
        plain = tokenizer.encode(case, add_special_tokens=False).ids
        records.append({
            "text": case, "ids": plain, "withSpecialTokens": tokenizer.encode(case).ids,
            "half": tokenizer.decode(plain[::2], skip_special_tokens=False),
        })
    (folder / f"{name}.cases.json").write_text(json.dumps(records), encoding="utf-8")


def normalization_cases(generator: random.Random) -> str:
    """Every character that this Python knows, after, before and between what it may combine with; mark sequences."""
    known = [chr(value) for value in range(0x110000)
             if not 0x3400 <= value < 0x9FFF and not 0xAC10 <= value < 0xE000 and not 0x17000 <= value < 0x18D00
             and not 0x20000 <= value < 0x2A600 and unicodedata.category(chr(value)) not in ("Cn", "Co", "Cs")]
    lines = []
    for one in known:
        whole = unicodedata.normalize("NFD", one)
        lines += [f"a{one}b", f"{one}\u0301\u0323", f"\u1100{one}", f"가{one}\u0308", f"\u0301{one}\u0327", whole,
                  "".join(reversed(whole))]
    marks = [one for one in known if unicodedata.category(one)[0] == "M"] + list("aeoαиカ가\u0344\u0f73\u0f75\u0f81")
    lines += ["".join(generator.choices(marks, k=generator.randint(2, 9))) for _ in range(20_000)]
    return "\n".join(lines)


def main() -> None:
    folder = Path(sys.argv[1])
    generator = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    text = mixed_text(generator, 1_000_000)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_bytes(text.encode())
    forms = normalization_cases(generator)
    (folder / "forms.txt").write_bytes(forms.encode())
    (folder / "forms.nfc.txt").write_bytes(unicodedata.normalize("NFC", forms).encode())
    alphabet = SPACES + CONTRACTIONS + ODD + SPECIAL + ["a", "B", "é", "1", "12", "中", ".", "!", "<mask>", "<word>",
                                                       "<é>", "loló", "ban", "  #", "e\u0301", "\u0301", "_", "ſ"]
    cases = ["", " ", "\n", "a", "  ", " a", "'", "'s", "aaaaaaaa" * 40]
    cases += ["".join(generator.choices(alphabet, k=generator.randint(1, 9))) for _ in range(3000)]
    cases += [random_characters(generator, generator.randint(1, 12)) for _ in range(500)]
    for name, tokenizer in build(text).items():
        write(tokenizer, name, text, cases, folder)


if __name__ == "__main__":
    main()
