/// What somebody may have meant.
package enum Spelling {
    /// Names that other trainers have for options, and what those are here.
    private static let synonyms = [
        "learning-rate": "lr", "max-seq-length": "seq", "max-seq-len": "seq", "max-length": "seq",
        "sequence-length": "seq", "seq-length": "seq", "block-size": "seq", "cutoff-len": "seq",
        "batch-size": "batch", "per-device-train-batch-size": "batch", "micro-batch-size": "batch",
        "gradient-accumulation-steps": "accumulate", "grad-accum": "accumulate",
        "num-train-epochs": "epochs", "num-epochs": "epochs", "max-steps": "steps", "output-dir": "out",
        "model-name-or-path": "model", "base-model": "model", "dataset": "data", "dataset-name": "data",
        "lora-r": "lora-rank", "warmup-steps": "warmup", "lr-scheduler-type": "schedule",
        "save-steps": "save-every", "eval-steps": "eval-every", "max-grad-norm": "clip",
        "gradient-checkpointing": "recompute", "ref-model": "reference",
        "resume-from-checkpoint": "resume",
    ]

    /// The name here of an option that other trainers call so; nil for other words.
    package static func synonym(_ word: String) -> String? {
        synonyms[String(word.lowercased().map { $0 == "_" ? "-" : $0 })]
    }

    /// The name that takes the fewest changes to come to: letters put in, left out, replaced, or two swapped.
    ///
    /// - Returns: nil if none is near: more than a third of the letters would change, or more than two of a short name.
    /// - Cost: the product of both lengths for each name.
    static func nearest(to word: String, of names: [String]) -> String? {
        if let own = synonym(word), names.contains(own) { return own }
        let word = Array(word.lowercased().utf8.prefix(64)).map {
            $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0
        }
        let found = names.map { (name: $0, distance: distance(word, Array($0.utf8))) }
            .min { $0.distance < $1.distance }
        guard let found, found.distance <= max(2, word.count / 3), found.distance < word.count else {
            return nil
        }
        return found.name
    }

    /// Damerau and Levenshtein, swaps of letters side by side among the changes.
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var before: [Int] = [], last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var least = min(row[j], last[j + 1]) + 1
                least = min(least, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, before[j - 1] + 1) }
                row.append(least)
            }
            (before, last) = (last, row)
        }
        return last[b.count]
    }
}
